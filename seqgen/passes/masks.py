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


def _readers(model: Model, trains: bool) -> dict[str, str]:
    """Which layer's mask each node reads, of those that use one."""
    found = {}
    for node in model.nodes:
        mask = model.input_of(node).mask if node.inputs else None
        uses = isinstance(node.layer, Layer) and node.layer.uses_mask
        if mask and uses and (trains or node.kind not in TRAINED_ONLY):
            found[node.name] = mask
        if isinstance(node.layer, Masking):
            found[node.name] = node.name
    return found


def place_masks(model: Model, trains: bool) -> Model:
    """Let every layer that uses a mask read it behind its input, and make the masks that are read.

    Args:
        model: With the names of the masks on its nodes.
        trains: Whether the target has a training mode.
    """
    readers = _readers(model, trains)
    needed = set(readers.values())
    for node in model.nodes:
        if isinstance(node.layer, MergeTime) and node.name in needed:
            needed.add(str(model.input_of(node).mask))
    masks: dict[str, Node] = {}

    def placed(node: Node) -> Iterable[Node] | None:
        before = []
        if node.name in needed:
            source = model.input_of(node)
            merges = isinstance(node.layer, MergeTime)
            made = _merged(node, masks[str(source.mask)]) if merges else _made(node, source.type)
            masks[node.name] = made
            before = [made]
        if node.name in readers:
            node = replace(node, inputs=(*node.inputs, masks[readers[node.name]].name))
        return [*before, node]

    return model.rewrite(placed)


masks_of_training = partial(place_masks, trains=True)
masks_of_inference = partial(place_masks, trains=False)
