"""Layers around others: what Keras makes of them, in Python and in what is generated."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen import layers
from seqgen.errors import SpecError
from seqgen.layers.within import within
from seqgen.passes.dtype import typed_layer
from tests.spec.models import moving_pictures, recurrent, within_steps


def test_both_ways_as_keras_makes_them() -> None:
    cell = layers.GRUCell(2, implementation=1)
    both = layers.Bidirectional(layers.RNN(cell, return_sequences=True, name="forward_x"))
    assert (both.forward.name, both.backward.name) == ("forward_x", "backward_forward_x")
    assert (both.forward.go_backwards, both.backward.go_backwards) == (False, True)
    assert both.forward.zero_output_for_mask
    assert both.backward.zero_output_for_mask
    # Keras makes layers again of a config that does not have it.
    assert both.forward.cell.implementation == 2


def test_a_given_layer_stays_as_it_is() -> None:
    back = layers.LSTM(3, go_backwards=True, implementation=1, zero_output_for_mask=True)
    both = layers.Bidirectional(layers.LSTM(3), backward_layer=back)
    assert both.backward.name == "lstm"
    assert both.backward.implementation == 1
    assert not both.backward.zero_output_for_mask


def test_a_sequential_within_is_taken_as_it_is() -> None:
    inner = seqgen.Sequential([seqgen.Input((4,)), layers.Dense(3, name="a"), layers.Dense(2)])
    each = layers.TimeDistributed(inner)
    inner.add(layers.Dense(7))
    model = seqgen.Sequential([seqgen.Input((5, 4)), each])
    assert model.output_shape == (None, 5, 2)
    assert [v.path for v in model.weights][::2] == [
        "time_distributed/sequential/a/kernel",
        "time_distributed/sequential/dense/kernel",
    ]
    with pytest.raises(SpecError, match="made for an input"):
        seqgen.Sequential([seqgen.Input((5, 3)), layers.TimeDistributed(inner)])


def with_weights() -> Any:
    inner = seqgen.Sequential([seqgen.Input((4,)), layers.Dense(3)])
    inner.weights[0].assign(np.ones((4, 3)))
    return inner


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (with_weights, "give them to the model around it"),
        (lambda: seqgen.Sequential([layers.Dense(3)], dtype="float64"), "dtype"),
        (lambda: seqgen.Sequential([seqgen.Input((4,), dtype="int32")]), "dtype"),
        (lambda: seqgen.Sequential(), "at least one layer"),
        (lambda: {"Sequential": {"layers": ["ReLU"], "trainable": False}}, "no such argument"),
        (lambda: {"Sequential": [layers.Dense(2, name="a"), layers.ReLU(name="a")]}, "is taken"),
        (lambda: {"Sequential": [{"Dnse": 3}]}, "did you mean 'Dense'"),
    ],
)
def test_refused(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        layers.TimeDistributed(make())


def test_dtype_reaches_all_layers_within() -> None:
    model = within_steps(seqgen).graph()
    for node in model.layers:
        typed = typed_layer(node.layer, "float64")
        assert {part.dtype for part in within(typed)} <= {"float64", None}
        assert all(part.dtype for part in within(typed) if "dtype" in part.kinds)


@pytest.mark.parametrize("make", [recurrent, within_steps, moving_pictures])
@pytest.mark.parametrize("frozen", [False, True])
def test_keras_program(make: Any, frozen: bool, tmp_path: Path) -> None:
    """It has the variables of the spec, by path, and trains those that the spec trains."""
    keras = pytest.importorskip("keras")
    model = make(seqgen)
    for layer in model.layers:
        layer.trainable = not frozen
    seqgen.generate(model, tmp_path, targets=("keras",))
    model.save_weights(tmp_path / "weights.safetensors")
    program: dict[str, Any] = {}
    exec((tmp_path / "keras_model.py").read_text(), program)
    keras.utils.clear_session()
    keras.layers.Bidirectional(keras.layers.LSTM(2)), keras.layers.RNN([keras.layers.LSTMCell(1)])
    built = program["build_model"]()
    program["load_weights"](built, tmp_path / "weights.safetensors")
    assert [v.path.partition("/")[2] for v in built.weights] == [v.path for v in model.weights]
    trained = [v.path.partition("/")[2] for v in built.trainable_weights]
    graph = model.graph()
    assert trained == [w.key.replace(".", "/") for w in graph.weights if trains(graph, w)]
    for mine, theirs in zip(model.weights, built.weights, strict=True):
        assert np.array_equal(mine.numpy(), np.asarray(theirs))


def trains(graph: Any, weight: Any) -> bool:
    """Whether training changes a variable of a graph."""
    node = next(node for node in graph.layers if weight in node.weights)
    return bool(node.trainable and weight.trainable)


def test_layers_with_other_parts() -> None:
    both = layers.Bidirectional(layers.LSTM(3))
    same = both.with_parts(lambda part: part)
    wider = both.with_parts(lambda part: replace(part, units=5))
    assert same is both or same.layer is both.layer
    assert (wider.layer.units, both.layer.units) == (5, 3)
    assert layers.Dense(3).parts == ()
