"""What programs with recurrent layers are made of, and what PyTorch users do with theirs."""

import copy
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from seqgen.generator import Options, generate_programs
from seqgen.ir.graph import Model
from seqgen.targets import TARGETS
from seqgen.weights import random_weights
from tests.cases import SPECS, graph_of, load_cases
from tests.targets.test_structure import operators

torch = pytest.importorskip("torch")

Layers = list[Any]
WORDS = {"Embedding": {"input_dim": 9, "output_dim": 4, "mask_zero": True}}
LSTM = {"LSTM": {"units": 3, "return_sequences": True}}
BOTH = {"Bidirectional": {"layer": LSTM}}
BOTH_LAST = {"Bidirectional": {"layer": {"LSTM": 2}}}
STATEFUL = {"LSTM": {"units": 3, "stateful": True}}
FRONT = {"Sequential": {"layers": [{"Conv1D": {"filters": 3, "kernel_size": 2}}, "Flatten"]}}


def graph(layers: Layers, shape: list[int | None], **more: Any) -> Model:
    """The graph of a chain of layers."""
    return graph_of({"name": "net", "input": shape, "layers": layers, **more})


def program(made: Model, target: str, folder: Path) -> tuple[ModuleType, str, str]:
    """A target's program as a module, its text, and the path of random weights for it."""
    text = generate_programs(made, Options((target,)), "").files[f"{target}_model.py"]
    module, path = ModuleType("program"), folder / "weights.safetensors"
    exec(compile(text, "program", "exec"), module.__dict__)
    random_weights(made.weights).save(path)
    return module, text, str(path)


def onnx_operators(layers: Layers, shape: list[int | None], folder: Path) -> Counter[str]:
    """How often each operator stands in the ONNX graph of a chain of layers."""
    entry = {"input_dtype": "int32"} if layers[0] is WORDS else {}
    module, _, path = program(graph(layers, shape, **entry), "onnx", folder)
    return operators(module.build_model(path))


def torch_model(made: Model, folder: Path) -> Any:
    """The PyTorch model with random weights, in inference mode."""
    module, _, path = program(made, "torch", folder)
    model = module.build_model()
    module.load_weights(model, path)
    return model.eval()


def test_masked_layers_sort_steps_once(tmp_path: Path) -> None:
    """The steps that are kept are moved to the front for both layers, and never moved back."""
    found = onnx_operators([WORDS, BOTH, BOTH_LAST], [None], tmp_path)
    kinds = ("LSTM", "TopK", "GatherND", "Scan", "Loop", "Where", "CumSum")
    assert [found[kind] for kind in kinds] == [2, 1, 1, 0, 0, 0, 0]


def test_steps_move_back_for_a_layer_that_looks_at_several(tmp_path: Path) -> None:
    convolution = {"Conv1D": {"filters": 3, "kernel_size": 1}}
    found = onnx_operators([WORDS, BOTH, convolution, BOTH_LAST], [None], tmp_path)
    assert [found[kind] for kind in ("LSTM", "TopK", "GatherND")] == [2, 1, 2]


@pytest.mark.parametrize("reset_after", [False, True])
def test_a_gru_is_one_operator(reset_after: bool, tmp_path: Path) -> None:
    layer = {"GRU": {"units": 3, "reset_after": reset_after}}
    found = onnx_operators([layer], [5, 4], tmp_path)
    assert found["GRU"] == 1
    assert set(found) <= {"GRU", "Transpose", "Squeeze", "Pad"}


@pytest.mark.parametrize("more", [{}, {"unroll": True}, {"return_sequences": True}])
def test_other_activations_are_one_scan(more: dict[str, bool], tmp_path: Path) -> None:
    layer = {"LSTM": {"units": 3, "activation": "gelu", **more}}
    found = onnx_operators([layer], [5, 4], tmp_path)
    assert found["Scan"] == 1
    assert not found["LSTM"]
    assert not found["MatMul"]


def test_unrolled_is_the_same_graph(tmp_path: Path) -> None:
    layers = [[{"LSTM": {"units": 3, "unroll": unroll}}] for unroll in (False, True)]
    plain, unrolled = (onnx_operators(layer, [40, 4], tmp_path) for layer in layers)
    assert plain == unrolled
    assert unrolled["LSTM"] == 1


RECURRENT = ("recurrent", "masks", "wrappers")
CASES = [case for case in load_cases() if case["id"].partition("-")[0] in RECURRENT]


@pytest.mark.parametrize("file", RECURRENT)
def test_torch_programs_have_no_helper_without_use(file: str) -> None:
    assert (SPECS / f"{file}.yaml").exists()
    for case in CASES:
        if not case["id"].startswith(file) or "torch" in case.get("refused", {}):
            continue
        made = generate_programs(graph_of(case), Options(("torch",), formatted=False), "")
        text = made.files["torch_model.py"]
        for name in re.findall(r"^(?:class|def) (\w+)", text, re.MULTILINE):
            used = len(re.findall(rf"\b{name}\b", text))
            assert used > 1 or name in ("build_model", "load_weights"), f"{case['id']}: {name}"


