"""Graphs of layers in HDF5 files as Keras 2 wrote them, compared with the same in Keras 3."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import seqgen
from seqgen.errors import SeqgenError
from tests.importers.keras_2 import called, entry, item, write_model
from tests.importers.test_hdf5 import dense, draw, normalization

keras = pytest.importorskip("keras")
layers = keras.layers


def variables(layer: str, inputs: int, units: int) -> list[tuple[str, np.ndarray]]:
    return [(f"{layer}/kernel:0", draw(inputs, units)), (f"{layer}/bias:0", draw(units))]


def statistics(layer: str, size: int) -> list[tuple[str, np.ndarray]]:
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    return [(f"{layer}/{name}:0", draw(size, low=0.5)) for name in names]


def inner_config(kind: str) -> dict[str, Any]:
    """A model within, with two inputs and two outputs."""
    config = {
        "name": "inner",
        "layers": [
            entry("left", 4),
            entry("right", 3),
            called(dense("narrow", 3), [["left", 0, 0, {}]]),
            called(normalization("norm", axis=[1]), [["narrow", 0, 0, {}]]),
            called(item("Add", name="sum"), [["norm", 0, 0, {}], ["right", 0, 0, {}]]),
        ],
        "input_layers": [["left", 0, 0], ["right", 0, 0]],
        "output_layers": [["sum", 0, 0], ["narrow", 0, 0]],
    }
    return {"class_name": kind, "config": config}


def shared_and_nested(kind: str = "Model") -> tuple[dict[str, Any], Any]:
    """A shared layer, a graph and a stack within called twice each, and a call in a mode."""
    first = dense("first", 4)
    first["config"]["batch_input_shape"] = [None, 4]
    stack = {"class_name": "Sequential", "config": {"name": "stack", "layers": [first]}}
    config = {
        "name": "outer",
        "layers": [
            entry("a", 4),
            entry("b", 4),
            called(dense("shared", 4), [["a", 0, 0, {}]], [["b", 0, 0, {"training": False}]]),
            called(stack, [["shared", 0, 0, {}]], [["shared", 1, 0, {}]]),
            called(dense("three", 3), [["stack", 1, 0, {}]]),
            called(
                inner_config(kind),
                [["shared", 1, 0, {}], ["three", 0, 0, {}]],
                [["stack", 2, 0, {}], ["inner", 1, 0, {}]],
            ),
            called(item("Subtract", name="gap"), [["inner", 1, 1, {}], ["inner", 2, 0, {}]]),
        ],
        "input_layers": [["b", 0, 0], ["a", 0, 0]],
        "output_layers": [["gap", 0, 0], ["inner", 2, 1], ["stack", 2, 0]],
    }
    left, right = keras.Input((4,)), keras.Input((3,))
    narrow = layers.Dense(3)(left)
    total = layers.Add()([layers.BatchNormalization(epsilon=0.01)(narrow), right])
    inner = keras.Model([left, right], [total, narrow], name="inner")
    sequential = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    shared = layers.Dense(4)
    a, b = keras.Input((4,)), keras.Input((4,))
    x, y = shared(a), shared(b)
    p, q = sequential(x), sequential(y)
    total, narrow = inner([y, layers.Dense(3)(p)])
    again, other = inner([q, total])
    return config, keras.Model([b, a], [layers.Subtract()([narrow, again]), other, q])


SAVED = [
    ("a", []),
    ("b", []),
    ("shared", variables("shared", 4, 4)),
    ("stack", variables("first", 4, 4)),
    ("three", variables("three", 4, 3)),
]
INNER = [*variables("narrow", 4, 3), *statistics("norm", 3)]


@pytest.mark.parametrize(("kind", "version"), [("Model", "2.2.4"), ("Functional", "2.9.0")])
def test_graph_of_keras_2(kind: str, version: str, tmp_path: Path) -> None:
    config, model = shared_and_nested(kind)
    saved = [*SAVED, ("inner", INNER), ("gap", [])]
    values = [value for _, pairs in saved for _, value in pairs]
    for variable, value in zip(model.weights, values, strict=True):
        variable.assign(value)
    path = write_model(tmp_path / "m.h5", config, saved, version, kind=kind)
    imported = seqgen.from_keras(path)
    x = [draw(3, 4), draw(3, 4)]
    for one, other in zip(imported(x), model(x, training=False), strict=True):
        assert np.allclose(one, np.asarray(other), rtol=1e-5, atol=1e-5)
    assert [layer.name for layer in imported.layers][2:] == [
        item["name"] for item in config["layers"][2:]
    ]


def test_head_on_a_graph_of_keras_2(tmp_path: Path) -> None:
    """A Sequential whose first layer is a graph, with the variables that are trained first."""
    inner = inner_config("Functional")
    inner["config"]["layers"].pop(1)
    inner["config"]["layers"][-1]["inbound_nodes"][0][1][0] = "narrow"
    inner["config"] |= {"input_layers": [["left", 0, 0]], "output_layers": [["sum", 0, 0]]}
    config = {"name": "head", "layers": [inner, dense("top", 2)]}
    saved = [("inner", INNER), ("top", variables("top", 3, 2))]
    imported = seqgen.from_keras(write_model(tmp_path / "m.h5", config, saved, "2.6.0"))
    received = {v.path: v.numpy() for v in imported.weights}
    for name, value in [*INNER, *saved[1][1]]:
        prefix = "" if name.startswith("top") else "inner/"
        assert np.array_equal(received[prefix + name.removesuffix(":0")], value)


def edit(config: dict[str, Any], place: int, calls: Any) -> dict[str, Any]:
    config["layers"][place]["inbound_nodes"] = calls
    return config


BROKEN: list[tuple[Any, str]] = [
    (lambda c: edit(c, 2, [[["none", 0, 0, {}]], [["b", 0, 0, {}]]]), "'shared'.*'none', 0, 0"),
    (lambda c: edit(c, 4, [[["stack", 7, 0, {}]]]), "'three'.*'stack', 6, 0"),
    (lambda c: edit(c, 4, [[["inner", 1, 0, {}]]]), "circle"),
    (lambda c: edit(c, 4, 5), "Dense 'three': expected a list of calls"),
    (lambda c: edit(c, 4, [3]), "Dense 'three': expected places"),
    (lambda c: edit(c, 4, [[["_CONSTANT_VALUE", -1, 1.0, {}]]]), "Dense 'three'.*constant"),
    (lambda c: edit(c, 4, [[["stack", 1, 0, {"mask": ["a", 0, 0]}]]]), "Dense 'three'.*'mask'"),
    (lambda c: {**c, "output_layers": 3}, "output"),
    (lambda c: {**c, "output_layers": [["gap", 1, 0]]}, "'gap', 1, 0"),
    (lambda c: {**c, "layers": {}}, "no list of layers"),
    (lambda c: {**c, "layers": [1]}, "describes no layer"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_broken_graph_is_one_clear_error(change: Any, words: str, tmp_path: Path) -> None:
    config, _ = shared_and_nested()
    path = write_model(tmp_path / "m.h5", {}, [])
    with h5py.File(path, "a") as file:
        text = json.dumps({"class_name": "Model", "config": change(config)})
        file.attrs["model_config"] = text
    with pytest.raises(SeqgenError, match=words):
        seqgen.from_keras(path)
