"""The graph in a config of Keras 2 as Keras 3 writes it.

There, a call is a list of the tensors in the first argument, each with its place and with all other
arguments of the call: `["dense", 0, 0, {"training": false}]` (`process_node` in
keras/engine/functional.py of 2.15). The calls of a model within are counted from 1 where it has
inputs of its own, since its own graph counts as the first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from seqgen.errors import SpecError
from seqgen.importers.graph_config import TENSOR, Made, history, places
from seqgen.importers.objects import (
    MODELS,
    Plain,
    Refusals,
    is_graph,
    is_input,
    is_object,
    label_of,
    name_of,
)

CONSTANT = "_CONSTANT_VALUE"


def modern_graph(config: Plain, refusals: Refusals) -> Plain:
    """The config of a graph whose layers are those of Keras 3, with its calls as there.

    Args:
        config: The config, without the class.
        refusals: Takes what cannot be said.

    Raises:
        SpecError: A call is no list of tensors.
    """
    known = [item for item in config["layers"] if is_object(item)]
    items = {name_of(item): item for item in known if isinstance(name_of(item), str)}
    outputs = places(config.get("output_layers"), f"Functional '{config.get('name')}', outputs")
    calls = _Calls(items, outputs, refusals)
    layers = [
        (
            {**item, "inbound_nodes": calls.of(item)}
            if is_object(item) and not is_input(item)
            else item
        )
        for item in config["layers"]
    ]
    # Keras 3 counts the calls of a graph from 1 here, and here only.
    named = [
        [m.layer, m.call + is_graph(items.get(m.layer)), m.index] for m in map(calls.moved, outputs)
    ]
    return {**config, "layers": layers, "output_layers": named}


def _place(value: Any) -> Made | None:
    """The place of a tensor in a call, with or without other arguments behind it."""
    return history(value[:3]) if isinstance(value, list) and len(value) in (3, 4) else None


def _places(value: Any) -> Iterator[Made]:
    """The places of all tensors in a call."""
    made = _place(value)
    if made is not None:
        yield made
        value = value[3:]
    if isinstance(value, Mapping):
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _places(item)


def _leaves(node: Any) -> Iterator[list[Any]]:
    """The tensors of a first argument, as the config has them."""
    if _place(node) is not None:
        yield node
    elif isinstance(node, (list, Mapping)):
        for item in node if isinstance(node, list) else node.values():
            yield from _leaves(item)


class _Calls:
    """Turns the calls of layers into those of Keras 3.

    Args:
        items: The layers by name.
        outputs: The tensors that are the result.
        refusals: Takes what cannot be said.
    """

    def __init__(self, items: Plain, outputs: list[Made], refusals: Refusals) -> None:
        self._items = items
        self._refusals = refusals
        self._firsts: dict[str, int] = {}
        used = [item.get("inbound_nodes") for item in items.values()]
        for made in (*outputs, *_places(used)):
            if made.layer in items and items[made.layer]["class_name"] in MODELS:
                self._firsts[made.layer] = min(made.call, self._firsts.get(made.layer, 1))

    def moved(self, made: Made) -> Made:
        """A place with the calls of all layers counted from 0."""
        return made._replace(call=made.call - self._firsts.get(made.layer, 0))

    def of(self, item: Plain) -> list[Plain]:
        """The calls of a layer."""
        nodes = item.get("inbound_nodes")
        if not isinstance(nodes, list):
            raise SpecError(
                f"{label_of(item)}: expected a list of calls, received {str(nodes)[:80]}"
            )
        return [self._call(node, label_of(item)) for node in nodes]

    def _call(self, node: Any, label: str) -> Plain:
        read = self._first(node, label)
        if isinstance(read, list) and len(read) == 1:
            read = read[0]
        leaf = next(_leaves(node), [])
        given = leaf[3] if len(leaf) == 4 and isinstance(leaf[3], Mapping) else {}
        return {"args": [read], "kwargs": {key: self._other(item) for key, item in given.items()}}

    def _first(self, value: Any, label: str) -> Any:
        """The first argument of a call as Keras 3 writes it."""
        if isinstance(value, list) and value[:1] == [CONSTANT]:
            self._refusals.add(f"{label}: it is called on a constant")
            return []
        made = _place(value)
        if made is not None:
            return self._tensor(made)
        if isinstance(value, list):
            return [self._first(item, label) for item in value]
        if isinstance(value, Mapping):
            return {key: self._first(item, label) for key, item in value.items()}
        raise SpecError(f"{label}: expected places of tensors, received {str(value)[:80]}")

    def _other(self, value: Any) -> Any:
        """Another argument, which may be a tensor or hold some."""
        made = history(value)
        if made is not None and made.layer in self._items:
            return self._tensor(made)
        if isinstance(value, list):
            return [self._other(item) for item in value]
        return value

    def _tensor(self, made: Made) -> Plain:
        return {"class_name": TENSOR, "config": {"keras_history": list(self.moved(made))}}
