"""A batch of a fixed size: kept, shown, written and asked for."""

from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen import layers
from seqgen.generator import Options, generate_programs
from seqgen.importers.config import spec_of


def model(**more: Any) -> seqgen.Sequential:
    entry = seqgen.Input((None, 3), **more)
    return seqgen.Sequential([entry, layers.Dense(2), layers.GlobalMaxPooling1D()], name="net")


@pytest.mark.parametrize(
    "entry",
    [
        seqgen.Input((None, 3), batch_size=4),
        seqgen.Input((None, 3), np.int64(4)),
        seqgen.Input(batch_shape=(4, None, 3)),
        seqgen.Input(batch_shape=[4, None, 3]),
    ],
    ids=repr,
)
def test_every_way_to_say_it(entry: seqgen.Input) -> None:
    assert (entry.batch_size, entry.shape, entry.batch_shape) == (4, (None, 3), (4, None, 3))
    assert "batch_size=4" in repr(entry)


def test_a_batch_shape_with_an_open_batch() -> None:
    entry = seqgen.Input(batch_shape=(None, 4))
    assert (entry.batch_size, entry.shape) == (None, (4,))
    assert "batch_size" not in repr(entry)


def test_shapes_have_it() -> None:
    made = model(batch_size=4)
    assert (made.input_shape, made.output_shape) == ((4, None, 3), (4, 2))
    assert made.inputs[0].shape == (4, None, 3)
    assert [node.type.shape[0] for node in made.graph().nodes] == [4, 4, 4]
    assert {node.type.axes[0] for node in made.graph().nodes} == {"batch"}


def test_the_spec_says_it() -> None:
    assert "input: {shape: [null, 3], batch_size: 4}" in model(batch_size=4).to_yaml()
    assert "batch_size" not in model().to_yaml()


def test_a_build_gives_it_and_keeps_to_it() -> None:
    made = seqgen.Sequential([layers.Dense(2)])
    made.build((4, None, 3))
    assert made.output_shape == (4, None, 2)
    made.build((4, None, 3))
    for shape in ((None, None, 3), (5, None, 3), (4, 7, 3)):
        with pytest.raises(seqgen.SpecError, match=r"input shape \(4, None, 3\) already"):
            made.build(shape)


def test_a_call_leaves_the_batch_open() -> None:
    made = seqgen.Sequential([layers.Dense(2)])
    assert made(np.ones((4, 3))).shape == (4, 2)
    assert made.input_shape == (None, 3)


def test_shapes_of_other_batches() -> None:
    assert model(batch_size=4).compute_output_shape((5, 7, 3)) == (5, 2)
    assert model(batch_size=4).compute_output_shape((None, 7, 3)) == (None, 2)


def test_batches_of_that_size_are_taken_and_no_others() -> None:
    made = model(batch_size=4)
    assert made(np.ones((4, 5, 3))).shape == (4, 2)
    with pytest.raises(seqgen.SpecError, match=r"expected an input \(4, None, 3\), received \(3,"):
        made(np.ones((3, 5, 3)))


def test_a_model_around_has_the_same() -> None:
    inner = model(batch_size=4)
    assert seqgen.Sequential([seqgen.Input((None, 3), 4), inner]).output_shape == (4, 2)
    assert seqgen.Sequential([inner]).output_shape == (4, 2)
    with pytest.raises(seqgen.SpecError, match=r"expected an input \(4, None, 3\)"):
        seqgen.Sequential([seqgen.Input((None, 3), 5), inner])


def test_the_manifest_has_it() -> None:
    content = generate_programs(model(batch_size=4).graph(), Options(), "").content
    for target in content["targets"].values():
        assert target["inputs"][0]["shape"][0] == 4
        assert target["outputs"][0]["shape"] == [4, 2]


@pytest.mark.parametrize("late", [False, True])
def test_it_is_imported(late: bool) -> None:
    dense = {"class_name": "Dense", "config": {"name": "dense", "units": 2}, "module": None}
    entry = {"class_name": "InputLayer", "config": {"batch_shape": [4, None, 3], "name": "x"}}
    config: dict[str, Any] = {"name": "net", "layers": [dense] if late else [entry, dense]}
    config |= {"build_input_shape": [4, None, 3]} if late else {}
    spec = spec_of({"class_name": "Sequential", "config": config})
    assert seqgen.Sequential.from_dict(spec).output_shape == (4, None, 2)
