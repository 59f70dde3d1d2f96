"""What generated programs are made of: as many steps as the layers need, and no others."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest

from seqgen.generator import Options, generate_programs
from seqgen.ir.graph import Model, Transpose
from seqgen.targets import TARGETS
from seqgen.weights import random_weights
from tests.benchmarks.networks import decoder, guide_cnn, mobilenet_like, vgg_like
from tests.cases import graph_of

# Small inputs: they change no step.
SPECS = {
    "guide_cnn": guide_cnn(),
    "vgg_like": vgg_like(32),
    "mobilenet_like": mobilenet_like(32),
    "decoder": decoder(),
}
OPERATORS = {
    "guide_cnn": {"Conv": 6, "Relu": 6, "MaxPool": 3, "ReduceMax": 1, "Gemm": 1},
    "vgg_like": {"Conv": 13, "Relu": 15, "MaxPool": 5, "Flatten": 1, "Gemm": 3},
    "mobilenet_like": {
        "Conv": 15,
        "BatchNormalization": 15,
        "Clip": 15,
        "ReduceMean": 1,
        "Gemm": 1,
        "Softmax": 1,
    },
    "decoder": {
        "Gemm": 1,
        "Relu": 3,
        "Reshape": 1,
        "ConvTranspose": 2,
        "Resize": 1,
        "Conv": 1,
        "Sigmoid": 1,
    },
}


def graph(name: str) -> Model:
    """The graph of a network."""
    spec = SPECS[name]
    return graph_of({**spec, "input": spec["input"]["shape"]})


def built(name: str, layout: str, folder: Path) -> onnx.ModelProto:
    """The graph that the generated program builds."""
    made = graph(name)
    path = folder / "weights.safetensors"
    random_weights(made.weights).save(path)
    text = generate_programs(made, Options(("onnx",), layout), "").files["onnx_model.py"]
    scope: dict[str, Any] = {"__name__": "program"}
    exec(text, scope)
    model: onnx.ModelProto = scope["build_model"](str(path))
    return model


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How often each operator stands in a graph. Constants cost nothing at run time."""
    return Counter(node.op_type for node in model.graph.node if node.op_type != "Constant")


@pytest.mark.parametrize("name", SPECS)
def test_onnx_has_an_operator_for_each_layer_and_activation(name: str, tmp_path: Path) -> None:
    model = built(name, "native", tmp_path)
    assert operators(model) == OPERATORS[name]


@pytest.mark.parametrize("name", SPECS)
def test_onnx_in_spec_layout_has_one_transpose_more(name: str, tmp_path: Path) -> None:
    """Images change their layout once: where they come in, or where they go out."""
    model = built(name, "spec", tmp_path)
    assert operators(model) == {**OPERATORS[name], "Transpose": 1}


@pytest.mark.parametrize(("layout", "count"), [("native", 0), ("spec", 1)])
@pytest.mark.parametrize("target", ["torch", "onnx"])
@pytest.mark.parametrize("name", SPECS)
def test_layout_changes_only_at_the_border(name: str, target: str, layout: str, count: int) -> None:
    lowered = TARGETS[target].lower(graph(name), layout)
    assert sum(isinstance(node.layer, Transpose) for node in lowered.nodes) == count


def test_batch_normalization_keeps_its_weights_and_names(tmp_path: Path) -> None:
    model = built("mobilenet_like", "native", tmp_path)
    names = {tensor.name for tensor in model.graph.initializer}
    assert names == {weight.key for weight in graph("mobilenet_like").weights}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            layer = node.output[0]
            variables = ("gamma", "beta", "moving_mean", "moving_variance")
            assert list(node.input[1:]) == [f"{layer}.{name}" for name in variables]


@pytest.mark.parametrize("name", SPECS)
def test_names_of_tensors_are_those_of_the_layers(name: str, tmp_path: Path) -> None:
    model = built(name, "native", tmp_path)
    made = {output for node in model.graph.node for output in node.output}
    assert {node.name for node in graph(name).layers} <= made
    assert [entry.name for entry in model.graph.input] == ["input_layer"]


def test_generating_imports_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys; from seqgen.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in sys.modules if '.' not in name])\n"
    )
    spec = Path(__file__).parents[2] / "examples" / "guide_cnn.yaml"
    command = [sys.executable, "-c", code, "generate", str(spec), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert {"seqgen", "jinja2", "black"} <= loaded
    assert not loaded & {"tensorflow", "keras", "torch", "jax", "onnx", "onnxruntime", "h5py"}
    assert len(list((tmp_path / "out").iterdir())) == 4
