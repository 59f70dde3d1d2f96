"""A graph of a spec: layers with the names of what they read."""

from typing import TYPE_CHECKING, Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.arguments import BOOLEAN, DTYPE, near_miss, short
from seqgen.spec.entry import Input
from seqgen.spec.functional import Model
from seqgen.spec.located import Faults, Located
from seqgen.spec.tensors import Tensor, call

if TYPE_CHECKING:
    from seqgen.spec.container import Item
    from seqgen.spec.reader import Reader

# What an item of a graph says besides the arguments of its layer.
FROM, WITH = "from", "with"
# The item that calls a layer, or a model within, once more.
CALL = "call"
CALL_KEYS = ("layer", "name", FROM, WITH)

Values = dict[str, tuple[Tensor, ...]]


class GraphReader:
    """Reads one graph.

    Args:
        reader: Reads the layers.
        faults: Takes what is wrong.
        item: What is said of the graph.
        prefix: Of the places of its layers.
        label: How errors name it; None for the outermost model.
    """

    def __init__(
        self, reader: "Reader", faults: Faults, item: Located, prefix: str, label: str | None
    ) -> None:
        self._reader = reader
        self._faults = faults
        self._item = item
        self._prefix = prefix
        self._label = label
        # The tensors that can be read, by the name of what makes them.
        self._values: Values = {}
        self._layers: dict[str, Item] = {}
        self._last: tuple[Tensor, ...] = ()

    def read(self) -> Model | None:
        """The model; None if there are faults in it."""
        name = self._reader.name(self._item, self._label or "the model")
        dtype = self._reader.value(self._item, "dtype", DTYPE, self._label)
        trainable = self._reader.value(self._item, "trainable", BOOLEAN, self._label)
        entries = self._entries()
        if self._faults or not self._nodes():
            return None
        outputs = self._outputs()
        if self._faults:
            return None
        try:
            return Model(entries, outputs, name, trainable is not False, dtype=dtype)
        except SpecError as error:
            for fault in error.faults:
                self._faults.add(fault, self._item.line)
            return None

    def _fault(self, message: str, argument: str | None, line: int | None, where: str = "") -> None:
        label = where or self._label
        self._faults.add(Fault(message, argument, label), line)

    # Inputs and outputs

    def _entries(self) -> list[Input]:
        """The inputs: one under `input`, or several by name under `inputs`."""
        given = self._item.value.get("inputs")
        if (given is None) == ("input" not in self._item.value):
            message = "expected either `input`, a shape, or `inputs`, shapes by name"
            self._fault(message, None, self._item.line)
            return []
        if given is None:
            entry = self._reader.entry(self._item, self._label)
            found = [] if entry is None else [entry]
        elif not isinstance(given.value, dict) or not given.value:
            message = f"expected shapes by name, received {short(given.plain)}"
            self._fault(message, "inputs", given.line)
            found = []
        else:
            made = [self._reader.entry(given, "inputs", key, key) for key in given.value]
            found = [entry for entry in made if entry is not None]
        for entry in found:
            self._values[entry.name] = (entry.tensor,)
        if len(found) == 1:
            self._last = (found[0].tensor,)
        return found

    def _outputs(self) -> list[Tensor]:
        given = self._item.value.get("outputs")
        if given is None:
            return list(self._last)
        named = given.value if isinstance(given.value, list) else [given]
        return [tensor for one in named for tensor in self._found(one, "outputs", "")]

    # Nodes

    def _nodes(self) -> bool:
        """Read all layers and call them; whether that went well."""
        given = self._item.value["graph"]
        if not isinstance(given.value, list) or not given.value:
            message = f"expected a list of at least one layer, received {short(given.plain)}"
            self._fault(message, "graph", given.line)
            return False
        for index, part in enumerate(given.value):
            if self._faults.full:
                break
            self._node(part, f"{self._prefix}graph[{index}]")
        return not self._faults

    def _node(self, part: Located, where: str) -> None:
        """Read one item, and call what it says."""
        kind, arguments = self._taken_apart(part)
        extra = {key: arguments.value.pop(key) for key in (FROM, WITH) if key in arguments.value}
        if kind == CALL:
            item, name = self._again(arguments, where)
        else:
            bare = Located({kind: arguments}, part.line) if arguments.value else part
            if extra and not arguments.value:
                bare = Located(kind, part.line)
            item, name = self._reader.layer(bare, where), None
            if item is not None:
                self._reader.places[id(item)] = (where, part)
        label = f"{where} {item.label}" if item is not None else where
        if item is not None and kind != CALL and item.name and not item._auto:
            if item.name in self._values:
                message = "the name is taken; all layers of a model need unique names"
                self._fault(message, "name", part.line, label)
            self._layers[item.name] = item
        read = self._read(extra.get(FROM), part, label)
        given = extra.get(WITH, Located({})).plain
        if not isinstance(given, dict):
            message = f"expected arguments of a call by name, received {short(given)}"
            self._fault(message, WITH, extra[WITH].line, label)
            return
        if item is None or read is None:
            return
        self._call(item, read, given, name, label, part.line)

    def _call(
        self,
        item: "Item",
        read: tuple[Any, ...],
        given: dict[str, Any],
        name: str | None,
        label: str,
        line: int | None,
    ) -> None:
        places, keywords = read
        try:
            made = call(item, places, {**keywords, **given}, name)
        except SpecError as error:
            self._reader.misfit_of(error, item, label, line)
            return
        self._last = tuple(made) if isinstance(made, list) else (made,)
        own = name or (None if item._auto else item.name)
        if own:
            self._values[own] = self._last

    def _taken_apart(self, part: Located) -> tuple[str, Located]:
        """The name of what an item says, and its arguments, which may be changed."""
        if isinstance(part.value, dict) and len(part.value) == 1:
            ((kind, arguments),) = part.value.items()
            if isinstance(arguments.value, dict):
                return str(kind), Located(dict(arguments.value), arguments.line)
        return str(part.value), Located({}, part.line)

    def _again(self, arguments: Located, where: str) -> "tuple[Item | None, str | None]":
        """A layer that is called once more, and the name of the result."""
        label = f"{where} {CALL}"
        self._reader.check_keys(arguments, CALL_KEYS, label)
        name = self._reader.name(arguments, label)
        given = arguments.value.get("layer", Located(None, arguments.line))
        item = self._layers.get(given.value) if isinstance(given.value, str) else None
        if item is None:
            hint = near_miss(str(given.value), self._layers)
            message = f"expected the name of a layer above, received {short(given.plain)}{hint}"
            self._fault(message, "layer", given.line, label)
        if name is not None and name in self._values:
            self._fault("the name is taken", "name", arguments.line, label)
        return item, name

    def _read(
        self, given: Located | None, part: Located, label: str
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """What an item reads: by place, and by name; None if there are faults."""
        if given is None:
            if not self._last:
                names = ", ".join(self._values)
                message = f"expected the name of what it reads, one of {names}; it is missing"
                self._fault(message, FROM, part.line, label)
                return None
            return self._last, {}
        before = self._faults.count
        if isinstance(given.value, dict):
            named = {key: self._found(one, FROM, label) for key, one in given.value.items()}
            if self._faults.count > before:
                return None
            return (), {key: tensors[0] for key, tensors in named.items()}
        several = given.value if isinstance(given.value, list) else [given]
        tensors = [tensor for one in several for tensor in self._found(one, FROM, label)]
        if self._faults.count > before:
            return None
        return tuple(tensors), {}

    def _found(self, given: Located, argument: str, label: str) -> tuple[Tensor, ...]:
        """The tensors that a name means: all that a layer makes, or one of them (`name:1`)."""
        name = given.value
        if isinstance(name, str) and name in self._values:
            return self._values[name]
        base, _, index = name.rpartition(":") if isinstance(name, str) else ("", "", "")
        if base in self._values and index.isdigit() and int(index) < len(self._values[base]):
            return (self._values[base][int(index)],)
        hint = near_miss(str(name)[:60], self._values)
        message = (
            f"expected the name of an input or of a layer above, received {short(given.plain)}"
        )
        self._fault(message + hint, argument, given.line, label)
        return ()
