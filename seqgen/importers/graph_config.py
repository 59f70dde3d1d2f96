"""The config of a graph of layers of Keras 3 in the words of a spec.

A config lists the layers, each with the calls of it (`inbound_nodes`), and a call names what it
reads as a layer, the number of a call of that, and the number of a tensor (`serialize_node` in
keras/src/models/functional.py).
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from seqgen.errors import Fault, SpecError, UnsupportedError
from seqgen.importers.objects import (
    MODELS,
    Plain,
    is_graph,
    is_input,
    is_object,
    layers_of,
    name_of,
)
from seqgen.importers.operations import is_operation

TENSOR = "__keras_tensor__"


class Made(NamedTuple):
    """A tensor: which layer makes it, in which of its calls, as which of its results."""

    layer: str
    call: int
    index: int


@dataclass(frozen=True)
class Called:
    """A call of a layer.

    Attributes:
        layer: Name of the layer.
        number: Which of its calls it is.
        args: What it is called with by place, as the config has it.
        kwargs: The same by name.
        reads: All tensors in it.
    """

    layer: str
    number: int
    args: list[Any]
    kwargs: dict[str, Any]
    reads: list[Made]

    @property
    def key(self) -> tuple[str, int]:
        """The layer and the number."""
        return self.layer, self.number


def history(value: Any) -> Made | None:
    """A place of a tensor, such as `["dense", 0, 0]`; None if it is something else."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    name, *numbers = value
    if not isinstance(name, str) or any(type(number) is not int for number in numbers):
        return None
    return Made(name, *numbers)


def is_tensor(value: Any) -> bool:
    """Whether a value of a call is a tensor."""
    return is_object(value) and value["class_name"] == TENSOR


def tensor(value: Any) -> Made:
    """A tensor that a call is given.

    Raises:
        ValueError: It does not say what makes it.
    """
    made = history(value["config"].get("keras_history"))
    if made is None:
        raise ValueError
    return made


def tensors_in(value: Any) -> Iterator[Made]:
    """All tensors of a value, in the order of Keras: dictionaries by sorted keys."""
    if is_tensor(value):
        yield tensor(value)
    elif isinstance(value, Mapping) and not is_object(value):
        for key in sorted(value, key=str):
            yield from tensors_in(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


def flat(value: Any) -> list[Made] | None:
    """The tensors of a value that consists of nothing else; None for another one."""
    if is_tensor(value):
        return [tensor(value)]
    if isinstance(value, Mapping) and not is_object(value):
        value = [value[key] for key in sorted(value, key=str)]
    if not isinstance(value, (list, tuple)):
        return None
    found = [flat(item) for item in value]
    if any(item is None for item in found):
        return None
    return [made for item in found for made in item or ()]


def places(value: Any, label: str) -> list[Made]:
    """The tensors of `input_layers` or `output_layers`, in the order of Keras.

    Raises:
        SpecError: It holds something else.
    """
    found = history(value)
    if found is not None:
        return [found]
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value, key=str)]
    if not isinstance(value, (list, tuple)):
        raise SpecError(f"{label}: expected places of tensors, received {str(value)[:80]}")
    return [made for item in value for made in places(item, label)]


def operates(item: Plain) -> bool:
    """Whether an item is an operation; files of the older format tell by what it does not have."""
    bare = "module" not in item and "trainable" not in item["config"]
    return is_operation(item) or (bare and item["class_name"] not in MODELS)


