"""Long ONNX programs: functions and loops make the same graph as one node after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.shape_inference import InferenceError

import seqgen
from seqgen import layers
from seqgen.errors import UnsupportedError
from seqgen.generator import Options, program
from seqgen.ir.graph import Model
from seqgen.spec.tensors import Tensor
from seqgen.targets import onnx_long
from seqgen.targets.onnx import ONNX
from seqgen.weights import random_weights
from tests.cases import graph_of, load_cases
from tests.spec.test_hostile_names import NAMES
from tests.targets import test_blocks


def text_of(graph: Model, layout: str = "native", templates: Path | None = None) -> str:
    """The program of a model."""
    options = Options(("onnx",), layout, templates=templates, formatted=False)
    return program(graph, ONNX, options).texts["onnx_model.py"]


def built(text: str, weights: Path) -> onnx.GraphProto:
    """The graph that a program makes, its nodes and weights in the order of their names."""
    code: dict[str, Any] = {"__name__": "onnx_model"}
    exec(compile(text, "onnx_model.py", "exec"), code)
    graph = code["build_model"](str(weights)).graph
    made = {tensor.name for tensor in (*graph.input, *graph.initializer)}
    for node in graph.node:
        assert {name for name in node.input if name} <= made, "a node stands before what it reads"
        made.update(node.output)
    for field in (graph.node, graph.initializer):
        ordered = sorted(field, key=lambda item: item.SerializeToString())
        del field[:]
        field.extend(ordered)
    return graph


def check_short_and_long(
    graph: Model,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: str = "native",
    templates: Path | None = None,
) -> str:
    """Compare the graphs of both programs of a model; return the long one."""
    weights = folder / "weights.safetensors"
    random_weights(graph.weights, dtype=graph.dtype).save(weights)
    monkeypatch.setattr(onnx_long, "SHORT", 10**6)
    short = built(text_of(graph, layout, templates), weights)
    monkeypatch.setattr(onnx_long, "SHORT", 0)
    monkeypatch.setattr(onnx_long, "FEWEST_LAYERS", 1)
    long = text_of(graph, layout, templates)
    assert built(long, weights) == short
    return long


# Those whose layers have functions, or weights that the loop over nodes may load.
FAMILIES = ("convolution", "core", "merging", "normalization", "wrappers")
CASES = [case for case in load_cases() if case["id"].startswith(FAMILIES)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_layers(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        graph = graph_of(case)
        check_short_and_long(graph, tmp_path, monkeypatch)
    except (UnsupportedError, InferenceError) as error:
        pytest.skip(f"there is no such program: {error}")


def numbered() -> seqgen.Model:
    """Parts that are told apart by a number in the middle, and layers that are counted."""
    inputs = x = seqgen.Input((8, 8, 4))
    for stage in range(2, 7):
        y = layers.DepthwiseConv2D(3, padding="same", name=f"deep_{stage}_in")(x)
        y = layers.Activation("swish")(layers.BatchNormalization()(y))
        y = layers.Conv2D(4 * stage, 1, use_bias=False, name=f"wide_{stage}_in")(y)
        x = layers.Conv2D(4, 1, activation="relu", name=f"flat_{stage}_in")(y)
    return seqgen.Model(inputs, layers.GlobalAveragePooling2D()(x), name="numbered")


def shared() -> seqgen.Model:
    """A model that is called twice, within which parts repeat."""
    inner, other = test_blocks.densenet(), seqgen.Input((8, 8, 3))
    inputs = seqgen.Input((8, 8, 3))
    x = layers.Add()([inner(inputs), inner(other)])
    return seqgen.Model([inputs, other], layers.Dense(2)(x), name="siamese")


def twice_within() -> seqgen.Model:
    """A model within a model within."""
    inputs = seqgen.Input((16, 16, 3), name="image")
    inner = test_blocks.nested()
    outer = seqgen.Model(inputs, layers.Dense(2, name="last")(inner(inputs)), name="outer")
    return seqgen.Sequential([seqgen.Input((16, 16, 3)), outer, layers.Dense(3)], name="around")


def clashing() -> seqgen.Model:
    """What a model within takes is called as one of its layers."""
    inputs = seqgen.Input((8, 8, 3))
    inner = seqgen.Model(inputs, layers.Conv2D(3, 1, name="conv")(inputs), name="inner")
    given = seqgen.Input((8, 8, 3), name="conv")
    return seqgen.Model(given, inner(given), name="clashing")


def looping() -> seqgen.Model:
    """A model within that has a loop: the nodes of its steps have names, too."""
    inputs = seqgen.Input((3, 4, 4, 2))
    inner = seqgen.Model(inputs, layers.ConvLSTM2D(2, 3, name="lstm")(inputs), name="inner")
    given = seqgen.Input((3, 4, 4, 2))
    return seqgen.Model(given, inner(given), name="looping")


MODELS: dict[Callable[[], seqgen.Model], list[str]] = {
    test_blocks.resnet: [
        "def residual_conv_block(x: str, name: str) -> list[onnx.NodeProto]:",
        "strides: list[int] | None = None",
        "*conv_block('conv2_block2_out', 'conv3_block1', strides=[2, 2]),",
    ],
    test_blocks.densenet: [
        "for i in range(2, 6):",
        "nodes += block(f'block{i - 1}_concat', f'block{i}')",
    ],
    test_blocks.inception: ["np.ones(channels)", "average_pooling2d: int", "conv2d_{number + 3}"],
    test_blocks.separable: ["depthwise_conv(x, ", '[f"{name}.depthwise"]'],
    test_blocks.cells: [
        "def concat(x: str, y: str, number: int, re_lu: int)",
        "*concat('concat_3', 'concat_4', 5, 32),",
    ],
    test_blocks.preactivated: ["def conv_block("],
    test_blocks.extractor: ["def conv_block("],
    test_blocks.nested: ["'conv3_block1', strides=", "return within('resnet', nodes, 'input_layer"],
    twice_within: ["*head(),", "*outer(),", "return within('outer', nodes, 'input_layer"],
    clashing: ["conv('conv', 'inner/conv', "],
    looping: ["make_graph("],
    numbered: ["number: int"],
    shared: ["for node in nodes:"],
}


@pytest.mark.parametrize("layout", ["native", "spec"])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_parts(
    make: Callable[[], seqgen.Model],
    layout: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = check_short_and_long(make().graph(), tmp_path, monkeypatch, layout)
    assert layout == "spec" or [line for line in MODELS[make] if line not in text] == []


# What functions, arguments, variables and modules of the program are called.
OWN = [
    *("conv", "batch_norm", "name", "number", "layer", "x", "i", "nodes", "group", "build_model"),
    *("list", "str", "make_node", "channels", "laid_out", "onnx", "strides"),
]


def named_parts(name: str) -> seqgen.Model:
    """Parts whose layers begin with a name and are numbered, within a model of that name."""

    def part(x: Tensor, number: int) -> Tensor:
        stem = f"{name}{number}"
        y = layers.Conv2D(4, 3, padding="same", strides=1 + number // 3, name=f"{stem}_a")(x)
        y = layers.BatchNormalization(name=f"{stem}_b")(y)
        y = layers.ReLU(name=f"{stem}_c")(y)
        return layers.Conv2D(4, 1, name=f"{stem}_d")(y)

    inputs = x = seqgen.Input((8, 8, 4), name=f"{name} in")
    for number in range(1, 5):
        x = part(x, number)
    inner = seqgen.Model(inputs, x, name=name)
    outer = seqgen.Input((8, 8, 4), name="entry")
    x = inner(outer)
    for number in range(5, 9):
        x = part(x, number)
    return seqgen.Model(outer, x, name="outer")


@pytest.mark.parametrize("name", [*NAMES, *OWN])
def test_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = check_short_and_long(named_parts(name).graph(), tmp_path, monkeypatch)
    assert "Make a part of the graph" in text
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors"}


# A macro of a user's, for which a layer has no use for its last weight.
LEFT_OUT = """{%% from "onnx/make.j2" import make %%}
{%% macro %s(node) %%}
{{ make("%s", [node.inputs[0]] + node.weights[:-1] | map(attribute="key") | list, [node.name]) }}
{%% endmacro %%}
"""


@pytest.mark.parametrize(
    ("family", "kind", "op"), [("convolution", "Conv2D", "Conv"), ("core", "Dense", "Gemm")]
)
def test_a_weight_that_no_node_takes(
    family: str, kind: str, op: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = tmp_path / "onnx" / "layers"
    templates.mkdir(parents=True)
    (templates / f"{family}.j2").write_text(LEFT_OUT % (kind, op), encoding="utf-8")
    inputs = x = seqgen.Input((8, 8, 3))
    for number in range(1, 5):
        x = layers.Conv2D(3, 1, name=f"part{number}_conv")(x)
        x = layers.ReLU(name=f"part{number}_relu")(x)
    x = layers.Dense(2)(layers.GlobalAveragePooling2D()(x))
    graph = seqgen.Model(inputs, x).graph()
    text = check_short_and_long(graph, tmp_path, monkeypatch, templates=tmp_path)
    assert f"weights.pop('{'dense' if kind == 'Dense' else 'part1_conv'}.bias')" in text
