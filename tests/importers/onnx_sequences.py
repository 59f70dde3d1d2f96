"""Graphs of ONNX with recurrent operators, and with GELUs that are spelled out."""

import math
from typing import Any

import numpy as np

from tests.importers.onnx_cases import Graph, chain, graph, one
from tests.importers.onnx_files import drawn

# Steps of batches of 4 features, and 3 units.
STEPS, FEATURES, UNITS = 5, 4, 3
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
TIME_SECOND: tuple[Any, ...] = ("Transpose", {"perm": [1, 0, 2]})
SHAPE = (STEPS, FEATURES)


def weights(kind: str, directions: int = 1, bias: bool = True) -> list[np.ndarray]:
    """The weights of an operator, and its two biases."""
    width = GATES[kind] * UNITS
    made = [drawn((directions, width, FEATURES)), drawn((directions, width, UNITS), seed=1)]
    return [array / 2 for array in (*made, *([drawn((directions, 2 * width))] if bias else []))]


def run(kind: str, *behind: Any, directions: int = 1, bias: bool = True, **given: Any) -> Graph:
    """An operator on a batch of steps, and what is done to all of its outputs."""
    said = {"hidden_size": UNITS, **given}
    own = weights(kind, directions, bias)
    return chain(SHAPE, TIME_SECOND, (kind, *own, said), *behind)


def read(outputs: str, *nodes: Any, kind: str = "GRU", directions: int = 1, **given: Any) -> Graph:
    """An operator of whose outputs, which are `y`, `h` and `c`, graphs make `out`."""
    names = ("w", "r", "b")
    constants = dict(zip(names, weights(kind, directions), strict=True))
    numbers = {"zero": 0, "one": 1, "last": -1, "axes": [0], "merged": [0, -1]}
    constants |= {name: np.array(value) for name, value in numbers.items()}
    said = {"hidden_size": UNITS, **given}
    if directions == 2:
        said["direction"] = "bidirectional"
    turned = ("t = Transpose(x)", {"perm": [1, 0, 2]})
    made = (f"{outputs} = {kind}(t, w, r, b)", said)
    return graph({"x": SHAPE}, constants, turned, made, *nodes, outputs=("out",))


