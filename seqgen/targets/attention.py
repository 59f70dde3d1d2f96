"""Attention as targets have it: where the projections of heads lie, and what the programs use."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from seqgen.ir.attention import Attend, AttendHeads
from seqgen.ir.graph import Model, Node
from seqgen.layers.attention import _Heads
from seqgen.targets.base import Row

PROJECTIONS = ("query", "key", "gate", "value")
OUTPUT = "attention_output"


def _flat(name: str) -> Callable[[Node], tuple[int, ...]]:
    """The shape of a kernel of `nn.Linear`: features made by features taken."""

    def shape(node: Node) -> tuple[int, ...]:
        sizes = node.weight(f"{name}/kernel").shape
        taken = 2 if name == OUTPUT else 1
        return prod(sizes[taken:]), prod(sizes[:taken])

    return shape


def _flat_bias(name: str) -> Callable[[Node], tuple[int, ...]]:
    return lambda node: (node.weight(f"{name}/bias").size,)


def _made_first(name: str) -> Callable[[Node], tuple[int, ...]]:
    """The axes of a kernel with those of what it makes in front."""

    def perm(node: Node) -> tuple[int, ...]:
        rank = len(node.weight(f"{name}/kernel").shape)
        taken = 2 if name == OUTPUT else 1
        return (*range(taken, rank), *range(taken))

    return perm


SCORES = {"scale": Row("scale"), "concat_score_weight": Row("concat_score_weight")}
TORCH_ROWS = {
    "Attend": SCORES,
    "AttendHeads": {
        f"{name}/{variable}": row
        for name in (*PROJECTIONS, OUTPUT)
        for variable, row in (
            ("kernel", Row(f"{name}.weight", _made_first(name), _flat(name))),
            ("bias", Row(f"{name}.bias", None, _flat_bias(name))),
        )
    },
}


def groups(node: Node) -> int:
    """How many heads of the query share one of key and value."""
    return node.layer.heads // node.layer.key_heads


def _by_group(name: str) -> Callable[[Node], tuple[int, ...]]:
    """The shape of a kernel with heads apart by groups, if there are any."""

    def shape(node: Node) -> tuple[int, ...]:
        first, *rest = sizes = node.weight(f"{name}/kernel").shape
        if groups(node) == 1:
            return sizes
        each = groups(node) if name not in ("key", "value") else 1
        if name == OUTPUT:
            return (node.layer.key_heads, each, *rest)
        return (first, node.layer.key_heads, each, rest[-1])

    return shape


def _bias_of_heads(name: str) -> Callable[[Node], tuple[int, ...]]:
    """The shape of a bias that broadcasts: heads, steps and features; of a key features first."""

    def shape(node: Node) -> tuple[int, ...]:
        *heads, width = _by_group(name)(node)[1:]
        return (*heads, width, 1) if name == "key" else (*heads, 1, width)

    return shape


ONNX_ROWS = {
    "Attend": SCORES,
    "AttendHeads": {
        **{f"{name}/kernel": Row("kernel", None, _by_group(name)) for name in PROJECTIONS},
        **{f"{name}/bias": Row("bias", None, _bias_of_heads(name)) for name in PROJECTIONS},
        f"{OUTPUT}/kernel": Row("kernel", None, _by_group(OUTPUT)),
        f"{OUTPUT}/bias": Row("bias"),
    },
}


def einsum_in_bfloat16(node: Node) -> str | None:
    """Why ONNX cannot say a projection of heads."""
    if isinstance(node.layer, _Heads) and node.type.dtype == "bfloat16":
        return "has no bfloat16 for it: its Einsum knows none; use float16 or float32"
    return None


@dataclass(frozen=True)
class Heads:
    """What the layers of a program with heads have in common.

    Attributes:
        nodes: The layers.
    """

    nodes: tuple[Node, ...]

    def any(self, attribute: str) -> bool:
        """Whether an attribute of one says something."""
        return any(getattr(node.layer, attribute) for node in self.nodes)

    @property
    def masked(self) -> bool:
        """Whether one takes a mask."""
        return any(len(node.inputs) > 3 for node in self.nodes)

    @property
    def unmasked(self) -> bool:
        """Whether one takes none."""
        return any(len(node.inputs) == 3 for node in self.nodes)

    @property
    def means(self) -> bool:
        """Whether one that takes a mask gives the mean of all where nothing is left."""
        return any(len(node.inputs) > 3 and not node.layer.zeros for node in self.nodes)

    @property
    def gated(self) -> bool:
        """Whether one has a gate."""
        return any(node.weight("gate/kernel") for node in self.nodes)

    @property
    def grouped(self) -> bool:
        """Whether groups of heads share one of key and value."""
        return any(groups(node) > 1 for node in self.nodes)


def heads_of(model: Model) -> Heads:
    """The layers of a program with heads."""
    return Heads(tuple(node for node in model.nodes if isinstance(node.layer, AttendHeads)))


def head_scale(node: Node) -> float:
    """What the scores of heads are multiplied by."""
    scale = node.weight("query/kernel").shape[-1] ** -0.5
    # Keras has the factor as a float32.
    return float(np.float32(scale)) if node.type.dtype == "float64" else scale


def swapped(node: Node) -> list[int]:
    """The order of axes that puts the features of a key before its steps."""
    *axes, steps, features = range(node.type.rank)
    return [*axes, features, steps]


def needs_module(node: Node) -> bool:
    """Whether attention without heads has something to keep: variables, or a dropout."""
    assert isinstance(node.layer, Attend)
    return bool(node.weights) or node.layer.dropout > 0


def output_features(node: Node) -> int:
    """How many features the projection behind the heads makes."""
    return prod(node.weight(f"{OUTPUT}/kernel").shape[2:])


FUNCTIONS = {
    "head_scale": head_scale,
    "output_features": output_features,
    "groups": groups,
    "heads_of": heads_of,
    "needs_module": needs_module,
    "swapped": swapped,
}
