"""The graph of a config in the words of a spec: what is named, read and called."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from seqgen.errors import UnsupportedError
from seqgen.importers.graph_config import (
    Called,
    ConfigGraph,
    Made,
    flat,
    is_tensor,
    operates,
    places,
    tensor,
    tensors_in,
)
from seqgen.importers.graph_masks import without_masks
from seqgen.importers.objects import MODELS, Plain, entry_of, is_graph, label_of
from seqgen.importers.operations import operation
from seqgen.layers import LAYERS

if TYPE_CHECKING:
    from seqgen.importers.config import Translator

# What Keras calls the first argument of layers, where a call gives it by name.
FIRST_ARGUMENTS = ("inputs", "x", "sequences")
# Layers whose `call` has False for `training` if it is not told, which Keras notes in the config.
TRAINING_IS_FALSE = (
    *("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
    *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "SpectralNormalization"),
    *("GRU", "LSTM", "RNN", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
    *("AdditiveAttention", "Attention"),
)


class Reads(NamedTuple):
    """What a call takes.

    Attributes:
        by_place: Tensors, in order.
        by_name: Tensors by the names of their ports, instead of those by place.
        given: Other arguments.
    """

    by_place: list[Made]
    by_name: dict[str, Made]
    given: dict[str, Any]


NOTHING = Reads([], {}, {})


def graph_spec(config: Mapping[str, Any], translator: "Translator") -> Plain:
    """The config of a graph, without the class, as a spec has it.

    Raises:
        SpecError: The config is damaged.
    """
    graph = ConfigGraph(config)
    said = translator.refusals, translator.dtype
    entries = [entry_of(graph.entries[name], *said) for name in graph.inputs]
    spec: Plain = {"name": config.get("name")}
    if len(entries) == 1:
        spec["input"] = entries[0]
    else:
        spec["inputs"] = {entry.pop("name"): entry for entry in entries}
    if config.get("trainable") is False:
        spec["trainable"] = False
    return {**spec, **_Writer(graph, translator).written()}


class _Writer:
    """Writes the layers and outputs of a graph.

    Args:
        graph: The graph.
        translator: Turns layers into items, and takes what cannot be said.
    """

    def __init__(self, graph: ConfigGraph, translator: "Translator") -> None:
        self._graph = graph
        self._translator = translator
        self._order = without_masks(graph, graph.ordered())
        self._names = self._named()
        self._referred: set[tuple[str, int]] = set()

    def written(self) -> Plain:
        """The layers with what they read, and the outputs unless they are those of the last one."""
        graph = self._graph
        items: list[Plain] = []
        last = [Made(graph.inputs[0], 0, 0)] if len(graph.inputs) == 1 else []
        for call in self._order:
            items.append(self._item(call, last))
            last = graph.results(call)
        outputs = [] if graph.outputs == last else [self._reference(m) for m in graph.outputs]
        for call, item in zip(self._order, items, strict=True):
            if call.number and item and call.key in self._referred:
                item["call"]["name"] = self._names[call.key]
        return {"graph": items, **({"outputs": outputs} if outputs else {})}

    # Names

    def _named(self) -> dict[tuple[str, int], str]:
        """Names of the results: of a first call that of the layer, of others with a number."""
        names: dict[tuple[str, int], str] = {}
        taken = {*self._graph.items, *self._graph.entries}
        for call in self._order:
            name, number = call.layer, call.number + 1
            while call.number and name in taken:
                name, number = f"{call.layer}_{number}", number + 1
            names[call.key] = name
            taken.add(name)
        return names

    def _reference(self, made: Made) -> str:
        """A tensor by its name."""
        if made.layer in self._graph.entries:
            return made.layer
        call = self._graph.calls[made[:2]]
        self._referred.add(call.key)
        name = self._names[call.key]
        return f"{name}:{made.index}" if len(self._graph.results(call)) > 1 else name

    # Items

    def _label(self, call: Called) -> str:
        return label_of(self._graph.items[call.layer])

    def _refuse(self, call: Called, what: str) -> None:
        self._translator.refusals.add(f"{self._label(call)}: {what}")

    def _item(self, call: Called, last: list[Made]) -> Plain:
        """A call as an item of the spec; empty if it is refused.

        Args:
            call: The call.
            last: The tensors of the item before.
        """
        item = self._graph.items[call.layer]
        made, reads = self._operate(call) if operates(item) else self._make(call)
        return {kind: {**said, **self._edges(reads, last)} for kind, said in made.items()}

    def _edges(self, reads: Reads, last: list[Made]) -> Plain:
        """What an item says of what it reads, and of what it is called with."""
        said: Plain = {"with": reads.given} if reads.given else {}
        if reads.by_name:
            named = {port: self._reference(made) for port, made in reads.by_name.items()}
            return {"from": named, **said}
        if reads.by_place == last:
            return said
        references = [self._reference(made) for made in reads.by_place]
        return {"from": references[0] if len(references) == 1 else references, **said}

    def _make(self, call: Called) -> tuple[Plain, Reads]:
        """The layer, or that it is called once more, and what it reads."""
        if call.number:
            return {"call": {"layer": call.layer}}, self._read(call)
        made = self._translator.layer(self._graph.items[call.layer])
        return made, self._read(call) if made else NOTHING

    def _operate(self, call: Called) -> tuple[Plain, Reads]:
        """An operation of keras.ops, and what it reads."""
        item = self._graph.items[call.layer]
        try:
            made = operation(
                *(item["class_name"], item["config"]),
                *(call.args, call.kwargs, self._translator.dtype),
            )
        except UnsupportedError as error:
            self._refuse(call, str(error))
            return {}, NOTHING
        if call.number:
            self._refuse(call, "it is an operation that is called more than once")
            return {}, NOTHING
        reads = [tensor(value) for value in made.tensors]
        return {made.name: {**made.arguments, "name": call.layer}}, Reads(reads, {}, {})

    # Calls

    def _read(self, call: Called) -> Reads:
        """What a call takes; what a spec cannot say of it is refused."""
        item = self._graph.items[call.layer]
        kind = None if item["class_name"] in MODELS else LAYERS.get(item["class_name"])
        kwargs = {key: value for key, value in call.kwargs.items() if value is not None}
        if item["class_name"] in TRAINING_IS_FALSE and kwargs.get("training") is False:
            del kwargs["training"]
        args = list(call.args)
        if kind and kind.ports:
            reads = self._of_ports(call, kind.ports, args, kwargs)
        else:
            if not args:
                args = [kwargs.pop(key) for key in FIRST_ARGUMENTS if key in kwargs]
            reads = Reads(self._of_one(call, args), {}, kwargs)
        known = ("training", *(kind.call_arguments if kind else ()))
        for key, value in reads.given.items():
            if key not in known or any(tensors_in(value)):
                self._refuse(call, f"it is called with '{key}', which a spec cannot say")
        return reads

    def _of_ports(
        self, call: Called, ports: tuple[str, ...], args: list[Any], kwargs: dict[str, Any]
    ) -> Reads:
        """The tensors of a layer that takes each at a port of its own."""
        self._check_rest(call, args[len(ports) :])
        named = dict(zip(ports, args, strict=False))
        named |= {port: kwargs.pop(port) for port in ports if port in kwargs}
        tensors = {port: tensor(value) for port, value in named.items() if is_tensor(value)}
        for port, value in named.items():
            if port not in tensors and value is not None:
                self._refuse(call, f"its {port} is no tensor of the graph")
        if [*tensors] == list(ports[: len(tensors)]):
            return Reads(list(tensors.values()), {}, kwargs)
        return Reads([], tensors, kwargs)

    def _of_one(self, call: Called, args: list[Any]) -> list[Made]:
        """The tensors of a layer or model that takes one, or several in one argument."""
        self._check_rest(call, args[1:])
        value = self._in_order(call, args[0]) if args else None
        found = flat(value)
        if not found:
            self._refuse(call, "it is called on something else than tensors of the graph")
        return found or []

    def _check_rest(self, call: Called, args: list[Any]) -> None:
        if any(value is not None for value in args):
            self._refuse(call, "it is called with more by place than a spec can say")

    def _in_order(self, call: Called, value: Any) -> Any:
        """Tensors by name in the order of the inputs of the model that is called on them."""
        item = self._graph.items[call.layer]
        if is_tensor(value) or not isinstance(value, Mapping):
            return value
        entries = item["config"].get("input_layers") if is_graph(item) else []
        if isinstance(entries, Mapping):
            return value
        return [value.get(made.layer) for made in places(entries, self._label(call))]