ONE_WAY: tuple[Any, ...] = (("Squeeze", np.array([1])), TIME_SECOND)
BOTH_WAYS: tuple[Any, ...] = (
    ("Transpose", {"perm": [0, 2, 1, 3]}),
    ("Reshape", np.array([0, 0, -1])),
    TIME_SECOND,
)
BIDIRECTIONAL = {"direction": "bidirectional", "directions": 2}
LAST = ("l = Gather(h, last)", {"axis": 0})
RECURRENT = [
    *(run(kind, *ONE_WAY) for kind in GATES),
    *(run(kind, *ONE_WAY, bias=False) for kind in GATES),
    *(run(kind, *ONE_WAY, direction="reverse") for kind in GATES),
    *(run(kind, *BOTH_WAYS, **BIDIRECTIONAL) for kind in GATES),
    run("GRU", *ONE_WAY, linear_before_reset=1),
    run("GRU", *BOTH_WAYS, **BIDIRECTIONAL, linear_before_reset=1),
    run("GRU", *BOTH_WAYS, **BIDIRECTIONAL, linear_before_reset=1, bias=False),
    run("RNN", *ONE_WAY, activations=["Relu"]),
    run("RNN", *ONE_WAY, activations=["Elu"], activation_alpha=[0.5]),
    run("LSTM", *ONE_WAY, activations=["HardSigmoid", "Softsign", "Softsign"]),
    run(
        *("LSTM", *ONE_WAY),
        activations=["HardSigmoid", "LeakyRelu", "LeakyRelu"],
        activation_alpha=[1 / 6, 0.3, 0.3],
        activation_beta=[0.5],
    ),
    run(
        *("GRU", *BOTH_WAYS),
        **BIDIRECTIONAL,
        activations=["Sigmoid", "Affine"] * 2,
        activation_alpha=[1.0, 1.0],
        activation_beta=[0.0, 0.0],
    ),
    # The last of all outputs, one place or a slice
    run("LSTM", *ONE_WAY, ("Gather", np.array(-1), {"axis": 1})),
    run("LSTM", *ONE_WAY, ("Gather", np.array(STEPS - 1), {"axis": 1})),
    run("LSTM", *ONE_WAY, ("Gather", np.array(1), {"axis": 1})),
    run("LSTM", *ONE_WAY, ("Slice", np.array([-1]), np.array([99]), np.array([1]))),
    run("LSTM", *BOTH_WAYS, ("Gather", np.array(-1), {"axis": 1}), **BIDIRECTIONAL),
    run(
        *("LSTM", *ONE_WAY, ("Gather", np.array(-1), {"axis": 1})),
        direction="reverse",
    ),
    # The last states
    read(", h", ("out = Squeeze(h, axes)", {})),
    read(", h", LAST, "out = Relu(l)", kind="LSTM"),
    read(", h", LAST, "out = Relu(l)", kind="RNN", directions=2),
    read(
        ", h", ("s = Transpose(h)", {"perm": [1, 0, 2]}), "out = Reshape(s, merged)", directions=2
    ),
    read(
        ", h",
        ("f = Gather(h, zero)", {"axis": 0}),
        ("g = Gather(h, one)", {"axis": 0}),
        ("out = Concat(f, g)", {"axis": 1}),
        directions=2,
    ),
    # In the other order
    read(
        ", h",
        ("f = Gather(h, one)", {"axis": 0}),
        ("g = Gather(h, zero)", {"axis": 0}),
        ("out = Concat(f, g)", {"axis": 1}),
        directions=2,
    ),
    # All outputs and the last states
    *(
        read(
            "y, h",
            LAST,
            ("m = ReduceMax(y, axes)", {"keepdims": 0}),
            ("n = Gather(m, zero)", {"axis": 0}),
            "out = Add(l, n)",
            directions=directions,
            **given,
        )
        for directions, given in ((1, {}), (1, {"direction": "reverse"}), (2, {}))
    ),
]
ZEROS = np.zeros((1, 3, UNITS), np.float32)
WEIGHTS = dict(zip(("w", "r", "b"), weights("LSTM"), strict=True))
PLACES: dict[str, Any] = {"no": np.array([0]), "yes": np.array([1]), "two": np.array([2])}
# States that begin with zeros, as many as the batch, as exporters write them
BATCHED = [
    graph(
        {"x": SHAPE},
        {**WEIGHTS, **PLACES, "three": np.array([3]), "zero": np.float32(0)},
        ("t = Transpose(x)", {"perm": [1, 0, 2]}),
        ("n = Shape(x)", {"end": 1}),
        ("s = Concat(two, n, three)", {"axis": 0}),
        filled,
        "f = Slice(z, no, yes, no)",
        (", h = LSTM(t, w, r, b, , f, f)", {"hidden_size": UNITS}),
        "y = Squeeze(h, no)",
    )
    for filled in ("z = Expand(zero, s)", "z = ConstantOfShape(s)")
]
ROOT, BEND, SCALE = (np.float32(n) for n in (math.sqrt(2), 0.044715, math.sqrt(2 / math.pi)))
HALF, ONE, THREE = (np.float32(n) for n in (0.5, 1, 3))
NUMBERS = {"root": ROOT, "half": HALF, "one": ONE, "three": THREE, "bend": BEND, "scale": SCALE}
NUMBERS |= {"inverse": 1 / ROOT, "two": np.float32(2), "bent": SCALE * BEND}


def gelu(*nodes: str) -> Graph:
    """A GELU of what a layer makes, in some spelling."""
    constants = {**NUMBERS, "w": drawn((4, 4)), "b": drawn((4,))}
    return graph({"e": (4,)}, constants, "m = MatMul(e, w)", "x = Add(m, b)", *nodes)


ERF = ("d = Div(x, root)", "g = Erf(d)")
TANH = (
    *("s = Mul(x, x)", "k = Mul(s, x)", "p = Mul(bend, k)", "q = Add(x, p)"),
    *("d = Mul(scale, q)", "g = Tanh(d)"),
)
GELUS = [
    gelu(*ERF, "h = Mul(x, half)", "a = Add(g, one)", "y = Mul(h, a)"),
    gelu(*ERF, "a = Add(one, g)", "h = Mul(x, a)", "y = Mul(h, half)"),
    gelu(*ERF, "a = Add(g, one)", "h = Mul(half, a)", "y = Mul(x, h)"),
    gelu(*ERF, "a = Add(g, one)", "h = Div(x, two)", "y = Mul(a, h)"),
    gelu(*ERF, "k = Mul(g, half)", "a = Add(k, half)", "y = Mul(x, a)"),
    gelu(*ERF, "h = Mul(x, half)", "k = Mul(h, g)", "y = Add(h, k)"),
    gelu(
        "d = Mul(x, inverse)", "g = Erf(d)", "h = Mul(x, half)", "a = Add(g, one)", "y = Mul(h, a)"
    ),
    gelu(*TANH, "h = Mul(x, half)", "a = Add(g, one)", "y = Mul(h, a)"),
    gelu(*TANH, "a = Add(g, one)", "h = Mul(x, a)", "y = Mul(half, h)"),
    gelu(
        *("k = Pow(x, three)", "p = Mul(k, bend)", "q = Add(p, x)", "d = Mul(q, scale)"),
        *("g = Tanh(d)", "a = Add(one, g)", "h = Mul(half, x)", "y = Mul(h, a)"),
    ),
    gelu(
        *("s = Mul(x, x)", "p = Mul(s, bent)", "q = Add(p, scale)", "d = Mul(x, q)"),
        *("g = Tanh(d)", "a = Add(g, one)", "h = Mul(a, half)", "y = Mul(h, x)"),
    ),
]
# Nearly a GELU
OTHERS = [
    gelu(*ERF, "h = Mul(x, half)", "a = Add(g, half)", "y = Mul(h, a)"),
    gelu(*ERF, "h = Mul(m, half)", "a = Add(g, one)", "y = Mul(h, a)"),
    gelu("d = Div(x, two)", "g = Erf(d)", "h = Mul(x, half)", "a = Add(g, one)", "y = Mul(h, a)"),
    gelu(*ERF, "h = Mul(x, half)", "a = Sub(one, g)", "y = Mul(h, a)"),
]
TANHS = [
    gelu("g = Tanh(x)", "h = Mul(x, half)", "a = Add(g, one)", "y = Mul(h, a)"),
    gelu(*TANH, "h = Mul(x, half)", "a = Add(g, one)", "t = Mul(h, a)", "y = Add(t, g)"),
]
TILES = [
    chain((4,), ("Unsqueeze", np.array([1])), ("Tile", np.array([1, 3, 1]))),
    one("Tile", (3, 4), np.array([1, 2, 1])),
    one("Tile", (3, 4), np.array([1, 1, 3])),
    one("Tile", (3, 4), np.array([1, 1, 1])),
]
GRAPHS = [*RECURRENT, *BATCHED, *TANHS, *TILES]


