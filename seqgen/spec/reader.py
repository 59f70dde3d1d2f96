"""From located values to a model; every fault on the way is noted, with its place."""

import functools
from collections import Counter
from dataclasses import replace
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.layers import LAYERS, find_layer
from seqgen.layers.arguments import BOOLEAN, DTYPE, Kind, near_miss, short
from seqgen.layers.base import Layer
from seqgen.spec.container import Item
from seqgen.spec.entry import INPUT_NAME, Input
from seqgen.spec.flatten import flatten, graph_of
from seqgen.spec.graph_names import CALL, WITH, apart, kind_of
from seqgen.spec.graph_reader import GraphReader
from seqgen.spec.located import Faults, Located
from seqgen.spec.names import LONGEST_NAME, name_fault
from seqgen.spec.sequential import Sequential
from seqgen.spec.steps import Misfit
from seqgen.spec.whole import Whole
from seqgen.spec.writer import VERSION, first_argument
from seqgen.training.settings import Training

COMMON_KEYS = ("name", "input", "dtype", "trainable", "weights")
MODEL_KEYS = (*COMMON_KEYS, "layers")
GRAPH_KEYS = (*COMMON_KEYS, "inputs", "graph", "outputs")
FILE_KEYS = ("seqgen", "$schema", "training")
INPUT_KEYS = ("shape", "batch_size", "dtype", "name")


@functools.cache
def _near_layer(name: str) -> str:
    return near_miss(name[:LONGEST_NAME], [*LAYERS, "Sequential", "Model"])


def _near(name: str, known: Any) -> str:
    return near_miss(name[:LONGEST_NAME], known)


