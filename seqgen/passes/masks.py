"""Masks become values of their own, which the layers that use them read."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np

from seqgen.ir.graph import Model, Node
from seqgen.ir.sequences import Mask, MergeTime, Values
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer
from seqgen.layers.core import Masking
from seqgen.layers.merging import _MaskedMerge
from seqgen.passes.merging import joined_mask, under_masks

# What uses a mask in training mode only.
TRAINED_ONLY = ("BatchNormalization",)


def mask_name(layer: str) -> str:
    """Name of the node that makes the mask of a layer."""
    return f"{layer}.mask"


def compared(value: Values, dtype: str) -> Values:
    """What Keras compares with: its TensorFlow back end has the number as a float32 first."""
    if dtype != "float64":
        return value
    if isinstance(value, tuple):
        return tuple(compared(item, dtype) for item in value)
    return float(np.float32(value))


def _made(node: Node, x: TensorType) -> Node:
    """The node that makes the mask of a layer, of the same input."""
    kind = node.layer.made_mask(x)
    masking = isinstance(node.layer, Masking)
    op = Mask(compared(node.layer.mask_value, x.dtype) if masking else 0, features=masking)
    return Node(mask_name(node.name), op, node.inputs, kind, node.source, variable="mask")


def _merged(node: Node, outer: Node) -> Node:
    """The node that merges the steps of a mask into its samples, as `node` does with an input."""
    shape = (outer.type.shape[0], *outer.type.shape[2:])
    kind = replace(outer.type, shape=shape, axes=(outer.type.axes[0], *outer.type.axes[2:]))
    return Node(
        mask_name(node.name), MergeTime(), (outer.name,), kind, node.source, variable="mask"
    )


def _asked(model: Model, node: Node) -> tuple[str | None, ...]:
    """The layers of whose masks the mask of a node is made; None for an input without one."""
    if isinstance(node.layer, MergeTime):
        return (model.input_of(node).mask,)
    if len(node.inputs) > 1:
        return tuple(source.mask for source in model.sources_of(node))
    return ()


def _needed(model: Model, readers: dict[str, tuple[str, ...]]) -> set[str]:
    """The layers whose masks are made: those that are read, and those that they are made of."""
    needed = {mask for masks in readers.values() for mask in masks}
    for node in reversed(model.nodes):
        if node.name in needed:
            needed.update(filter(None, _asked(model, node)))
    return needed


def masks_used(model: Model, node: Node) -> tuple[tuple[int, str], ...]:
    """The masks that a layer computes with: the place of the input, and whose mask it is."""
    if not isinstance(node.layer, Layer) or not node.inputs:
        return ()
    known = node.masks or tuple(source.mask for source in model.sources_of(node))
    places = node.layer.masked_inputs(len(known))
    return tuple((place, str(known[place])) for place in places if known[place])


def _readers(model: Model, trains: bool) -> dict[str, tuple[str, ...]]:
    """Which layers' masks each node reads, of those that use some."""
    found = {}
    for node in model.nodes:
        masks = tuple(mask for _, mask in masks_used(model, node))
        if masks and (trains or node.kind not in TRAINED_ONLY):
            found[node.name] = masks
        if isinstance(node.layer, Masking):
            found[node.name] = (node.name,)
    return found


def place_masks(model: Model, trains: bool) -> Model:
    """Let every layer that uses a mask read it behind its input, and make the masks that are read.

    Args:
        model: With the names of the masks on its nodes.
        trains: Whether the target has a training mode.
    """
    readers = _readers(model, trains)
    needed = _needed(model, readers)
    masks: dict[str, Node] = {}

    def made(node: Node) -> list[Node]:
        xs, asked = model.sources_of(node), _asked(model, node)
        if isinstance(node.layer, MergeTime):
            return [_merged(node, masks[str(asked[0])])]
        if asked:
            read = [masks[name] if name else None for name in asked]
            return joined_mask(mask_name(node.name), node, list(xs), read)
        return [_made(node, xs[0].type)]

    def placed(node: Node) -> Iterable[Node] | None:
        before = []
        if node.name in needed:
            before = made(node)
            masks[node.name] = before[-1]
        if isinstance(node.layer, _MaskedMerge):
            used = {place: masks[mask] for place, mask in masks_used(model, node)}
            xs = list(model.sources_of(node))
            return [*before, *under_masks(node, xs, used, masks.get(node.name))]
        more = (masks[name].name for name in readers.get(node.name, ()))
        node = replace(node, inputs=(*node.inputs, *more))
        return [*before, node]

    return model.rewrite(placed)


masks_of_training = partial(place_masks, trains=True)
masks_of_inference = partial(place_masks, trains=False)
