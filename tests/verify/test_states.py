"""Layers that go on where the batch before ended: every worker runs batches one after another."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import save_file

import seqgen
from seqgen import layers, runtime
from seqgen.verify import Pool, plan
from tests.verify.test_plan import graph

# The same in three frameworks, with one step a batch: state = x @ kernel + state @ recurrent.
PROGRAMS = {
    "keras": """
import keras
from safetensors.numpy import load_file

def build_model():
    entry, out = keras.Input(batch_shape=(3, 1, 2)), keras.layers.ReLU(name="out")
    rnn = keras.layers.SimpleRNN(2, activation=None, use_bias=False, stateful=True, name="rnn")
    return keras.Sequential([entry, rnn, out])

def load_weights(model, path):
    weights = load_file(path)
    model.weights[0].assign(weights["rnn.kernel"])
    model.weights[1].assign(weights["rnn.recurrent"])
""",
    "torch": """
import torch
from safetensors.torch import load_file
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(2, 2))
        self.recurrent = nn.Parameter(torch.zeros(2, 2))
        self.register_buffer("state", torch.zeros(3, 2), persistent=False)

    def reset_states(self):
        self.state.zero_()

    def forward(self, x):
        x = x[:, 0] @ self.kernel + self.state @ self.recurrent
        self.state.copy_(x)
        x = torch.relu(x)
        return x

def build_model():
    return Net()

def load_weights(model, path):
    model.load_state_dict({k.removeprefix("rnn."): v for k, v in load_file(path).items()})
""",
    "onnx": """
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from safetensors.numpy import load_file

def build_model(path):
    weights = [numpy_helper.from_array(v, k) for k, v in load_file(path).items()]
    info = lambda name, *shape: make_tensor_value_info(name, TensorProto.FLOAT, shape)
    nodes = [
        make_node("Flatten", ["x"], ["flat"]),
        make_node("MatMul", ["flat", "rnn.kernel"], ["new"]),
        make_node("MatMul", ["state", "rnn.recurrent"], ["old"]),
        make_node("Add", ["new", "old"], ["rnn"]),
        make_node("Relu", ["rnn"], ["out"]),
    ]
    inputs = [info("x", 3, 1, 2), info("state", 3, 2)]
    outputs = [info("out", 3, 2), info("rnn", 3, 2)]
    graph = make_graph(nodes, "net", inputs, outputs, weights)
    return make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=9)
""",
}
RNG = np.random.default_rng(0)
WEIGHTS = {f"rnn.{name}": RNG.normal(size=(2, 2)).astype("f4") for name in ("kernel", "recurrent")}
INPUTS = [RNG.normal(size=(3, 1, 2)).astype("f4") for _ in range(3)]
ORACLE = [
    {
        "class": "SimpleRNN",
        "arguments": {"units": 2, "activation": None, "use_bias": False, "stateful": True},
        "weights": ["rnn.kernel", "rnn.recurrent"],
    },
    {"class": "ReLU", "arguments": {}, "weights": []},
]


def chain(*layers: dict[str, Any]) -> dict[str, Any]:
    """A chain of layers as the oracle is told of a graph."""
    names = ["x", *(f"layer_{number}" for number in range(len(layers)))]
    plain = {"same_as": "", "as_list": False, "ports": [], "by_name": [], "call": {}}
    return {
        "entries": [{"name": "x", "shape": [3, 1, 2], "dtype": "float32"}],
        "layers": [
            {**plain, **layer, "name": name, "inputs": [before]}
            for layer, before, name in zip(layers, names, names[1:], strict=False)
        ],
        "outputs": names[-1:],
    }


def states() -> list[np.ndarray]:
    """The state after each batch."""
    found = [np.zeros((3, 2), "f4")]
    for x in INPUTS:
        found.append(x[:, 0] @ WEIGHTS["rnn.kernel"] + found[-1] @ WEIGHTS["rnn.recurrent"])
    return found[1:]


RESULTS = [np.maximum(state, 0) for state in states()]


class Desk:
    """Asks workers in a folder."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.pool, self.folder = pool, folder
        save_file(WEIGHTS, folder / "weights.safetensors")
        np.savez(folder / "inputs.npz", **{f"a{i}": x for i, x in enumerate(INPUTS)})

    def ask(self, framework: str, op: str, **more: Any) -> tuple[list[np.ndarray], dict[str, Any]]:
        file = self.folder / f"{framework}_model.py"
        file.write_text(PROGRAMS[framework])
        request = {
            "inputs": str(self.folder / "inputs.npz"),
            "output": str(self.folder / "output.npz"),
            "weights": str(self.folder / "weights.safetensors"),
            "file": str(file),
            "device": "cpu",
            "dtypes": ["float32"],
            "training": False,
        }
        said = self.pool.ask(framework, op, **{**request, **more})
        with np.load(self.folder / "output.npz") as file:
            return [file[name] for name in file.files], said


