"""Masks in the config of a graph: Keras notes those that it finds by itself like any argument.

Where a layer is called on a tensor that has a mask, the config may say `mask`, which is made by
operations that stand among the layers (`compute_mask` of the layers in Keras). A spec says nothing
of them. So they are left out where they are what Keras would find, which the operations tell.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from seqgen.importers.graph_config import (
    Called,
    ConfigGraph,
    Made,
    is_tensor,
    operates,
    tensor,
    tensors_in,
)
from seqgen.importers.objects import Plain, is_object
from seqgen.layers import LAYERS

MERGES = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
# What a mask is computed of: equal for equal masks.
Formula = Hashable


def is_nothing(value: Any) -> bool:
    """Whether a value is None, or has nothing but None in it."""
    if isinstance(value, (list, tuple)):
        return all(map(is_nothing, value))
    if isinstance(value, Mapping) and not is_object(value):
        return all(map(is_nothing, value.values()))
    return value is None


class Masks:
    """The masks of all tensors of a graph, as far as the layers in the graph tell.

    Args:
        graph: The graph.
        order: Its calls, each behind what it reads.
    """

    def __init__(self, graph: ConfigGraph, order: Iterable[Called]) -> None:
        self._graph = graph
        self._formulas: dict[tuple[str, int], Formula] = {}
        self._carried: dict[tuple[str, int], Formula | None] = {}
        self._known: dict[Formula, Formula] = {}
        for call in order:
            item = graph.items[call.layer]
            if operates(item):
                self._formulas[call.key] = self._operation(item, call)
            else:
                self._carried[call.key] = self._made(item, call)

    def is_automatic(self, mask: Any, value: Any) -> bool:
        """Whether a mask is the one that a tensor has; both may hold several, alike."""
        if isinstance(mask, Mapping) and isinstance(value, Mapping) and not is_tensor(mask):
            pairs = [(mask[key], value.get(key)) for key in mask]
            return all(self.is_automatic(*pair) for pair in pairs)
        if isinstance(mask, (list, tuple)) and isinstance(value, (list, tuple)):
            pairs = zip(mask, value, strict=False)
            return len(mask) == len(value) and all(self.is_automatic(*pair) for pair in pairs)
        if mask is None:
            return is_tensor(value) and self._of(tensor(value)) is None
        if not is_tensor(mask) or not is_tensor(value):
            return False
        return self._formula(tensor(mask)) == self._of(tensor(value))

    def _of(self, made: Made) -> Formula | None:
        """The mask that a tensor has."""
        return self._carried.get(made[:2])

    def _formula(self, made: Made) -> Formula:
        """What a tensor is computed of."""
        return self._formulas.get(made[:2], made)

    def _noted(self, *parts: Formula) -> Formula:
        """A number for a formula, so that long ones are as quick to compare as short ones."""
        return self._known.setdefault(parts, ("formula", len(self._known)))

    def _operation(self, item: Plain, call: Called) -> Formula:
        config = {key: value for key, value in item["config"].items() if key != "name"}
        if item["class_name"] == "ConvertToTensor" and not config.get("dtype") and call.reads:
            return self._formula(call.reads[0])
        given = [self._part(value) for value in (*call.args, *call.kwargs.values())]
        return self._noted(item["class_name"], repr(sorted(config.items())), *given)

    def _part(self, value: Any) -> Formula:
        if is_tensor(value):
            return self._formula(tensor(value))
        if isinstance(value, (list, tuple)):
            return tuple(self._part(item) for item in value)
        return repr(value)

    # What layers do with masks

    def _made(self, item: Plain, call: Called) -> Formula | None:
        """The mask of what a layer makes."""
        name, config = item["class_name"], item["config"]
        kind = LAYERS.get(name)
        if kind is None or not call.reads:
            return None
        x = call.reads[0]
        if name == "Embedding":
            return self._unequal(x, 0) if config.get("mask_zero") else None
        if name == "Masking":
            return self._any(self._unequal(x, config.get("mask_value", 0.0)))
        if name == "Concatenate":
            return self._joined(config.get("axis", -1), call.reads)
        if name in MERGES:
            return self._merged([self._of(read) for read in call.reads])
        keeps = kind.supports_masking and config.get("return_sequences") is not False
        return self._of(x) if keeps else None

    def _unequal(self, x: Made, value: Any) -> Formula:
        return self._noted("NotEqual", repr([]), self._formula(x), repr(value))

    def _any(self, formula: Formula) -> Formula:
        return self._noted("Any", repr([("axis", -1), ("keepdims", False)]), formula)

    def _merged(self, masks: list[Formula | None]) -> Formula | None:
        if None in masks:
            return None
        first, *more = masks
        for mask in more:
            first = self._noted("LogicalOr", repr([]), first, mask)
        return first

    def _joined(self, axis: Any, reads: list[Made]) -> Formula | None:
        if all(self._of(read) is None for read in reads):
            return None
        of_bool = repr([("dtype", "bool")])
        parts: list[Formula] = []
        for read in reads:
            mask, x = self._of(read), self._formula(read)
            if mask is None:
                parts.append(self._noted("OnesLike", of_bool, x))
                continue
            wider = self._noted("ExpandDims", repr([("axis", -1)]), mask)
            zeros = self._noted("ZerosLike", of_bool, x)
            parts.append(self._noted("LogicalOr", repr([]), wider, zeros))
        return self._any(self._noted("Concatenate", repr([("axis", axis)]), tuple(parts)))

    def without(self, call: Called) -> Called:
        """A call without the masks that Keras finds by itself."""
        kept = {k: v for k, v in call.kwargs.items() if not self._is_implied(call, k, v)}
        if len(kept) == len(call.kwargs):
            return call
        reads = list(tensors_in([call.args, list(kept.values())]))
        return replace(call, kwargs=kept, reads=reads)

    def _is_implied(self, call: Called, key: str, value: Any) -> bool:
        if key.endswith("mask") and is_nothing(value):
            return True
        if key == "mask":
            return bool(call.args) and self.is_automatic(value, call.args[0])
        kind = LAYERS.get(self._graph.items[call.layer]["class_name"])
        port, _, word = key.rpartition("_")
        if word != "mask" or kind is None or port not in kind.ports:
            return False
        place = kind.ports.index(port)
        taken = call.args[place] if place < len(call.args) else call.kwargs.get(port)
        return self.is_automatic(value, taken)


def without_masks(graph: ConfigGraph, order: list[Called]) -> list[Called]:
    """The calls of a graph without the masks that Keras finds by itself, and what makes those."""
    masks = Masks(graph, order)
    needed = {made[:2] for made in graph.outputs}
    kept: list[Called] = []
    for call in map(masks.without, reversed(order)):
        if call.key in needed or not operates(graph.items[call.layer]):
            needed |= {made[:2] for made in call.reads}
            kept.append(call)
    return kept[::-1]
