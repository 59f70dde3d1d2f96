"""Which layer is the first that differs, from the values that a program makes on its way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seqgen.ir.graph import Model, Order, consumers
from seqgen.ir.types import Permutation
from seqgen.layers.core import Masking
from seqgen.passes.masks import mask_name
from seqgen.verify.compare import difference


@dataclass(frozen=True)
class Value:
    """A value on the way through a program, with the name of the layer it ends if it is known."""

    name: str
    array: np.ndarray


@dataclass(frozen=True)
class Expected:
    """What a layer is to give, laid out as the target has it there.

    Attributes:
        name: Name of the layer.
        array: The values.
        counts: Which of them count; None if all do.
    """

    name: str
    array: np.ndarray
    counts: np.ndarray | None = None

    def is_met_by(self, value: Value, limit: float) -> bool:
        """Whether a value is the one expected."""
        wanted, received = self.array, value.array
        if self.counts is not None and wanted.shape == received.shape:
            wanted, received = wanted[self.counts], received[self.counts]
        return difference(wanted, received).error <= limit


def reordered(array: np.ndarray, order: Order) -> np.ndarray:
    """An array of flattened axes with its features in another order."""
    places = (0, *(axis + 1 for axis in order.perm))
    return array.reshape(-1, *order.sizes).transpose(places).reshape(array.shape)


def laid_out(array: np.ndarray, perm: Permutation | None, order: Order | None) -> np.ndarray:
    """A value in the spec's layout as a target holds it."""
    if perm is not None:
        array = array.transpose(perm)
    return array if order is None else reordered(array, order)


def masks_of(
    graph: Model, entries: Sequence[np.ndarray], arrays: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """The masks that layers make, by the names of the nodes that make them in programs.

    Args:
        graph: The spec.
        entries: The inputs.
        arrays: What the oracle's layers gave for it.
    """
    made = dict(zip((node.name for node in graph.layers), arrays, strict=True))
    made |= dict(zip(graph.inputs, entries, strict=True))
    found = {}
    for node in graph.layers:
        source = graph.input_of(node)
        if len(node.inputs) == 1 and node.layer.made_mask(source.type) is not None:
            x = made[source.name]
            masking = isinstance(node.layer, Masking)
            differs = (x != node.layer.mask_value).any(-1) if masking else x != 0
            found[mask_name(node.name)] = differs
    return found


def packed(array: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The steps that a mask keeps moved to the front, and which values are of such steps."""
    order = np.argsort(~mask, axis=1, kind="stable")
    kept = np.arange(mask.shape[1]) < mask.sum(1, keepdims=True)
    counts = np.broadcast_to(kept.reshape(*kept.shape, *[1] * (array.ndim - 2)), array.shape)
    return array[np.arange(len(array))[:, None], order], counts


def expectations(
    graph: Model, lowered: Model, arrays: Sequence[np.ndarray], masks: Mapping[str, np.ndarray]
) -> list[Expected]:
    """What each layer is to give in a target's program, from what the oracle's layers gave."""
    readers = consumers(lowered)
    found = []
    for node, array in zip(graph.layers, arrays, strict=True):
        low, counts = lowered.by_name.get(node.name), None
        if low is not None:
            if low.packed in masks and low.type.rank == node.type.rank > 2:
                array, counts = packed(array, masks[low.packed])
            order = next((r.rows for r in readers[low.name] if r.rows), low.columns)
            array = laid_out(array, low.perm, order)
            counts = None if counts is None else laid_out(counts, low.perm, None)
        found.append(Expected(node.name, array, counts))
    return found


def first_divergence(
    layers: Sequence[Expected], values: Sequence[Value], limit: float
) -> int | None:
    """Index of the first layer that differs, None if none does.

    A value with a layer's name is that layer's and decides: the first that differs is to blame.
    A program need not name every layer, and a layer may be left out of it. One without a named
    value is right if its value stands anywhere, and so is all before a layer that is right; if it
    stands nowhere, the layer is to blame unless a later one is right.
    """
    named = {value.name: value for value in values if value.name}
    missing: int | None = None
    for index, layer in enumerate(layers):
        value = named.get(layer.name)
        candidates = values if value is None else [value]
        if any(layer.is_met_by(candidate, limit) for candidate in candidates):
            missing = None
        elif missing is None:
            missing = index
        if value is not None and missing is not None:
            return missing
    return missing