@pytest.fixture
def desk(pool: Pool, tmp_path: Path) -> Desk:
    return Desk(pool, tmp_path)


def assert_close(received: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(received, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("framework", PROGRAMS)
def test_a_program_goes_on_from_batch_to_batch(framework: str, desk: Desk) -> None:
    for _ in range(2):
        received, said = desk.ask(framework, "program")
        assert_close(received, RESULTS)
        assert said["counts"]["total"] == 8


def test_so_does_the_oracle(desk: Desk) -> None:
    received, _ = desk.ask("keras", "oracle", graph=chain(*ORACLE))
    assert_close(received, RESULTS)


@pytest.mark.parametrize("index", [0, 2])
def test_a_trace_comes_after_the_batches_before(index: int, desk: Desk) -> None:
    more = {"index": index, "classes": ["Net"]}
    expected = [states()[index], RESULTS[index]]
    traced, _ = desk.ask("keras", "oracle_trace", graph=chain(*ORACLE), **more)
    assert_close(traced, expected)
    assert_close(desk.ask("keras", "trace", **more)[0], expected)
    assert_close(desk.ask("onnx", "trace", **more)[0][-2:], expected)
    arrays, said = desk.ask("torch", "trace", **more)
    assert_close(arrays[: said["statements"]], expected)


def test_nested_states_of_stacked_cells_begin_at_zero(desk: Desk) -> None:
    cell = {"class": "LSTMCell", "arguments": {"units": 2}}
    stacked = {"class": "StackedRNNCells", "arguments": {"cells": [cell, cell]}}
    keys = [f"{n}.{name}" for n in (0, 1) for name in ("kernel", "recurrent", "bias")]
    layer = {"class": "RNN", "arguments": {"cell": stacked, "stateful": True}, "weights": keys}
    shapes = [(2, 8), (2, 8), (8,)] * 2
    save_file(
        {key: np.ones(shape, "f4") for key, shape in zip(keys, shapes, strict=True)},
        desk.folder / "weights.safetensors",
    )
    arrays, _ = desk.ask("keras", "oracle", graph=chain(layer))
    alone = {**layer, "arguments": {"cell": stacked}}
    first, _ = desk.ask("keras", "oracle", graph=chain(alone))
    assert_close(arrays[:1], first[:1])
    assert not np.allclose(arrays[1], first[1])


def test_stateful_models_are_run_on_batches_of_one_size() -> None:
    lstm = {"LSTM": {"units": 2, "stateful": True}}
    for layer in (lstm, {"Bidirectional": {"layer": lstm}}):
        model = graph([None, 3], layer, batch_size=4)
        assert plan.input_shapes(model) == [(4, 5, 3), (4, 8, 3), (4, 5, 3)]
    assert plan.input_shapes(graph([None, 3], {"LSTM": 2}, batch_size=4)) == [(4, 5, 3), (4, 8, 3)]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> seqgen.Sequential:
    """A model that the hand-made graph stands for."""
    save_file(WEIGHTS, tmp_path / "weights.safetensors")
    names: dict[str, Any] = {}
    exec(PROGRAMS["onnx"], names)
    source = names["build_model"](str(tmp_path / "weights.safetensors")).SerializeToString()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    monkeypatch.setattr(runtime, "start", lambda graph, weights: session)
    return seqgen.Sequential([seqgen.Input((1, 2), 3), layers.Dense(2)])


def test_a_model_goes_on_until_it_is_reset(model: seqgen.Sequential) -> None:
    model.reset_states()
    for _ in range(2):
        assert_close([model(x) for x in INPUTS], RESULTS)
        model.reset_states()


def test_new_weights_leave_states_and_new_layers_do_not(model: seqgen.Sequential) -> None:
    assert_close([model(INPUTS[0])], RESULTS[:1])
    model.set_weights([w + 1 for w in model.get_weights()])
    assert_close([model(INPUTS[1])], RESULTS[1:2])
    model.add(layers.ReLU())
    assert_close([model(INPUTS[0])], RESULTS[:1])
