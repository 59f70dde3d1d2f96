"""Which layer is the first that differs, from the values that a program makes on its way."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqgen.ir.graph import Model, Order, consumers
from seqgen.ir.types import Permutation
from seqgen.layers.base import Layer
from seqgen.layers.core import Masking
from seqgen.layers.merging import Concatenate
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
        reads: Names of the layers that it reads.
    """

    name: str
    array: np.ndarray
    counts: np.ndarray | None = None
    reads: tuple[str, ...] = ()

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
        if len(node.inputs) > 1 and node.mask == node.name:
            xs = graph.sources_of(node)
            masks = [found[mask_name(x.mask)] if x.mask else None for x in xs]
            arrays = [made[x.name] for x in xs]
            found[mask_name(node.name)] = joined(node.layer, arrays, masks)
        elif len(node.inputs) == 1 and node.layer.made_mask(source.type) is not None:
            x = made[source.name]
            masking = isinstance(node.layer, Masking)
            differs = (x != node.layer.mask_value).any(-1) if masking else x != 0
            found[mask_name(node.name)] = differs
    return found


def joined(
    layer: Layer, xs: Sequence[np.ndarray], masks: Sequence[np.ndarray | None]
) -> np.ndarray:
    """The mask that a layer makes of those of its inputs."""
    rank = xs[0].ndim
    if isinstance(layer, Concatenate) and not layer.joins_features(rank):
        known = [
            np.ones(x.shape[:-1], bool) if mask is None else mask
            for x, mask in zip(xs, masks, strict=True)
        ]
        return np.concatenate(known, layer.axis % rank)
    either: np.ndarray = functools.reduce(np.logical_or, (m for m in masks if m is not None))
    return either


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
        found.append(Expected(node.name, array, counts, node.inputs))
    return found


def first_divergence(
    layers: Sequence[Expected], values: Sequence[Value], limit: float
) -> int | None:
    """Index of the first layer that differs, None if none does.

    A value with a layer's name is that layer's and decides. A program need not name every layer,
    and a layer may be left out of it: one without a named value is right if its value stands
    anywhere, and so is all that leads to a layer that is right.
    """
    named = {value.name: value for value in values if value.name}
    wrong: list[int] = []
    known: set[str] = set()
    for index, layer in reversed(list(enumerate(layers))):
        value = named.get(layer.name)
        candidates = values if value is None else [value]
        met = any(layer.is_met_by(candidate, limit) for candidate in candidates)
        if met or (value is None and layer.name in known):
            known.update(layer.reads)
        else:
            wrong.append(index)
    return min(wrong, default=None)


def told_apart(
    graph: Model, layers: Sequence[Expected], values: Iterable[Value], limit: float
) -> Iterator[Value]:
    """Values with the names of calls, by those of the layers that were called.

    Each is of the call that was to give it; those that none was to give follow the order of calls.
    """
    waiting: dict[str, list[Expected]] = {}
    for node, layer in zip(graph.layers, layers, strict=True):
        waiting.setdefault(node.same_as or node.name, []).append(layer)
    strange = []
    for value in values:
        calls = waiting.get(value.name, [])
        place = next((i for i, call in enumerate(calls) if call.is_met_by(value, limit)), None)
        if place is None:
            strange.append(value)
        else:
            yield replace(value, name=calls.pop(place).name)
    for value in strange:
        calls = waiting.get(value.name, [])
        yield replace(value, name=calls.pop(0).name if calls else "")
