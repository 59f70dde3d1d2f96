"""Steps that stand at the front may stay there until a layer looks at more than one of them."""

from collections.abc import Iterator
from dataclasses import replace

from seqgen.ir.graph import Model, Node, consumers
from seqgen.ir.sequences import JoinHalves, KeptFirst, Spread
from seqgen.layers.normalization import LayerNormalization
from seqgen.layers.regularization import ActivityRegularization
from seqgen.passes.stepwise import OF_ANY_RANK, keeps_to_steps
from seqgen.passes.transposes import update

STEPWISE = (*OF_ANY_RANK, ActivityRegularization, JoinHalves, LayerNormalization)
# The ways to say the last axis of a sequence.
LAST = (-1, 2)


def is_stepwise(node: Node) -> bool:
    """Whether a node computes each step of a sequence from that step alone."""
    layer = node.layer
    return (
        isinstance(layer, STEPWISE)
        and node.type.rank == 3
        and getattr(layer, "axis", -1) in LAST
        and keeps_to_steps(layer, LAST)
    )


def _back(model: Model, readers: dict[str, list[Node]], kept: Node) -> Iterator[Node]:
    """The nodes before one, as long as they see single steps and nothing else reads them."""
    node = model.input_of(kept)
    while len(readers[node.name]) == 1 and node.name not in model.outputs:
        yield node
        if not is_stepwise(node):
            return
        node = model.input_of(node)


def keep_packed(model: Model) -> Model:
    """Leave out the way back and forth between two layers that have the kept steps at the front.

    It is left out where the masks are the same and all between sees one step at a time: after the
    first of them the sequences are padded at the end, whatever the mask was.
    """
    readers = consumers(model)
    changed: list[Node] = []
    dropped: list[Node] = []
    for kept in model.nodes:
        if not isinstance(kept.layer, KeptFirst):
            continue
        *between, spread = list(_back(model, readers, kept)) or [kept]
        if not isinstance(spread.layer, Spread) or spread.inputs[1] != kept.inputs[1]:
            continue
        source = model.input_of(spread)
        dropped += [kept, source]
        # The layer's result is now what ran over the steps.
        changed.append(replace(source, name=spread.name, mask=spread.mask))
        changed += [replace(node, packed=kept.inputs[1]) for node in between]
    return update(model, changed, dropped)
