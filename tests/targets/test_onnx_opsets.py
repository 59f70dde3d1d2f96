"""ONNX programs of every opset that the target knows, run by the onnx and onnxruntime installed."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from seqgen.errors import UnsupportedError
from seqgen.generator import Options, generate_programs
from seqgen.targets.onnx import DEFAULT_OPSET, IR_VERSIONS, ir_version
from seqgen.weights import random_weights
from tests.cases import graph_of

NEWEST = min(max(IR_VERSIONS), onnx.defs.onnx_opset_version())
OPSETS = range(min(IR_VERSIONS), NEWEST + 1)

# Together they use the operators whose form has changed since opset 17: Pad, Resize and Split, and
# reductions, whose axes became an input; and functions that are one node since opset 20, 23 or 24.
CNN = [
    {"ZeroPadding2D": 1},
    {"Conv2D": {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}},
    "BatchNormalization",
    {"ReLU": {"max_value": 6.0}},
    {"DepthwiseConv2D": {"kernel_size": 3, "padding": "same", "activation": "silu"}},
    {"UpSampling2D": {"size": 2, "interpolation": "bilinear"}},
    {"AveragePooling2D": {"pool_size": 2, "padding": "same"}},
    "GlobalMaxPooling2D",
    {"Dense": {"units": 4, "activation": "softmax"}},
]
DECODER = [
    {"Dense": {"units": 24, "activation": "gelu"}},
    {"Reshape": [2, 3, 4]},
    {"Conv2DTranspose": {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}},
    {"GroupNormalization": {"groups": 3}},
    {"Activation": "mish"},
    {"Cropping2D": 1},
    "GlobalAveragePooling2D",
]
SERIES = [
    {"Conv1D": {"filters": 4, "kernel_size": 2, "padding": "causal", "activation": "elu"}},
    "LayerNormalization",
    {"Activation": "hard_sigmoid"},
    "RMSNormalization",
    {"UpSampling1D": 2},
    {"MaxPooling1D": 2},
    "Flatten",
    {"RepeatVector": 2},
    "UnitNormalization",
]
CASES: dict[str, dict[str, Any]] = {
    "cnn": {"name": "cnn", "input": [8, 8, 3], "layers": CNN},
    "decoder": {"name": "decoder", "input": [5], "layers": DECODER},
    "series": {"name": "series", "input": [6, 3], "layers": SERIES},
}


def build(case: dict[str, Any], opset: int, folder: Path) -> onnx.ModelProto:
    """The graph that the program of an opset builds; the program checks it."""
    graph = graph_of(case)
    weights = folder / "weights.safetensors"
    random_weights(graph.weights).save(weights)
    files = generate_programs(graph, Options(("onnx",), opset=opset), "").files
    scope: dict[str, Any] = {"__name__": "program"}
    exec(files["onnx_model.py"], scope)
    model: onnx.ModelProto = scope["build_model"](str(weights))
    return model


def run(model: onnx.ModelProto) -> np.ndarray:
    """What onnxruntime makes of a model."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    entry = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal((2, *entry.shape[1:])).astype(np.float32)
    result: np.ndarray = session.run(None, {entry.name: x})[0]
    return result


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Results of the default opset, which the equivalence tests compare with Keras."""
    folder = tmp_path_factory.mktemp("default")
    return {name: run(build(case, DEFAULT_OPSET, folder)) for name, case in CASES.items()}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", CASES)
def test_every_opset_computes_the_same(
    name: str, opset: int, tmp_path: Path, expected: dict[str, np.ndarray]
) -> None:
    model = build(CASES[name], opset, tmp_path)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert model.ir_version == ir_version(opset)
    np.testing.assert_allclose(run(model), expected[name], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("opset", OPSETS)
def test_the_ir_version_is_that_of_the_first_release_with_the_opset(opset: int) -> None:
    released = [ir for _, ir, version, *_ in onnx.helper.VERSION_TABLE if version == opset]
    assert ir_version(opset) == min(released)


@pytest.mark.parametrize("opset", [-1, 0, 16, max(IR_VERSIONS) + 1, 1000])
def test_other_opsets_are_refused(opset: int) -> None:
    with pytest.raises(UnsupportedError, match=f"17 to {max(IR_VERSIONS)}, not {opset}$"):
        Options(("onnx",), opset=opset)
