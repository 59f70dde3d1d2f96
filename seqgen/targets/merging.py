"""Axes that are added to a tensor, where it lies in memory."""

from seqgen.ir.graph import Node
from seqgen.render import Source


def added_axes(node: Node) -> list[int]:
    """The places of the axes of size 1 that a node adds."""
    perm = node.perm or range(node.type.rank)
    return [place for place, axis in enumerate(perm) if 1 <= axis <= node.layer.count]


def added_index(node: Node) -> str:
    """The index that adds them: `:, :, None, None`."""
    places = added_axes(node)
    return Source(", ".join("None" if i in places else ":" for i in range(max(places) + 1)))


FUNCTIONS = {"added_axes": added_axes, "added_index": added_index}
