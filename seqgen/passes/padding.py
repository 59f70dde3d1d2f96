"""Padding by name becomes padding by amounts."""

import math
from dataclasses import replace
from typing import Literal

from seqgen.ir.graph import Model, Node, Op, Pad, Pads, SamePad
from seqgen.ir.sequences import BothWays, Loop
from seqgen.ir.types import Dim, TensorType
from seqgen.layers.pooling import _Pooling
from seqgen.layers.spatial import _Windowed


def spans(layer: _Windowed) -> tuple[int, ...]:
    """How far a window reaches along each spatial axis, its holes included."""
    dilations = getattr(layer, "dilation_rate", (1,) * layer.rank)
    return tuple(
        (window - 1) * dilation + 1
        for window, dilation in zip(layer.window, dilations, strict=True)
    )


def same_pads(size: Dim | None, span: int, stride: int) -> tuple[int, int] | None:
    """Amounts of `same` padding along one axis; the odd one goes after. None if it is open."""
    if stride == 1:
        total = span - 1
    elif isinstance(size, int):
        total = max(0, (-(-size // stride) - 1) * stride + span - size)
    else:
        return None
    return total // 2, total - total // 2


def amounts(layer: _Windowed, x: TensorType) -> Pads | Literal["dynamic"]:
    """The amounts by which a convolution or pooling pads an input."""
    if layer.padding == "valid":
        return ((0, 0),) * layer.rank
    if layer.padding == "causal":
        return ((spans(layer)[0] - 1, 0),)
    found = tuple(map(same_pads, layer.spatial_sizes(x), spans(layer), layer.strides))
    return "dynamic" if None in found else found


def explicit_padding(model: Model) -> Model:
    """Put the amounts of every convolution's and pooling's padding on its node."""

    def pads(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, _Windowed) or not hasattr(node.layer, "padding"):
            return None
        return [replace(node, pads=amounts(node.layer, model.input_of(node).type))]

    return model.rewrite(pads)


def is_symmetric(pads: Pads) -> bool:
    """Whether the same amount stands before and after on every axis."""
    return all(before == after for before, after in pads)


def padded(model: Model, node: Node) -> list[Node]:
    """The node without padding, behind a node that pads."""
    layer, source = node.layer, model.input_of(node).type
    value = -math.inf if node.kind.startswith("Max") else 0.0
    pad: Op
    if node.pads == "dynamic":
        pad, sizes = SamePad(spans(layer), layer.strides, value), (None,) * layer.rank
    else:
        pad = Pad(node.pads, value)
        sizes = tuple(
            before + size + after if isinstance(size, int) else size
            for size, (before, after) in zip(layer.spatial_sizes(source), node.pads, strict=True)
        )
    name = f"{node.name}.pad"
    made = layer.resized(source, sizes)
    shape = (
        f"{name}.{axis}" if size is None else size
        for axis, size in zip(made.axes, made.shape, strict=True)
    )
    before = Node(name, pad, node.inputs, replace(made, shape=tuple(shape)), node.source)
    return [before, replace(node, inputs=(before.name,), pads=((0, 0),) * layer.rank)]


def _padded_steps(model: Model, node: Node) -> list[Node]:
    """A loop over images without padding, behind a node that pads the images of all steps."""
    source = model.input_of(node).type
    sizes, first = list(source.shape), 3 if node.layer.channel_axis(source.rank) == 2 else 2
    for axis, (before, after) in enumerate(node.pads, first):
        sizes[axis] += before + after
    kind = replace(source, shape=tuple(sizes))
    pad = Node(f"{node.name}.pad", Pad(node.pads), node.inputs[:1], kind, node.source)
    none = ((0, 0),) * len(node.pads)
    return [pad, replace(node, inputs=(pad.name, *node.inputs[1:]), pads=none)]


def pad_outside(model: Model) -> Model:
    """Give padding that an operator with one amount per axis cannot say a node of its own.

    Pooling can say known amounts itself, and average pooling keeps those that are open too,
    since it leaves the padding out of the count.
    """

    def outside(node: Node) -> list[Node] | None:
        if isinstance(node.layer, Loop | BothWays):
            asymmetric = node.pads is not None and not is_symmetric(node.pads)
            return _padded_steps(model, node) if asymmetric else None
        if not isinstance(node.layer, _Windowed) or node.pads is None:
            return None
        if node.pads == "dynamic":
            return None if node.kind.startswith("Average") else padded(model, node)
        plain = isinstance(node.layer, _Pooling) or is_symmetric(node.pads)
        return None if plain else padded(model, node)

    return model.rewrite(outside)


def pad_dilated(model: Model) -> Model:
    """Give padding that hangs on an open size a node of its own where the window is dilated.

    ONNX's `SAME_UPPER` says it too, but onnxruntime takes no dilation with it.
    """

    def outside(node: Node) -> list[Node] | None:
        if node.pads != "dynamic" or max(getattr(node.layer, "dilation_rate", (1,))) == 1:
            return None
        return padded(model, node)

    return model.rewrite(outside)