class ConfigGraph:
    """The graph of a config, checked.

    Args:
        config: The config, without the class.

    Attributes:
        label: How errors name the model.
        items: The configs of the layers by name, inputs not among them.
        entries: The configs of the inputs by name.
        calls: All calls by layer and number.
        inputs: Names of the inputs, in order.
        outputs: The tensors that are the result.

    Raises:
        SpecError: The config is damaged.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.label = f"Functional '{str(config.get('name'))[:80]}'"
        self.items: dict[str, Plain] = {}
        self.entries: dict[str, Plain] = {}
        self.calls: dict[tuple[str, int], Called] = {}
        self._counts: dict[str, int] = {}
        self._read_layers()
        self.inputs = self._inputs()
        self.outputs = self._outputs()

    def fault(self, message: str, layer: str | None = None) -> SpecError:
        """An error of the model, or of a layer of it."""
        where = f"{self.label}, layer '{layer[:80]}'" if layer is not None else self.label
        return SpecError(Fault(message, None, where))

    # What the config holds

    def _read_layers(self) -> None:
        for item in layers_of(self._config):
            if not is_object(item):
                raise self.fault(f"an entry of the config describes no layer: {str(item)[:80]}")
            name = name_of(item)
            if not isinstance(name, str):
                raise self.fault(f"a {item['class_name']} has no name")
            if name in self.items or name in self.entries:
                raise self.fault("another layer of the graph has the same name", name)
            item = {**item, "config": {**item["config"], "name": name}}
            if is_input(item):
                self.entries[name] = item
                continue
            self.items[name] = item
            self._counts[name] = self._count(name, item)
            self._read_calls(name, item)
        for call in self.calls.values():
            for made in call.reads:
                self._check(made, call.layer)

    def _read_calls(self, name: str, item: Plain) -> None:
        nodes = item.get("inbound_nodes")
        if not isinstance(nodes, (list, tuple)) or not nodes:
            raise self.fault("the config says nowhere what it is called on", name)
        for number, node in enumerate(nodes):
            args = node.get("args") if isinstance(node, Mapping) else None
            kwargs = node.get("kwargs") if isinstance(node, Mapping) else None
            if not isinstance(args, (list, tuple)) or not isinstance(kwargs, Mapping):
                raise self.fault(f"call {number} has no args and kwargs", name)
            try:
                reads = list(tensors_in([args, list(kwargs.values())]))
            except ValueError:
                raise self.fault("it reads a tensor that no layer makes", name) from None
            call = Called(name, number, list(args), {**kwargs}, reads)
            self.calls[call.key] = call

    def _check(self, made: Made, layer: str | None = None) -> None:
        """Raise a `SeqgenError` if there is no such tensor, or none that a spec can say."""
        reader = "an output of the model" if layer is None else "it"
        if made.layer in self.entries and made[1:] == (0, 0):
            return
        key = (made.layer, made.call)
        if key in self.calls and made.index > 0 and not is_graph(self.items[made.layer]):
            raise UnsupportedError(
                f"{self.label}: {reader} reads result {made.index} of '{made.layer[:80]}', and a "
                "layer of a spec gives one result: no states, no attention scores, no parts"
            )
        if key not in self.calls or not 0 <= made.index < self._counts[made.layer]:
            shown = f"['{made.layer[:80]}', {made.call}, {made.index}]"
            raise self.fault(f"{reader} refers to {shown}, a tensor that no layer makes", layer)

    def results(self, call: Called) -> list[Made]:
        """All tensors that a call makes."""
        return [Made(*call.key, index) for index in range(self._counts[call.layer])]

    def _count(self, name: str, item: Plain) -> int:
        """How many tensors a call of a layer makes."""
        if not is_graph(item):
            return 1
        label = f"Functional '{name[:80]}', output_layers"
        return len(places(item["config"].get("output_layers"), label))

    def _inputs(self) -> list[str]:
        found = places(self._config.get("input_layers"), f"{self.label}, input_layers")
        names = [made.layer for made in found]
        if len(set(names)) < len(names) or set(names) != set(self.entries):
            listed = ", ".join(f"'{name[:80]}'" for name in self.entries)
            raise self.fault(f"expected the InputLayers {listed or 'of it'} as its inputs")
        return names

    def _outputs(self) -> list[Made]:
        found = places(self._config.get("output_layers"), f"{self.label}, output_layers")
        if not found:
            raise self.fault("it has no outputs")
        # Keras counts the calls of a graph from 1 here, and here only.
        shifts = [made.layer in self.items and is_graph(self.items[made.layer]) for made in found]
        outputs = [m._replace(call=m.call - shift) for m, shift in zip(found, shifts, strict=True)]
        for made in outputs:
            self._check(made)
        return outputs

    # The order

    def ordered(self) -> list[Called]:
        """The calls, each behind what it reads, else in the order of the layers."""
        ranks = {name: rank for rank, name in enumerate(self.items)}
        readers: dict[tuple[str, int], list[Called]] = {key: [] for key in self.calls}
        waits: dict[tuple[str, int], int] = {}
        for call in self.calls.values():
            before = {made[:2] for made in call.reads if made.layer in self.items}
            if call.number:
                before.add((call.layer, call.number - 1))
            waits[call.key] = len(before)
            for key in before:
                readers[key].append(call)
        ready = [(ranks[layer], number) for (layer, number), count in waits.items() if not count]
        heapq.heapify(ready)
        names, order = list(self.items), []
        while ready:
            rank, number = heapq.heappop(ready)
            call = self.calls[names[rank], number]
            order.append(call)
            for reader in readers[call.key]:
                waits[reader.key] -= 1
                if not waits[reader.key]:
                    heapq.heappush(ready, (ranks[reader.layer], reader.number))
        if len(order) < len(self.calls):
            stuck = list(dict.fromkeys(layer for (layer, _), count in waits.items() if count))
            listed = ", ".join(f"'{name[:80]}'" for name in stuck[:5])
            raise self.fault(f"layers read each other in a circle, among them {listed}")
        return order
