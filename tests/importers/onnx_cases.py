"""Graphs of ONNX: those that become specs, and those that are refused with what is said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnx import helper

from tests.importers.onnx_files import drawn, graph_file

IMAGE, LINE, VOLUME = (3, 9, 8), (4, 10), (2, 6, 5, 7)
INT64 = np.int64


class Graph(NamedTuple):
    """A graph in the making.

    Attributes:
        nodes: Its operators, each as (kind, inputs, outputs, attributes).
        inputs: Shapes without the batch, by name.
        constants: Arrays by name.
        options: Of the file.
    """

    nodes: list[tuple[str, Sequence[str], Sequence[str], dict[str, Any]]]
    inputs: dict[str, Sequence[Any]]
    constants: dict[str, np.ndarray]
    options: dict[str, Any]

    def write(self, path: Path) -> Path:
        """Write it to a file."""
        nodes = [
            helper.make_node(kind, list(reads), list(makes), **attributes)
            for kind, reads, makes, attributes in self.nodes
        ]
        return graph_file(path, nodes, self.inputs, self.constants, **self.options)

    @property
    def label(self) -> str:
        """What tests call it."""
        kinds = "-".join(kind for kind, *_ in self.nodes)
        said = [f"{k}{v}" for _, _, _, given in self.nodes for k, v in given.items()]
        shapes = "x".join(str(n) for shape in self.inputs.values() for n in shape)
        return f"{kinds}-{shapes}-{'-'.join(said)}"[:80].replace(" ", "")


def one(kind: str, shape: Sequence[Any], *constants: Any, **attributes: Any) -> Graph:
    """A graph of one operator that reads the input and constants; None leaves one out."""
    options = {key: attributes.pop(key) for key in ("opset", "dtype", "kinds") if key in attributes}
    names = [f"c{at}" if value is not None else "" for at, value in enumerate(constants)]
    held = {n: np.asarray(v) for n, v in zip(names, constants, strict=True) if v is not None}
    return Graph([(kind, ["x", *names], ["y"], attributes)], {"x": shape}, held, options)


def chain(shape: Sequence[Any], *steps: Any, **options: Any) -> Graph:
    """A graph of operators one behind the other, each as (kind, constants ..., attributes)."""
    nodes, constants, last = [], {}, "x"
    for at, step in enumerate(steps):
        kind, *values = step if isinstance(step, tuple) else (step,)
        attributes = values.pop() if values and isinstance(values[-1], dict) else {}
        names = [f"c{at}_{place}" for place in range(len(values))]
        constants |= dict(zip(names, map(np.asarray, values), strict=True))
        made = "y" if at == len(steps) - 1 else f"t{at}"
        nodes.append((kind, [last, *names], [made], attributes))
        last = made
    return Graph(nodes, {"x": shape}, constants, options)


def graph(
    inputs: dict[str, Sequence[Any]],
    constants: dict[str, Any],
    *nodes: str | tuple[str, dict],
    **o: Any,
) -> Graph:
    """A graph of operators written as `y, z = Kind(a, b)`."""
    made = []
    for node in nodes:
        text, attributes = node if isinstance(node, tuple) else (node, {})
        outputs, _, call = text.partition("=")
        kind, _, reads = call.strip().rstrip(")").partition("(")
        made.append((kind, _names(reads), _names(outputs), attributes))
    return Graph(made, inputs, {k: np.asarray(v) for k, v in constants.items()}, o)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def norm(channels: int, dtype: str = "float32") -> list[np.ndarray]:
    """Scale, offset, mean and variance."""
    made = [drawn((channels,), dtype, seed) for seed in range(4)]
    return [*made[:3], np.abs(made[3])]


def conv(*shape: int, bias: bool = True) -> list[np.ndarray]:
    """A kernel, and a bias."""
    return [drawn(shape), *([drawn(shape[:1], seed=1)] if bias else [])]


CONVOLUTIONS = [
    one("Conv", LINE, *conv(3, 4, 3)),
    one("Conv", LINE, *conv(3, 4, 3), pads=[2, 0]),
    one("Conv", LINE, *conv(3, 4, 3), pads=[0, 2]),
    one("Conv", IMAGE, *conv(4, 3, 3, 2, bias=False), strides=[2, 1], pads=[1, 0, 1, 0]),
    one("Conv", IMAGE, *conv(4, 3, 3, 3), pads=[1, 1, 1, 1]),
    one("Conv", (3, 8, 6), *conv(4, 3, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1]),
    one("Conv", (3, 8, 6), *conv(4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 0, 0]),
    one("Conv", IMAGE, *conv(4, 3, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2]),
    one("Conv", IMAGE, *conv(4, 3, 4, 3), auto_pad="SAME_UPPER"),
    one("Conv", IMAGE, *conv(4, 3, 4, 3), auto_pad="SAME_LOWER"),
    one("Conv", (3, 8, 6), *conv(4, 3, 3, 3), auto_pad="SAME_LOWER", strides=[2, 2]),
    one("Conv", (3, None, None), *conv(4, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    one("Conv", (3, None, None), *conv(4, 3, 3, 3), auto_pad="SAME_LOWER"),
    one("Conv", IMAGE, *conv(4, 3, 3, 3), auto_pad="VALID", kernel_shape=[3, 3]),
    one("Conv", IMAGE, *conv(6, 1, 3, 3), group=3),
    one("Conv", IMAGE, *conv(6, 1, 3, 3, bias=False), group=3, strides=[2, 1]),
    one("Conv", (4, 9, 8), *conv(6, 2, 3, 3), group=2),
    one("Conv", VOLUME, *conv(3, 2, 2, 1, 3), pads=[1, 0, 1, 0, 0, 1]),
    chain(IMAGE, ("Conv", *conv(4, 3, 3, 3, bias=False)), ("Add", drawn((4, 1, 1)))),
    one("ConvTranspose", LINE, *conv(4, 3, 3)[:1], drawn((3,)), strides=[2]),
    one("ConvTranspose", IMAGE, drawn((3, 4, 3, 3)), strides=[2, 2], pads=[1, 1, 1, 1]),
    one("ConvTranspose", IMAGE, drawn((3, 4, 3, 3)), strides=[2, 2], pads=[0, 0, 1, 1]),
    one("ConvTranspose", IMAGE, drawn((3, 4, 3, 3)), strides=[2, 2], pads=[1, 0, 0, 2]),
    one("ConvTranspose", IMAGE, drawn((3, 4, 3, 3)), strides=[2, 2], output_padding=[1, 1]),
    one("ConvTranspose", IMAGE, drawn((3, 4, 3, 3)), strides=[2, 2], auto_pad="SAME_UPPER"),
    one("ConvTranspose", IMAGE, drawn((3, 4, 3, 3)), strides=[2, 2], auto_pad="SAME_LOWER"),
    one("ConvTranspose", (2, 4, 5, 3), drawn((2, 3, 2, 2, 2)), strides=[2, 2, 2]),
    # Height is there only to have an image.
    chain(
        LINE,
        ("Unsqueeze", np.array([2])),
        ("Conv", *conv(3, 4, 1, 3), {"strides": [1, 2]}),
        ("MaxPool", {"kernel_shape": [1, 2]}),
        ("Squeeze", np.array([2])),
    ),
]
POOLING = [
    one("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
    one("MaxPool", LINE, kernel_shape=[3], strides=[2], ceil_mode=1),
    one("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
    one("MaxPool", (3, 8, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    one("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    chain(IMAGE, "Relu", ("MaxPool", {"kernel_shape": [3, 3], "pads": [1, 0, 1, 2]})),
    one("MaxPool", VOLUME, kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
    one("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
    one("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 1], auto_pad="SAME_UPPER"),
    one("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    one("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 0, 1, 2], count_include_pad=1),
    one("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    one("GlobalAveragePool", IMAGE),
    one("GlobalMaxPool", LINE),
    chain(IMAGE, "GlobalAveragePool", "Flatten"),
    chain((3, None, None), "GlobalMaxPool", ("Squeeze", np.array([2, 3]))),
    one("ReduceMean", IMAGE, np.array([2, 3]), keepdims=0),
    one("ReduceMean", IMAGE, axes=[2, 3], opset=13),
    one("ReduceMean", IMAGE, np.array([1, 2]), keepdims=0),
    one("ReduceMax", LINE, np.array([-1])),
    one("ReduceMean", LINE, np.array([1, 2]), keepdims=0),
    one("ReduceMean", LINE, np.array([-1])),
    one("ReduceSum", IMAGE, np.array([2])),
    one("ReduceMin", IMAGE, np.array([1, 3]), keepdims=0),
]
NORMALIZATION = [
    one("BatchNormalization", IMAGE, *norm(3), epsilon=0.01),
    one("BatchNormalization", (5,), *norm(5)),
    one("BatchNormalization", LINE, *norm(4), momentum=0.7),
    one("InstanceNormalization", IMAGE, *norm(3)[:2]),
    one("GroupNormalization", (4, 9, 8), *norm(4)[:2], num_groups=2, opset=21),
    one("GroupNormalization", (4, 9, 8), *norm(2)[:2], num_groups=2, opset=18),
    one("LayerNormalization", LINE, *norm(10)[:2]),
    one("LayerNormalization", LINE, drawn((4, 10)), drawn((4, 10), seed=1), axis=1),
    one("LayerNormalization", LINE, drawn((10,)), epsilon=0.1),
    chain(
        IMAGE,
        ("Conv", *conv(4, 3, 2, 2)),
        ("LayerNormalization", drawn((4, 8, 7)), drawn((4, 8, 7), seed=1), {"axis": 1}),
    ),
    one("Dropout", (5,), np.float32(0.3)),
    one("Dropout", (5,), ratio=0.3, opset=10),
]
NUMBER = np.float32(0.75)
ACTIVATIONS = [
    *(
        one(kind, (3, 4))
        for kind in (
            *("Abs", "Celu", "Cos", "Elu", "Exp", "HardSigmoid", "HardSwish", "Identity"),
            *("LeakyRelu", "Mish", "Neg", "Relu", "Selu", "Shrink", "Sigmoid", "Sin", "Softplus"),
            *("Softsign", "Tanh", "ThresholdedRelu", "LogSoftmax", "Softmax"),
        )
    ),
    one("Celu", (4,), alpha=0.5),
    one("Elu", (4,), alpha=0.3),
    one("Gelu", (4,)),
    one("Gelu", (4,), approximate="tanh"),
    one("HardSigmoid", (4,), alpha=1 / 6),
    one("HardSigmoid", (4,), alpha=0.5),
    one("LeakyRelu", (4,), alpha=-0.1),
    one("Shrink", (4,), lambd=0.6, bias=0.6),
    one("Clip", (4,), np.float32(0), np.float32(6)),
    one("Clip", (4,), np.float32(-1), np.float32(1)),
    one("Clip", (4,), np.float32(-0.5), np.float32(1)),
    one("Clip", (4,), None, np.float32(1)),
    one("Clip", (4,), np.float32(0.5)),
    one("Clip", (4,), min=0.0, max=6.0, opset=10),
    one("PRelu", IMAGE, drawn((3, 1, 1))),
    one("PRelu", (4,), drawn((1,))),
    one("PRelu", LINE, drawn((4, 10))),
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), ("PRelu", drawn((4, 1, 7)))),
    one("Softmax", IMAGE, axis=1),
    one("Softmax", IMAGE, axis=2, opset=11),
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), ("Softmax", {"axis": 1})),
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), ("LogSoftmax", {"axis": 3})),
    chain((4,), ("Max", np.float32(0.1)), "Sqrt", "Reciprocal", "Log"),
]
ARITHMETIC = [
    *(one(kind, (3, 4), NUMBER) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    *(graph({"x": (3, 4)}, {"c": NUMBER}, f"y = {kind}(c, x)") for kind in ("Sub", "Div")),
    one("Pow", (3, 4), np.float32(2)),
    one("Max", (3, 4), np.float32(0)),
    *(one(kind, IMAGE, drawn((3, 1, 1))) for kind in ("Add", "Sub", "Mul", "Div")),
    chain(IMAGE, ("Sub", drawn((1, 3, 1, 1))), ("Div", drawn((1, 3, 1, 1), seed=1))),
    chain(IMAGE, ("Mul", drawn((3, 1, 1))), ("Add", drawn((3, 1, 1), seed=1))),
    chain(IMAGE, ("Add", drawn((3, 1, 1))), ("Mul", drawn((3, 1, 1), seed=1))),
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), ("Add", drawn((8, 1)))),
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), ("Mul", drawn((4, 8, 7)))),
    one("Add", LINE, drawn((4, 10))),
    *(
        graph({"a": (4, 5), "b": (4, 5)}, {}, f"y = {kind}(a, b)")
        for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum")
    ),
    graph({"a": (4, 5), "b": (4, 1)}, {}, "y = Mul(a, b)"),
    graph({"x": (4,)}, {}, "s = Sigmoid(x)", "y = Mul(x, s)"),
    graph({"x": (4,)}, {}, ("s = HardSigmoid(x)", {"alpha": 1 / 6}), "y = Mul(s, x)"),
    graph({"x": (4,)}, {}, "s = Sigmoid(x)", "t = Mul(x, s)", "y = Add(t, s)"),
]
W54, B4 = drawn((5, 4)), drawn((4,))
DENSE = [
    one("Gemm", (5,), W54),
    one("Gemm", (5,), W54.T.copy(), B4, transB=1),
    one("Gemm", (5,), W54, B4, alpha=0.5, beta=2.0),
    one("Gemm", (5,), W54, NUMBER),
    one("MatMul", (5,), W54),
    one("MatMul", (3, 5), W54),
    chain((5,), ("MatMul", W54), ("Add", B4), "Relu", ("MatMul", drawn((4, 2)))),
    chain((3, 5), ("MatMul", W54), ("Add", B4)),
    graph({"x": (5,)}, {"w": W54, "b": B4}, "t = MatMul(x, w)", "u = Add(t, b)", "y = Add(u, t)"),
    graph({"a": (3, 5), "b": (5, 4)}, {}, "y = MatMul(a, b)"),
    graph({"x": (5,)}, {"w": W54.T.copy()}, "v = Transpose(w)", "y = MatMul(x, v)"),
    graph(
        {"x": (3, 5)}, {"w": drawn((5, 2, 4))}, ("y = Einsum(x, w)", {"equation": "abc,cde->abde"})
    ),
    chain(
        (3, 5), ("Einsum", drawn((5, 2, 4)), {"equation": "abc,cde->abde"}), ("Add", drawn((2, 4)))
    ),
    graph(
        {"x": (5, 3)}, {"w": drawn((5, 4))}, ("y = Einsum(x, w)", {"equation": "ab...,bc->ac..."})
    ),
    graph({"x": (3, 5)}, {"w": drawn((5, 4))}, ("y = Einsum(x, w)", {"equation": "...a,ab->...b"})),
    graph({"x": (6,)}, {"t": drawn((9, 4))}, "y = Gather(t, x)", kinds={"x": "int64"}),
    graph({"x": (6,)}, {"t": drawn((9, 4))}, ("i = Cast(x)", {"to": 7}), "y = Gather(t, i)"),
    graph({"x": (6,)}, {}, ("y = Cast(x)", {"to": 1}), kinds={"x": "int32"}),
    # The same layer twice
    graph(
        {"a": (5,), "b": (5,)},
        {"w": W54, "c": B4},
        "s = Gemm(a, w, c)",
        "t = Gemm(b, w, c)",
        "y = Sub(s, t)",
    ),
]
SHAPES = [
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), "Flatten", ("Gemm", drawn((224, 2)))),
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), "Flatten", "Relu", ("Gemm", drawn((224, 2)))),
    chain(IMAGE, ("Conv", *conv(4, 3, 2, 2)), "Flatten"),
    chain(
        IMAGE, ("Conv", *conv(4, 3, 2, 2)), ("Reshape", np.array([0, -1])), ("Add", drawn((224,)))
    ),
    chain(IMAGE, ("Reshape", np.array([-1, 27, 8])), ("MatMul", drawn((8, 2)))),
    chain(IMAGE, ("Reshape", np.array([0, 0, 3, 3, -1])), "Relu"),
    chain(LINE, ("Transpose", {"perm": [0, 2, 1]}), "Relu"),
    chain(IMAGE, ("Transpose", {"perm": [0, 2, 3, 1]}), ("MatMul", drawn((3, 2)))),
    chain((9, 8, 3), ("Transpose", {"perm": [0, 3, 1, 2]}), ("Conv", *conv(4, 3, 2, 2))),
    chain(
        (9, 8, 3),
        ("Transpose", {"perm": [0, 3, 1, 2]}),
        ("Conv", *conv(4, 3, 2, 2)),
        ("Transpose", {"perm": [0, 2, 3, 1]}),
        "Relu",
    ),
    # A Dense over time that takes the batch and time together
    chain(
        (3, 5), ("Reshape", np.array([-1, 5])), ("MatMul", W54), ("Reshape", np.array([-1, 3, 4]))
    ),
    graph(
        {"x": IMAGE},
        {"zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1]), "w": drawn((216, 2))},
        "s = Shape(x)",
        "b = Slice(s, zero, one)",
        ("t = Concat(b, rest)", {"axis": 0}),
        "f = Reshape(x, t)",
        "y = MatMul(f, w)",
    ),
    graph(
        {"x": (3, None)},
        {"at": np.array(0), "last": np.array(2), "axes": np.array([0]), "three": np.array([3])},
        "s = Shape(x)",
        "b = Gather(s, at)",
        "l = Gather(s, last)",
        "b1 = Unsqueeze(b, axes)",
        "l1 = Unsqueeze(l, axes)",
        ("t = Concat(b1, l1, three)", {"axis": 0}),
        ("m = Transpose(x)", {"perm": [0, 2, 1]}),
        "y = Reshape(m, t)",
    ),
    chain((4,), ("Unsqueeze", np.array([1])), ("Expand", np.array([1, 3, 1]))),
    chain((1, 4, 1), ("Squeeze", np.array([1, 3])), ("Unsqueeze", np.array([2]))),
    graph({"a": IMAGE, "b": (2, 9, 8)}, {}, ("y = Concat(a, b)", {"axis": 1})),
    graph(
        {"x": IMAGE},
        {"w": drawn((4, 3, 1, 1)), "v": drawn((2, 3, 1, 1))},
        "a = Conv(x, w)",
        "b = Conv(x, v)",
        ("y = Concat(a, b)", {"axis": 1}),
    ),
    one("Pad", IMAGE, np.array([0, 0, 1, 2, 0, 0, 3, 0])),
    one("Pad", IMAGE, np.array([0, 0, -1, -2, 0, 0, 0, -1])),
    one("Pad", IMAGE, np.array([1, 2]), None, np.array([3])),
    one("Pad", LINE, pads=[0, 0, 1, 0, 0, 2], opset=10),
    one("Slice", IMAGE, np.array([1, 0]), np.array([-1, 6]), np.array([2, 3])),
    one("Slice", IMAGE, np.array([0]), np.array([2]), np.array([1])),
    one("Slice", IMAGE, np.array([-1]), np.array([-99]), np.array([3]), np.array([-2])),
    one("Slice", (4, None), np.array([1]), np.array([-1]), np.array([2])),
    one("Gather", LINE, np.array(-1), axis=2),
    one("Gather", LINE, np.array([2]), axis=1),
    graph({"x": LINE}, {}, ("a, b = Split(x)", {"axis": 1, "num_outputs": 2}), "y = Mul(a, b)"),
    graph(
        {"x": LINE},
        {"s": np.array([3, 7])},
        ("a, b = Split(x, s)", {"axis": 2}),
        ("y = Concat(b, a)", {"axis": 2}),
    ),
]
EMPTY = np.array([], np.float32)
NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
RESIZING = [
    one("Resize", IMAGE, None, np.float32([1, 1, 2, 3]), **NEAREST),
    one("Resize", IMAGE, None, np.float32([1, 1, 3, 3]), mode="nearest"),
    one("Resize", IMAGE, None, None, np.array([0, 3, 18, 16])[2:], axes=[2, 3], **NEAREST),
    one("Resize", LINE, None, np.float32([1, 1, 2]), **NEAREST),
    one("Resize", VOLUME, None, np.float32([1, 1, 2, 1, 2]), **NEAREST),
    one("Resize", IMAGE, None, np.float32([1, 1, 2, 2]), mode="linear"),
    one(
        *("Resize", IMAGE, None, np.float32([1, 1, 2, 2])),
        mode="cubic",
        cubic_coeff_a=-0.5,
        exclude_outside=1,
    ),
    one("Upsample", IMAGE, np.float32([1, 1, 2, 2]), mode="nearest", opset=9),
]
RESIDUAL = graph(
    {"x": IMAGE},
    {"w": drawn((4, 3, 3, 3)), "v": drawn((4, 3, 1, 1)), "n": drawn((4,))},
    ("a = Conv(x, w, n)", {"pads": [1, 1, 1, 1]}),
    "r = Relu(a)",
    "d = Conv(x, v)",
    "s = Add(r, d)",
    "p = GlobalAveragePool(s)",
    "q = Sigmoid(p)",
    "y = Mul(s, q)",
    outputs=("y", "s"),
)
GRAPHS = [
    *CONVOLUTIONS,
    *POOLING,
    *NORMALIZATION,
    *ACTIVATIONS,
    *ARITHMETIC,
    *DENSE,
    *SHAPES,
    *RESIZING,
    RESIDUAL,
]

RELU = ("Relu", ["x"], ["y"], {})
REFUSED: list[tuple[Graph, list[str]]] = [
    (one("Erf", (4,)), ["Erf 'y'", "part of a GELU", "opset 20"]),
    (one("Einsum", (4, 5), equation="abc->acb"), ["Einsum 'y'", "a tensor and a constant"]),
    (one("NonZero", (4,), dtype="float32"), ["NonZero", "hangs on the values"]),
    (one("Conv", IMAGE, drawn((4, 2, 3, 3))), ["Conv 'y'", "do not fit", "3 channels"]),
    (
        one("Conv", IMAGE, drawn((4, 3, 3, 3)), strides=[2, 2], dilations=[2, 2]),
        ["as Conv2D", "dilation_rate"],
    ),
    (one("Conv", IMAGE, drawn((4, 3, 3, 3)), kernel_shape=[2, 2]), ["kernel_shape", "(3, 3)"]),
    (
        one("Conv", (3, None, 8), drawn((4, 3, 3, 3)), auto_pad="SAME_LOWER", strides=[2, 2]),
        ["auto_pad", "open sizes"],
    ),
    (one("ConvTranspose", IMAGE, drawn((3, 1, 3, 3)), group=3), ["attribute 'group'", "no groups"]),
    (
        one("MaxPool", IMAGE, kernel_shape=[3, 3], pads=[1, 0, 1, 2]),
        ["MaxPool 'y'", "attribute 'pads'", "Relu"],
    ),
    (one("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2]), ["dilations"]),
    (
        one("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 0, 1, 2]),
        ["attribute 'count_include_pad'", "no such windows"],
    ),
    (
        graph(
            {"x": IMAGE}, {}, ("y, i = MaxPool(x)", {"kernel_shape": [2, 2]}), outputs=("y", "i")
        ),
        ["MaxPool 'y'", "its output 'i'"],
    ),
    (one("BatchNormalization", IMAGE, *norm(4)), ["as BatchNormalization", "(3,)", "(4,)"]),
    (one("Selu", (4,), alpha=1.0), ["Selu", "attribute 'alpha'"]),
    (one("HardSigmoid", (4,), alpha=0.3), ["HardSigmoid", "0.3"]),
    (one("Softmax", (4,), axis=0), ["Softmax", "behind the batch"]),
    (one("Add", LINE, drawn((3, 4, 10))), ["does not go with an input"]),
    (one("Add", (40, 40), drawn((40, 40))), ["1600 numbers", "at most 1024"]),
    (one("Pow", LINE, drawn((10,))), ["Pow", "add and multiply"]),
    (one("Gemm", (6,), W54), ["Gemm", "size 5", "(None, 6)"]),
    (graph({"x": (5,)}, {"w": drawn((3, 4))}, "y = MatMul(w, x)"), ["place 0"]),
    (one("Reshape", LINE, np.array([-1])), ["batch"]),
    (one("Reshape", LINE, np.array([5, 8, -1])), ["does not keep the batch"]),
    (one("Reshape", (None, None, 4), np.array([0, 0, 0, 2, 2])), ["open"]),
    (one("Transpose", LINE, perm=[1, 0, 2]), ["Output 'y'", "batch"]),
    (one("Flatten", LINE, axis=0), ["batch"]),
    (one("Cast", (4,), to=10), ["Cast", "attribute 'to'", "float16", "one dtype"]),
    (one("Pad", IMAGE, np.array([0, 0, 1, 2, 0, 0, 3, 0]), np.float32(1)), ["zeros only"]),
    (one("Pad", IMAGE, np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect"), ["'reflect'"]),
    (one("Resize", IMAGE, None, np.float32([1, 1, 1.5, 2]), mode="nearest"), ["whole factors"]),
    (
        one("Resize", IMAGE, None, np.float32([1, 1, 2, 2]), mode="cubic"),
        ["attribute 'mode'", "cubic_coeff_a"],
    ),
    (
        one(
            *("Resize", IMAGE, None, np.float32([1, 1, 2, 2])),
            mode="linear",
            coordinate_transformation_mode="align_corners",
        ),
        ["coordinate_transformation_mode", "align_corners"],
    ),
    (one("ReduceMean", LINE, np.array([0])), ["samples of a batch together"]),
    (one("Gather", LINE, np.array([0, 2]), axis=1), ["one place"]),
    (graph({"x": (4,)}, {"c": drawn((4,))}, "y = Identity(c)"), ["output 'y' is a constant"]),
    (
        chain((4,), "Erf", ("Selu", {"alpha": 1.0}), "Erf", ("Cast", {"to": 10})),
        ["Erf 't0'"],
    ),
    (
        graph({"x": (4,)}, {}, "a = Erf(x)", ("b = Selu(x)", {"alpha": 1.0}), "y = Add(a, b)"),
        ["Erf 'a'", "Selu 'b'"],
    ),
]
