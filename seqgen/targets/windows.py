"""Windows as targets have them: kernels of depthwise convolutions, and PyTorch's padding.

PyTorch pads by one amount on both sides of an axis. What it cannot pad after, `ceil_mode` covers
where the window has strides: a window hangs over the end and counts only what lies inside. Where
it has none, the axis is padded by one more, and the first result is cut off.
"""

from collections.abc import Iterable
from typing import Any

from seqgen.ir.graph import Node
from seqgen.render import Source


def index(cuts: Iterable[tuple[int, int]]) -> str:
    """The slices that cut some values (before, after) off each of the last axes; "" for none."""
    slices = [f"{before or ''}:{-after if after else ''}" for before, after in cuts]
    while slices and slices[0] == ":":
        del slices[0]
    return Source(f"[..., {', '.join(slices)}]" if slices else "")


def depthwise_shape(node: Node) -> tuple[int, ...]:
    """The shape of a depthwise kernel as a convolution with one group a channel has it."""
    *window, channels, multiplier = node.weights[0].shape
    return (channels * multiplier, 1, *window)


def _hangs_over(node: Node) -> list[bool]:
    """For each axis, whether the padding after is left to `ceil_mode`."""
    return [
        after > before and stride > 1
        for (before, after), stride in zip(node.pads, node.layer.strides, strict=True)
    ]


def _surplus(node: Node) -> list[int]:
    """For each axis, how much more is padded before than the spec has."""
    return [
        0 if hangs else after - before
        for hangs, (before, after) in zip(_hangs_over(node), node.pads, strict=True)
    ]


def pool_padding(node: Node) -> dict[str, Any]:
    """The amount for each axis, and whether `ceil_mode` is on."""
    pairs = zip(node.pads, _surplus(node), strict=True)
    amounts = tuple(before + more for (before, _), more in pairs)
    return {"padding": amounts, "ceil_mode": any(_hangs_over(node))}


def pool_index(node: Node) -> str:
    """The slices that cut the surplus off."""
    return index((more, 0) for more in _surplus(node))


def transposed_padding(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """PyTorch's `padding` and `output_padding` of a transposed convolution."""
    before = tuple(first for first, _ in node.pads)
    return before, tuple(max(0, first - last) for first, last in node.pads)


def transposed_index(node: Node) -> str:
    """The slices that cut off what a transposed convolution crops more after than before."""
    return index((0, max(0, last - first)) for first, last in node.pads)