EXPORTED = {
    "masked_both_ways": ([WORDS, BOTH, BOTH_LAST], [7], {"input_dtype": "int32"}),
    "gru": ([{"GRU": {"units": 3, "return_sequences": True}}, {"GRU": 2}], [7, 4], {}),
    "loop": (["Masking", {"LSTM": {"units": 3, "activation": "gelu"}}], [7, 4], {}),
    "front_end": ([{"TimeDistributed": {"layer": FRONT}}, {"LSTM": 3}], [7, 6, 2], {}),
    "stateful": ([STATEFUL], [7, 4], {"batch_size": 3}),
}


def drawn(made: Model, batch: int) -> Any:
    """A batch as the PyTorch program takes it; of words, some steps are masked."""
    entry = TARGETS["torch"].lower(made, "native").by_name["input_layer"].physical
    shape, rng = (batch, *entry.shape[1:]), np.random.default_rng(batch)
    if entry.dtype == "int32":
        return torch.tensor(rng.integers(0, 3, shape), dtype=torch.int32)
    return torch.tensor(rng.normal(size=shape), dtype=torch.float32)


@pytest.mark.parametrize("name", EXPORTED)
def test_exports_with_an_open_batch(name: str, tmp_path: Path) -> None:
    """The number of steps is fixed: PyTorch takes its own recurrent modules apart by steps."""
    layers, shape, more = EXPORTED[name]
    made = graph(layers, shape, **more)
    model, open_batch = torch_model(made, tmp_path), "batch_size" not in more
    opened = ({0: torch.export.Dim.AUTO},) if open_batch else None
    # An export shares its tensors with the model.
    own = copy.deepcopy(model)
    exported = torch.export.export(own, (drawn(made, 3),), dynamic_shapes=opened).module()
    # States go on from batch to batch, in both of them.
    for batch in (3, 5, 2) if open_batch else (3, 3, 3):
        x = drawn(made, batch)
        with torch.no_grad():
            assert torch.allclose(exported(x), model(x), atol=1e-6)


BEFORE = {"GRU": {"units": 5, "reset_after": False}}
COUNTED = {
    "lstm": ({"LSTM": 64}, [7, 32], 24832),
    "gru": ({"GRU": 5}, [7, 3], 3 * 5 * (3 + 5 + 2)),
    "gru_reset_before": (BEFORE, [7, 3], 3 * 5 * (3 + 5 + 1)),
    "simple_rnn": ({"SimpleRNN": 5}, [7, 3], 5 * (3 + 5 + 1)),
    "bidirectional": ({"Bidirectional": {"layer": {"LSTM": 5}}}, [7, 3], 2 * 4 * 5 * (3 + 5 + 1)),
    "loop": ({"LSTM": {"units": 5, "activation": "gelu"}}, [7, 3], 4 * 5 * (3 + 5 + 1)),
    "no_bias": ({"LSTM": {"units": 5, "use_bias": False}}, [7, 3], 4 * 5 * (3 + 5)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_as_many_parameters_as_keras_has(name: str, tmp_path: Path) -> None:
    layer, shape, count = COUNTED[name]
    made = graph([layer], shape)
    model = torch_model(made, tmp_path)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert made.count_params()["total"] == count


STATES = {
    "lstm": [STATEFUL],
    "gru": [{"GRU": {"units": 3, "stateful": True}}],
    "loop": [{"LSTM": {"units": 3, "stateful": True, "activation": "gelu"}}],
    "masked": ["Masking", STATEFUL],
    "both_ways": [{"Bidirectional": {"layer": STATEFUL}}],
    "cells": [{"RNN": {"cell": [{"LSTMCell": 3}, {"GRUCell": 2}], "stateful": True}}],
}


@pytest.mark.parametrize("name", STATES)
def test_states_can_be_reset(name: str, tmp_path: Path) -> None:
    made = graph(STATES[name], [5, 4], batch_size=3)
    model, x = torch_model(made, tmp_path), drawn(made, 3)
    with torch.no_grad():
        first, second = model(x), model(x)
        model.reset_states()
        again = model(x)
    assert not torch.allclose(first, second, atol=1e-4)
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", STATES)
def test_training_goes_on_with_the_states(name: str, tmp_path: Path) -> None:
    """Gradients end at the batch, as in Keras, so that the second backward pass has a graph."""
    made = graph(STATES[name], [5, 4], batch_size=3)
    model, x = torch_model(made, tmp_path).train(), drawn(made, 3)
    for _ in range(2):
        model.zero_grad()
        model(x).square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
