"""The cells of recurrent layers: their variables, and what they give."""

from dataclasses import replace
from typing import Any, Literal

from seqgen.ir.graph import Node, Pads
from seqgen.ir.sequences import Fused, Loop
from seqgen.ir.types import TensorType, channels_first_perm
from seqgen.layers.activation import Activation
from seqgen.layers.base import Layer, Weight
from seqgen.layers.recurrent import StackedRNNCells
from seqgen.passes.padding import amounts

# Cells with their variables, the first one first.
Cells = list[tuple[Layer, tuple[Weight, ...]]]


def cells_of(layer: Layer) -> tuple[Layer, ...]:
    """The cells of a recurrent layer, the first one first."""
    return layer.cell.cells if isinstance(layer.cell, StackedRNNCells) else (layer.cell,)


def grouped(weights: tuple[Weight, ...]) -> list[tuple[Weight, ...]]:
    """The variables of each cell, with the names that they have there."""
    groups: dict[str, list[Weight]] = {}
    for weight in weights:
        prefix, _, name = weight.name.rpartition("/")
        groups.setdefault(prefix, []).append(replace(weight, name=name))
    return [tuple(group) for group in groups.values()]


def pads_of(layer: Layer, x: TensorType) -> Pads | Literal["dynamic"] | None:
    """By how much a layer pads the images of a sequence; None if it has no images."""
    images = layer.layout == "channels_first"
    return amounts(layer.cell, layer.step_type(x)) if images else None


def of_images(op: Fused | Loop, layer: Layer, x: TensorType) -> Fused | Loop:
    """What runs a cell of a layer over images, whose channels come to stand first."""
    if layer.layout != "channels_first":
        return op
    cell, step = op.cell, layer.step_type(x)
    state = cell.state_type(step)
    perm = channels_first_perm(state.rank, cell.channel_axis(state.rank))
    activations = {
        name: Activation(getattr(cell, name)).relayout(perm).activation
        for name in ("activation", "recurrent_activation")
    }
    shape = state.permuted(perm).sizes
    return replace(op, cell=replace(cell, **activations), state_shape=shape)


def drops_by_gate(cell: Layer) -> bool:
    """Whether each gate drops inputs of its own, as in Keras beside a recurrent_dropout."""
    return bool(cell.recurrent_dropout) or hasattr(cell, "state_type")


def halves(node: Node) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
    """The variables of both directions."""
    prefix = f"{node.layer.forward.name}/"
    count = sum(weight.name.startswith(prefix) for weight in node.weights)
    return node.weights[:count], node.weights[count:]


def of_both(node: Node) -> dict[str, Any]:
    """What a node has that runs one cell both ways; the second variables have other names."""
    (forward,), (backward,) = map(grouped, halves(node))
    weights = (*forward, *(replace(w, name=f"backward_{w.name}") for w in backward))
    return {"weights": weights, "trainable": trainable(node, weights)}


def told_apart(cell: Layer) -> tuple[type, dict[str, object]]:
    """What tells cells apart that one operator cannot run both ways."""
    said = cell.arguments()
    names = ("units", "activation", "recurrent_activation", "use_bias", "reset_after")
    return type(cell), {name: said[name] for name in names if name in said}


def trainable(node: Node, weights: tuple[Weight, ...]) -> bool:
    """Whether training may change the variables of a cell."""
    return node.trainable and all(weight.trainable for weight in weights)


def output_of(x: TensorType, layer: Layer, cell: Layer, sequences: bool) -> TensorType:
    """The type of what a cell of a layer gives for a sequence."""
    if hasattr(cell, "state_type"):
        state = cell.state_type(layer.step_type(x))
    else:
        state = x.with_sizes((cell.units,))
    if not sequences:
        return state
    return replace(x, shape=(*x.shape[:2], *state.sizes))
