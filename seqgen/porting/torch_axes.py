"""Where the order of features hangs on how a module has its axes, which no state dict says.

PyTorch's layers have the channels first, and Keras's last, so that values of images stand behind a
Flatten in two orders. The generated program has the one of other modules, channels first, where it
has no transpose between the convolutions and the Flatten, and the input is not flattened at once.
"""

from dataclasses import replace

from seqgen.ir.graph import Input, Model, Node, Order, Transpose, consumers
from seqgen.ir.sequences import BothWays, Fused, Loop
from seqgen.ir.types import channels_first_perm
from seqgen.passes.layout import identity
from seqgen.passes.transposes import moves_values

# Layers that have the features last in PyTorch too.
FEATURES_LAST = (BothWays, Fused, Loop)


def in_order_of_spec(lowered: Model) -> Model:
    """The model with all features in the order of the spec."""
    return lowered.rewrite(lambda node: [replace(node, rows=None, columns=None)])


def undecided(lowered: Model) -> list[str]:
    """The layers at which another module may have values in another order than the program.

    Args:
        lowered: The model as the PyTorch program in its own layout has it.

    Returns:
        Their names: of those that put values of several axes into one or take them apart, or have
        a weight for several axes, where the channels have been put last.
    """
    # What holds behind each node: whether channels may be first in other modules, and the Reshape
    # of weighted features that made the axes.
    images: dict[str, bool] = {}
    made: dict[str, str] = {}
    found: list[str] = []
    readers, weighted = consumers(lowered), False
    for node in lowered.nodes:
        before = node.inputs[0] if node.inputs else ""
        image, reshape = images.get(before, False), made.get(before, "")
        if _has_strange_order(node) or _is_permuted(node, lowered, readers[node.name]):
            found.append(node.source)
        if image and _mixes(node, lowered):
            found.append(node.source)
        if reshape and _moves(node, lowered) and not _lies_as_spec(node):
            found.append(reshape)
        images[node.name] = _may_be_image(node, lowered, image)
        weighted = weighted or bool(node.weights)
        made[node.name] = "" if _moves(node, lowered) else reshape
        if weighted and node.kind == "Reshape" and _mixes(node, lowered) and _lies_as_spec(node):
            made[node.name] = node.source
    return list(dict.fromkeys(found))


def _has_strange_order(node: Node) -> bool:
    return not all(map(_channels_first, filter(None, (node.rows, node.columns))))


def _is_permuted(node: Node, model: Model, readers: list[Node]) -> bool:
    """Whether weights beside a Flatten or Reshape stand for a Permute of the spec."""
    if node.kind == "Flatten":
        return any(reader.rows for reader in readers) and _lies_as_spec(model.input_of(node))
    made = node.kind == "Reshape" and model.input_of(node).columns is not None
    return made and any(map(_lies_as_spec, readers))


def _channels_first(order: Order) -> bool:
    rank = len(order.sizes)
    return order.perm == channels_first_perm(rank, rank - 1, leading=0)


def _lies_as_spec(node: Node) -> bool:
    return node.perm in (None, identity(node.type.rank))


def _moves(node: Node, model: Model) -> bool:
    return isinstance(node.layer, Transpose) and moves_values(node, model.input_of(node))


def _mixes(node: Node, model: Model) -> bool:
    """Whether values of several axes come into one or out of it, or a weight has several axes."""
    if node.kind in ("Flatten", "Reshape"):
        return node.type.shape[-1] != model.input_of(node).type.shape[-1]
    return node.kind == "LayerNormalization" and any(len(w.shape) > 1 for w in node.weights)


def _may_be_image(node: Node, model: Model, before: bool) -> bool:
    """Whether another module may have the channels first where the program has them last."""
    if isinstance(node.layer, FEATURES_LAST) or node.type.rank < 3:
        return False
    if isinstance(node.layer, Input):
        *spatial, channels = node.type.sizes
        several = channels != 1 and set(spatial) != {1}
        return len(spatial) > 1 and several and _lies_as_spec(node)
    return _lies_as_spec(node) if _moves(node, model) else before