class Reader:
    """Reads one spec.

    Args:
        faults: Takes what is wrong.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.places: dict[int, tuple[str, Located]] = {}
        self._weights: list[tuple[Whole, Located]] = []

    def read(self, root: Located | None) -> tuple[Whole | None, list[tuple[Whole, str]]]:
        """The model, None if there are faults, and the paths of weights with whose they are."""
        if root is None or root.value is None:
            self._faults.add("it is empty; expected a spec with the keys seqgen, input and layers")
            return None, []
        if not isinstance(root.value, dict):
            message = f"expected a spec with keys such as layers, received {short(root.value)}"
            self._faults.add(message, root.line)
            return None, []
        keys = GRAPH_KEYS if "graph" in root.value else MODEL_KEYS
        self.check_keys(root, (*keys, *FILE_KEYS), None)
        self._check_version(root)
        model = self._model(root, "", None)
        if model is not None and not self._faults:
            self._check_weights(model)
            self._check_whole(model)
            self._training(root, model)
        return model, [(part, path.value) for part, path in self._weights]

    def check_keys(self, item: Located, known: tuple[str, ...], layer: str | None) -> None:
        """Note the keys of an item that are not known."""
        for key, value in item.value.items():
            if key not in known:
                listed = ", ".join(name for name in known if name[0] != "$")
                hint = _near(key, known) or f"; there are: {listed}"
                self._faults.add(Fault(f"there is no such key{hint}", key[:60], layer), value.line)

    def _check_version(self, root: Located) -> None:
        version = root.value.get("seqgen")
        if version is None:
            message = f"expected {VERSION}, the version of the format, but it is missing"
            self._faults.add(Fault(message, "seqgen"), root.line)
        elif version.value is True or version.value != VERSION:
            message = f"expected {VERSION}, the version of the format, received "
            self._faults.add(Fault(message + short(version.plain), "seqgen"), version.line)

    def _training(self, root: Located, model: Whole) -> None:
        """Take what is said of training."""
        given = root.value.get("training")
        if given is None or given.value is None:
            return
        try:
            model.training = Training.parse(given.plain)
        except SpecError as error:
            for fault in error.faults:
                known = given.value if isinstance(given.value, dict) else {}
                self._faults.add(fault, known.get(fault.argument or "", given).line)

    # Models

    def _model(self, item: Located, prefix: str, label: str | None) -> Whole | None:
        """A model, a stack of layers or a graph; None if there are faults in it."""
        if "graph" in item.value:
            model: Whole | None = GraphReader(self, self._faults, item, prefix, label).read()
        else:
            model = self._stack(item, prefix, label)
        weights = item.value.get("weights")
        if weights is not None and not (isinstance(weights.value, str) and weights.value):
            message = f"expected the path of a weights file, received {short(weights.plain)}"
            self._faults.add(Fault(message, "weights", label), weights.line)
        elif weights is not None and model is not None:
            self._weights.append((model, weights))
        if model is not None and label is not None and not model.trainable:
            # Being made frozen counts for the outermost model only; a spec says what is.
            model.trainable = False
        return model

    def _check_weights(self, model: Whole) -> None:
        """Note weights of models within that have no variables of their own."""
        for part, path in self._weights:
            message = None
            if not model.contains(part):
                message = (
                    "a model inside a layer has no weights of its own; give those of the whole"
                )
            elif sum(other.contains(part) for other, _ in self._weights) > 1:
                message = "the model around it has weights already, which are those of this one too"
            if message:
                self._faults.add(Fault(message, "weights", part.label), path.line)

    def _stack(self, item: Located, prefix: str, label: str | None) -> Sequential | None:
        """A stack with all its layers; None if there are faults in it.

        Args:
            item: What is said of it.
            prefix: Of the places of its layers.
            label: How errors name it; None for the outermost.
        """
        name = self.name(item, label or "the model")
        dtype = self.value(item, "dtype", DTYPE, label)
        trainable = self.value(item, "trainable", BOOLEAN, label)
        entry = self.entry(item, label)
        layers = self._layers(item, prefix, label)
        self._check_names(layers, entry)
        known = layers[: layers.index(None)] if None in layers else layers
        if not known or (item.value.get("input") is not None and entry is None):
            return None
        try:
            return Sequential(
                [entry, *known] if entry else known,
                trainable=trainable is not False,
                name=name,
                dtype=dtype,
            )
        except SpecError as error:
            self.misfit(error, known, prefix)
            return None

    def misfit(self, error: SpecError, layers: Any, prefix: str) -> None:
        """Note that a layer does not fit its input."""
        where, line = "", None
        for index in error.index if isinstance(error, Misfit) else ():
            layer: Item = layers[index]
            layers = () if isinstance(layer, Layer) else [step.item for step in layer.steps]
            where, item = self.places[id(layer)]
            line = item.line
            where = f"{where} {layer.label}"
        if not where and self._faults:
            # Names that are wrong were noted before.
            return
        for fault in error.faults:
            argument = self.argument_line(item, fault.argument) if where else None
            self._faults.add(replace(fault, layer=where or fault.layer), argument or line)

    def misfit_of(self, error: SpecError, item: Item, label: str, part: Located) -> None:
        """Note that an item of a graph does not fit what it is called on."""
        if isinstance(error, Misfit) and not isinstance(item, Layer):
            self.misfit(error, [reading.item for reading in item.steps], "")
            return
        for fault in error.faults:
            line = self.argument_line(part, fault.argument)
            self._faults.add(replace(fault, layer=label), line)

    def argument_line(self, item: Located, argument: str | None) -> int | None:
        """The line of an argument of an item, or of a call of it; else that of the item."""
        arguments, edges = apart(item)
        (given,) = arguments.value.values() if isinstance(arguments.value, dict) else (item,)
        for said in (edges, given.value, edges.get(WITH, item).value):
            if isinstance(said, dict) and argument in said:
                return said[argument].line
        return item.line

    def _check_whole(self, model: Whole) -> None:
        """What shows only when the whole model is there."""
        plain = all("." not in leaf.path and leaf.trainable for leaf in flatten(model))
        own = {leaf.layer.dtype for leaf in flatten(model)} - {None}
        entries = [entry for entry in (model.entries if model.built else ()) if entry.dtype]
        same = all(entry.dtype in (None, model.dtype or "float32") for entry in entries)
        flat = isinstance(model, Sequential) or all(isinstance(i, Layer) for i in model.items)
        if model.built and not (plain and same and flat and own <= {model.dtype}):
            try:
                graph_of(model)
            except SpecError as error:
                for fault in error.faults:
                    self._faults.add(fault)

    def value(self, item: Located, key: str, kind: Kind, label: str | None) -> Any:
        """The value of a key; None if it is not given, or wrong."""
        given = item.value.get(key)
        if given is None:
            return None
        try:
            return kind.parse(given.plain, 0)
        except (TypeError, ValueError) as error:
            message = f"expected {kind.expected}, received {short(given.plain)}{_hint(error)}"
            self._faults.add(Fault(message, key, label), given.line)
            return None

    def name(self, item: Located, label: str) -> str | None:
        """The name that something is given; None if it has none, or a wrong one."""
        name = item.value.get("name")
        if name is None:
            return None
        message = name_fault(name.value)
        if message:
            self._faults.add(Fault(message, "name", label), name.line)
            return None
        return str(name.value)

    def entry(
        self, item: Located, label: str | None, key: str = "input", name: str | None = None
    ) -> Input | None:
        """An input; None if there is none, or a fault in it.

        Args:
            item: What says it.
            label: How errors name what is around.
            key: Under which it is said.
            name: Its name, if the key gives it.
        """
        given = item.value.get(key)
        if given is None:
            return None
        if isinstance(given.value, list):
            given = Located({"shape": given}, given.line)
        where = f"{label}, {key}" if label else key
        if not isinstance(given.value, dict):
            message = f"expected a shape, or keys such as shape, received {short(given.plain)}"
            self._faults.add(Fault(message, None, where), given.line)
            return None
        keys = tuple(k for k in INPUT_KEYS if name is None or k != "name")
        self.check_keys(given, keys, where)
        if given.value.get("shape", Located(None)).value is None:
            message = "expected the sizes without the batch, null for an open one; it is missing"
            self._faults.add(Fault(message, "shape", where), given.line)
            return None
        arguments = {key: v.plain for key, v in given.value.items() if key in keys}
        try:
            return Input(**arguments, **({} if name is None else {"name": name}))
        except SpecError as error:
            for fault in error.faults:
                line = given.value.get(fault.argument, given).line
                self._faults.add(replace(fault, layer=where), line)
            return None

    # Layers

    def _layers(self, item: Located, prefix: str, label: str | None) -> "list[Item | None]":
        given = item.value.get("layers")
        if given is None or not isinstance(given.value, list) or not given.value:
            received = "it is missing" if given is None else f"received {short(given.plain)}"
            message = f"expected a list of at least one layer, {received}"
            line = item.line if given is None else given.line
            self._faults.add(Fault(message, "layers", label), line)
            return []
        made: list[Item | None] = []
        for index, part in enumerate(given.value):
            if self._faults.full:
                break
            layer = self._stacked(part, f"{prefix}layers[{index}]")
            if layer is not None:
                self.places[id(layer)] = (f"{prefix}layers[{index}]", part)
            made.append(layer)
        return made

    def _stacked(self, part: Located, where: str) -> "Item | None":
        """A layer of a stack, which reads the one before and nothing else."""
        bare, edges = apart(part)
        said = CALL if kind_of(part) == CALL else next(iter(edges), None)
        if said is not None:
            message = "a layer of a stack reads the one before; write graph: instead of layers:"
            self._faults.add(Fault(message, said, where), self.argument_line(part, said))
        layer = None if said == CALL else self.layer(bare, where)
        if isinstance(layer, Layer) and layer.is_operation:
            message = "only a graph holds operations; write graph: instead of layers:"
            self._faults.add(Fault(message, None, f"{where} {layer.label}"), part.line)
            return None
        return layer

    def layer(self, item: Located, where: str) -> "Item | None":
        """A layer: its name, or `{name: arguments}`."""
        if isinstance(item.value, str):
            name, arguments = item.value, Located({}, item.line)
        elif isinstance(item.value, dict) and len(item.value) == 1:
            ((name, arguments),) = item.value.items()
        else:
            self._no_layer(item, where)
            return None
        if name in ("Sequential", "Model"):
            return self._nested(str(name), arguments, where)
        kind = find_layer(name) if name.replace(".", "_").isidentifier() else None
        if kind is None:
            message = f"there is no such layer{_near_layer(name)}"
            self._faults.add(Fault(message, None, f"{where} {short(name)}"), item.line)
            return None
        return self._read_layer(kind, arguments, where)

    def _no_layer(self, item: Located, where: str) -> None:
        message = f"expected a layer, or {{layer: arguments}}, received {short(item.plain)}"
        if isinstance(item.value, dict) and len(item.value) > 1:
            first, *rest = item.value
            if find_layer(first[:LONGEST_NAME]) or first in ("Sequential", "Model"):
                message = f"indent its arguments ({', '.join(rest)[:60]}) deeper than the layer"
        self._faults.add(Fault(message, None, where), item.line)

    def _nested(self, kind: str, arguments: Located, where: str) -> Whole | None:
        keys, holds = (GRAPH_KEYS, "graph") if kind == "Model" else (MODEL_KEYS, "layers")
        if isinstance(arguments.value, list):
            arguments = Located({holds: arguments}, arguments.line)
        name = arguments.value.get("name") if isinstance(arguments.value, dict) else None
        label = f"{where} {kind}" + (f" {short(name.value)}" if name else "")
        if not isinstance(arguments.value, dict):
            message = f"expected keys such as {holds}, received {short(arguments.plain)}"
            self._faults.add(Fault(message, None, label), arguments.line)
            return None
        self.check_keys(arguments, keys, label)
        if kind == "Model" and "graph" not in arguments.value:
            message = "expected a list of layers with the names of what they read, it is missing"
            self._faults.add(Fault(message, "graph", label), arguments.line)
            return None
        return self._model(arguments, f"{where}.", label)

    def _read_layer(self, kind: type[Layer], arguments: Located, where: str) -> Layer | None:
        label = f"{where} {kind.kind}"
        if not isinstance(arguments.value, dict):
            first = first_argument(kind)
            if arguments.value is not None and first is None:
                message = f"it takes arguments by name only, received {short(arguments.plain)}"
                self._faults.add(Fault(message, None, label), arguments.line)
                return None
            given = {} if arguments.value is None else {str(first): arguments}
            arguments = Located(given, arguments.line)
        name = arguments.value.get("name")
        if name is not None and name.value is not None:
            label += f" {short(name.value)}"
            if self.name(arguments, label) is None:
                return None
        return self._make(kind, arguments, where, label)

    def _parts(self, item: Located, where: str) -> Any:
        """An argument that is a layer, or a list of them; None for one in which there are faults.

        What can be neither is returned as it is.
        """
        if isinstance(item.value, list):
            return [self._parts(part, f"{where}[{i}]") for i, part in enumerate(item.value)]
        return self.layer(item, where) if isinstance(item.value, (str, dict)) else item.plain

    def _make(self, kind: type[Layer], arguments: Located, where: str, label: str) -> Layer | None:
        long = [key for key in arguments.value if len(key) > LONGEST_NAME]
        for key in long:
            line = arguments.value.pop(key).line
            self._faults.add(Fault("there is no such argument", key[:40] + "...", label), line)
        given = arguments.plain
        inside = [key for key, of in kind.kinds.items() if of.of_layers and given.get(key)]
        for key in inside:
            given[key] = self._parts(arguments.value[key], f"{where}.{key}")
        noted = [key for key in inside if given[key] is None or _lacks(given[key])]
        try:
            layer = kind.from_arguments(given)
        except SpecError as error:
            for fault in error.faults:
                if fault.argument in noted:
                    continue
                line = arguments.value.get(fault.argument, arguments).line
                self._faults.add(replace(fault, layer=label), line)
            return None
        return None if long else layer

    def _check_names(self, layers: "list[Item | None]", entry: Input | None) -> None:
        """Note names that are given twice."""
        seen = Counter([entry.name] if entry and entry.name != INPUT_NAME else [])
        for layer in layers:
            if layer is None or layer.name is None or (layer._auto and layer.name not in seen):
                continue
            if seen[layer.name] and not layer._auto:
                where, item = self.places[id(layer)]
                message = "the name is taken; all layers of a model need unique names"
                line = self.argument_line(item, "name")
                self._faults.add(Fault(message, "name", f"{where} {layer.label}"), line)
            seen[layer.name] += 1


def _lacks(parts: Any) -> bool:
    """Whether a list of layers has one that could not be read."""
    return isinstance(parts, list) and None in parts


def _hint(error: Exception) -> str:
    return str(error) if str(error).startswith(";") else ""
