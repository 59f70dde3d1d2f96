"""What is fed to the programs."""

from typing import Any

import numpy as np
import pytest

from seqgen.errors import SpecError
from seqgen.ir.graph import Model
from seqgen.layers.within import within
from seqgen.verify import Pool, Settings, plan, verify_graph
from seqgen.verify.bench import Bench
from tests.cases import graph_of


def graph(shape: list[int | None], *layers: Any, **more: Any) -> Model:
    return graph_of({"name": "net", "input": shape, "layers": layers, **more})


OPEN = graph([None, None, 3], {"Conv2D": {"filters": 2, "kernel_size": 3}}, "GlobalMaxPooling2D")


def test_every_open_size_is_tried_twice_and_no_two_are_alike() -> None:
    first, second = plan.input_shapes(OPEN)
    assert all(a != b for a, b in zip(first[:-1], second[:-1], strict=True))
    for shape in (first, second):
        assert shape[1] != shape[2]
        assert shape[3] == 3


def test_known_sizes_stay_and_the_batch_is_tried_twice() -> None:
    assert plan.input_shapes(graph([4, 5], "Flatten")) == [(3, 4, 5), (2, 4, 5)]


def test_open_sizes_are_such_that_every_layer_has_room() -> None:
    tall = graph([None, 2], {"Conv1D": {"filters": 1, "kernel_size": 30}})
    assert [shape[1] for shape in plan.input_shapes(tall)] == [34, 55]


def test_sizes_that_no_layer_takes_are_refused() -> None:
    with pytest.raises(SpecError, match="no sizes up to 233"):
        plan.input_shapes(graph([None, 2], {"Conv1D": {"filters": 1, "kernel_size": 300}}))


def test_seeds_give_other_inputs_and_the_same_again() -> None:
    shapes = plan.input_shapes(OPEN)
    first, other, again = (plan.inputs(OPEN, seed, shapes)[0] for seed in (0, 1, 0))
    assert np.array_equal(first, again)
    assert not np.isclose(first, other).any()


def test_integers_are_those_that_the_embedding_has() -> None:
    words = graph([50], {"Embedding": {"input_dim": 4, "output_dim": 2}}, input_dtype="int32")
    arrays = plan.inputs(words, 0, [(20, 50)])
    assert set(np.unique(arrays[0])) == {0, 1, 2, 3}


def test_integers_fit_an_embedding_within_another_layer() -> None:
    table = {"Embedding": {"input_dim": 4, "output_dim": 2}}
    words = graph([3, 50], {"TimeDistributed": {"layer": table}}, input_dtype="int32")
    assert plan.inputs(words, 0, [(20, 3, 50)])[0].max() == 3


def test_a_fixed_batch_is_kept() -> None:
    assert plan.input_shapes(graph([4, 5], "Flatten", batch_size=6)) == [(6, 4, 5), (6, 4, 5)]
    assert plan.input_shapes(graph([None, 5], "ReLU", batch_size=6)) == [(6, 5, 5), (6, 8, 5)]


def test_all_seeds_and_sizes_are_run(pool: Pool) -> None:
    report = verify_graph(OPEN, Settings(seeds=3, exporters=False), pool)
    counted = {row.cases for row in report.rows if row.check == "inference"}
    assert counted == {3 * 2}
    assert report.ok


def test_seeds_have_weights_of_their_own(pool: Pool, tmp_path: Any) -> None:
    from safetensors.numpy import load_file

    bench = Bench.make(OPEN, Settings(), pool, tmp_path / "bench")
    first, other = (load_file(bench.weights(seed))["conv2d_0.kernel"] for seed in (0, 1))
    assert not np.isclose(first, other).any()


def test_training_is_compared_where_it_differs_from_inference() -> None:
    assert plan.has_training_mode(graph([3], "BatchNormalization"))
    assert not plan.has_training_mode(graph([3], {"Dropout": 0.5}))
    assert plan.has_training_mode(
        graph([4, 3], {"TimeDistributed": {"layer": "BatchNormalization"}})
    )


def test_nothing_is_random_in_the_comparison_of_training_mode() -> None:
    noisy = graph([3], {"Dropout": 0.5}, {"GaussianNoise": 0.1}, "BatchNormalization")
    quiet = plan.without_noise(noisy)
    assert [quiet.layers[0].layer.rate, quiet.layers[1].layer.stddev] == [0.0, 0.0]


def noise(layer: Any) -> list[float]:
    names = ("rate", "stddev", "dropout", "recurrent_dropout")
    return [getattr(part, name) for part in within(layer) for name in names if name in part.kinds]


@pytest.mark.parametrize(
    "layer",
    [
        {"LSTM": {"units": 2, "dropout": 0.1, "recurrent_dropout": 0.2}},
        {"Bidirectional": {"layer": {"GRU": {"units": 2, "dropout": 0.1}}}},
        {"TimeDistributed": {"layer": {"Dropout": 0.5}}},
        {
            "RNN": {
                "cell": {
                    "StackedRNNCells": {
                        "cells": [
                            {"LSTMCell": {"units": 2, "recurrent_dropout": 0.1}},
                            {"GRUCell": {"units": 2, "dropout": 0.2}},
                        ]
                    }
                }
            }
        },
    ],
    ids=lambda layer: next(iter(layer)),
)
def test_nothing_is_random_within_other_layers(layer: Any) -> None:
    noisy = graph([4, 3], layer)
    quiet = plan.without_noise(noisy)
    assert any(noise(noisy.layers[0].layer))
    assert set(noise(quiet.layers[0].layer)) == {0.0}
    assert quiet.weights == noisy.weights


@pytest.mark.parametrize(("option", "value"), [("device", "gpu"), ("seeds", 0)])
def test_settings_that_make_no_sense_are_refused(option: str, value: Any) -> None:
    with pytest.raises(SpecError, match=str(value)):
        Settings(**{option: value})