def given(place: int, *shape: int, kind: str = "LSTM", value: Any = None) -> Graph:
    """An operator that reads something more at a place."""
    empty = [""] * (place - 4)
    reads = ", ".join(["t", "w", "r", "b", *empty, "more"])
    constants = dict(zip(("w", "r", "b"), weights(kind), strict=True))
    constants["more"] = drawn(shape) if value is None else value
    turned = ("t = Transpose(x)", {"perm": [1, 0, 2]})
    return graph({"x": SHAPE}, constants, turned, f"y = {kind}({reads})")


REFUSED: list[tuple[Graph, list[str]]] = [
    *((case, ["Erf 'g'", "part of a GELU", "opset 20"]) for case in OTHERS),
    (given(4, value=np.array([5, 5, 5], np.int32)), ["LSTM 'y'", "sequence_lens"]),
    (given(5, 1, 3, UNITS), ["LSTM 'y'", "initial_h", "zeros"]),
    (given(6, 1, 3, UNITS), ["LSTM 'y'", "initial_c"]),
    (given(7, 1, 3 * UNITS), ["LSTM 'y'", "peepholes"]),
    (run("LSTM", clip=1.0), ["attribute 'clip'"]),
    (run("LSTM", input_forget=1), ["attribute 'input_forget'"]),
    (run("GRU", layout=1), ["attribute 'layout'"]),
    (run("GRU", direction="sideways"), ["attribute 'direction'", "sideways"]),
    (run("GRU", hidden_size=7), ["attribute 'hidden_size'", "expected 3", "received 7"]),
    (run("GRU", direction="bidirectional"), ["expected weights", "(2, 9, 4)"]),
    (run("RNN", activations=["ScaledTanh"]), ["attribute 'activations'", "ScaledTanh"]),
    (run("RNN", activations=["Affine"], activation_alpha=[2.0]), ["Affine with 1 and 0"]),
    (run("GRU", activations=["Sigmoid"]), ["expected 2 functions"]),
    (run("GRU", activations=[3]), ["names of functions"]),
    (run("LSTM", activations=["Sigmoid", "Tanh", "Relu"]), ["as Keras has it"]),
    (
        run("RNN", activations=["Tanh", "Relu"], **BIDIRECTIONAL),
        ["same functions for both directions"],
    ),
    (read(", h", "out = Concat(h, h)"), ["output 'out'", "states of several layers", "Gather"]),
    (read(", h", "s = Concat(h, h)", "out = Relu(s)"), ["Relu 'out'", "states of several layers"]),
    (read(", , out", kind="LSTM"), ["LSTM 'out'", "its output 'out' is no layer's"]),
    (one("LSTM", (None,), *weights("LSTM")), ["LSTM 'y'"]),
    (one("Where", (4,), drawn((4,)), drawn((4,))), ["Where 'y'", "hangs on the values"]),
    (one("Greater", (4,), drawn((4,))), ["Greater 'y'", "compare nothing"]),
    (one("Tile", (3, 4), np.array([2, 1, 1])), ["Tile 'y'", "behind the batch", "[2, 1, 1]"]),
    (one("Tile", (3, 4), np.array([1, 2, 2])), ["one axis"]),
    (one("Tile", (3, 4), np.array([1, 2**40, 1])), ["16 times at most"]),
    (one("Tile", (3, 4), np.array([1, 2])), ["how often each axis"]),
]
