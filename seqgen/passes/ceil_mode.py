"""Pooling of open sizes whose padding PyTorch's `ceil_mode` covers."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
from seqgen.layers.pooling import _Pooling
from seqgen.passes.padding import same_pads


def most_pads(window: int, stride: int) -> tuple[int, int] | None:
    """The most that `same` pads along an open axis, if it pads the same before for every size.

    A window smaller than its stride is left alone: whether the last one has anything to count
    hangs on the size, which would keep torch.export from leaving it open.
    """
    known = same_pads(None, window, stride)
    most, least = window - 1, max(0, window - stride)
    if known is None and most // 2 == least // 2 and (window == 1 or window >= stride):
        return most // 2, most - most // 2
    return known


def cover_open_pooling(model: Model) -> Model:
    """Give pooling of an open size the most that it may need after, where that is harmless.

    With `ceil_mode` a window hangs over the end only where a size asks for it, and counts what
    lies inside. This holds for windows of 2 with strides of 2, the most common ones.
    """

    def cover(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, _Pooling) or node.pads != "dynamic":
            return None
        amounts = tuple(map(most_pads, node.layer.pool_size, node.layer.strides))
        return None if None in amounts else [replace(node, pads=amounts)]

    return model.rewrite(cover)
