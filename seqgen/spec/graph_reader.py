"""A graph of a spec: layers with the names of what they read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.arguments import BOOLEAN, DTYPE, short
from seqgen.spec.entry import Input
from seqgen.spec.functional import Model, Walk
from seqgen.spec.graph_names import CALL, FROM, WITH, Made, Names, apart, kind_of, name_in
from seqgen.spec.located import Faults, Located
from seqgen.spec.steps import Misfit
from seqgen.spec.tensors import Tensor, call, checked_arguments

if TYPE_CHECKING:
    from seqgen.spec.container import Item
    from seqgen.spec.reader import Reader

ABOVE = "the name of an input or of a layer above"
# The tensors that an item reads by place, and those that it reads by the names of its ports.
Read = tuple[tuple[Tensor, ...], dict[str, Tensor]]


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
        given = item.value["graph"].value
        self._parts: list[Located] = given if isinstance(given, list) else []
        self._names = Names(self._parts)
        self._made: list[Made] = []
        self._last: Made | None = None
        # Whether it is not known what some item was meant to read.
        self._astray = False

    def read(self) -> Model | None:
        """The model; None if there are faults in it."""
        before = self._faults.count
        name = self._reader.name(self._item, self._label or "the model")
        dtype = self._reader.value(self._item, "dtype", DTYPE, self._label)
        trainable = self._reader.value(self._item, "trainable", BOOLEAN, self._label)
        entries = self._entries()
        self._nodes()
        outputs = self._outputs()
        self._check_read()
        if self._faults.count > before:
            return None
        try:
            return Model(entries, outputs, name, trainable is not False, dtype=dtype)
        except SpecError as error:
            self._note(error, Walk([entry.tensor for entry in entries], outputs))
            return None

    def _note(self, error: SpecError, walk: Walk) -> None:
        """Note why layers that fit one by one make no model."""
        if isinstance(error, Misfit):
            self._reader.misfit(error, [made.item for made in walk.calls], "")
            return
        for fault in error.faults:
            self._faults.add(fault, self._item.line)

    def _fault(
        self, message: str, argument: str | None, line: int | None, label: str | None = None
    ) -> None:
        self._faults.add(Fault(message, argument, label or self._label), line)

    # Inputs and outputs

    def _entries(self) -> list[Input]:
        """The inputs: one under `input`, or several by name under `inputs`."""
        given = self._item.value.get("inputs")
        if (given is None) == ("input" not in self._item.value):
            message = "expected either input, a shape, or inputs, shapes by name"
            self._fault(message, None, self._item.line)
            made: list[Input | None] = [None]
        elif given is None:
            made = [self._reader.entry(self._item, self._label)]
        else:
            made = self._named_entries(given)
        found = [entry for entry in made if entry is not None]
        self._astray = len(found) < len(made)
        self._names.values |= {entry.name: Made((entry.tensor,)) for entry in found}
        if len(made) == 1:
            self._last = Made((found[0].tensor,) if found else None)
        return found

    def _named_entries(self, given: Located) -> list[Input | None]:
        if not isinstance(given.value, dict) or not given.value:
            message = f"expected shapes by name, received {short(given.plain)}"
            self._fault(message, "inputs", given.line)
            return [None]
        label = f"{self._label}, inputs" if self._label else "inputs"
        self._names.values |= {name: Made(None) for name in given.value}
        return [self._reader.entry(given, label, name, name) for name in given.value]

    def _outputs(self) -> list[Tensor]:
        given = self._item.value.get("outputs")
        if given is not None:
            return list(self._found_all(given, "outputs", self._label) or ())
        return list((self._last and self._taken(self._last)) or ())

    def _check_read(self) -> None:
        """Note what no output follows from, since it would not be part of the model."""
        if self._astray:
            return
        for made in self._made:
            if made.tensors is not None and not made.read:
                message = "nothing reads it, and it is none of the outputs; name it, or remove it"
                self._fault(message, None, made.line, made.label)

    # Items

    def _nodes(self) -> None:
        if not self._parts:
            given = self._item.value["graph"]
            message = f"expected a list of at least one layer, received {short(given.plain)}"
            self._fault(message, "graph", given.line)
        for index, part in enumerate(self._parts):
            if self._faults.full:
                break
            self._node(part, f"{self._prefix}graph[{index}]")

    def _node(self, part: Located, where: str) -> None:
        """Read one item, and call what it says."""
        bare, edges = apart(part)
        again, name = kind_of(part) == CALL, name_in(part)
        item = self._again(bare, where) if again else self._new(bare, part, where)
        label = item.label if item is not None else "" if again else short(kind_of(part))
        label = " ".join(word for word in (where, again and CALL, label) if word)
        self._check_free(name, part, label)
        read = self._read(edges.get(FROM), part, label)
        arguments = self._arguments(edges.get(WITH), item, label, part)
        made = Made(None, label, part.line)
        if item is not None and read is not None and arguments is not None:
            made.tensors = self._called(item, read, arguments, name if again else None, made, part)
        self._made.append(made)
        self._last = made
        if name is not None:
            self._names.values.setdefault(name, made)

    def _new(self, bare: Located, part: Located, where: str) -> "Item | None":
        """A layer or model that is called for the first time."""
        item = self._reader.layer(bare, where)
        self._names.enter(name_in(bare), item)
        if item is not None:
            self._reader.places[id(item)] = (where, part)
        return item

    def _again(self, bare: Located, where: str) -> "Item | None":
        """A layer or model that is called once more."""
        said = bare.value[CALL] if isinstance(bare.value, dict) else Located(None, bare.line)
        if not isinstance(said.value, dict):
            said = Located({"layer": said}, said.line)
        label, layers = f"{where} {CALL}", self._names.layers
        self._reader.check_keys(said, ("layer", "name"), label)
        self._reader.name(said, label)
        given = said.value.get("layer", Located(None, said.line))
        if not isinstance(given.value, str) or given.value not in layers:
            self._unknown(given, "layer", label, "the name of a layer above", layers)
            return None
        return layers[given.value]

    def _check_free(self, name: str | None, part: Located, label: str) -> None:
        """Note a name that is taken, or could mean one of several tensors as well."""
        if name is None:
            return
        if name in self._names.values:
            message = "the name is taken; all layers of a model need unique names"
        elif self._names.is_one_of_several(name):
            message = "it means one of the tensors of a layer above already; choose another name"
        else:
            return
        self._astray = True
        self._fault(message, "name", self._reader.argument_line(part, "name"), label)

    def _arguments(
        self, given: Located | None, item: "Item | None", label: str, part: Located
    ) -> dict[str, Any] | None:
        """What an item is called with besides tensors; None if there are faults."""
        if given is None:
            return {}
        if not isinstance(given.value, dict):
            message = f"expected arguments of a call by name, received {short(given.plain)}"
            self._fault(message, WITH, given.line, label)
            return None
        try:
            return None if item is None else checked_arguments(item, given.plain)
        except SpecError as error:
            self._reader.misfit_of(error, item, label, part)
            return None

    def _called(
        self,
        item: "Item",
        read: Read,
        arguments: dict[str, Any],
        name: str | None,
        made: Made,
        part: Located,
    ) -> tuple[Tensor, ...] | None:
        """The tensors that a call gives; None if it does not go together."""
        places, by_port = read
        ports: tuple[str, ...] = getattr(item, "ports", ())
        unknown = [port for port in by_port if port not in ports]
        if unknown:
            known = f"there are: {', '.join(ports)}" if ports else "give a name, or a list of names"
            message = f"there is no such input; {known}"
            self._fault(message, unknown[0], self._reader.argument_line(part, FROM), made.label)
            return None
        try:
            given = call(item, places, {**arguments, **by_port}, name)
        except SpecError as error:
            self._reader.misfit_of(error, item, made.label, part)
            return None
        return tuple(given) if isinstance(given, list) else (given,)

    # What is read

    def _read(self, given: Located | None, part: Located, label: str) -> Read | None:
        """What an item reads; None if there are faults."""
        if given is None:
            tensors = self._before(part, label)
            return None if tensors is None else (tensors, {})
        if not isinstance(given.value, dict):
            tensors = self._found_all(given, FROM, label)
            return None if tensors is None else (tensors, {})
        if not given.value:
            self._unknown(given, FROM, label, ABOVE, ())
        named = {port: self._found(one, FROM, label) for port, one in given.value.items()}
        if not named or None in named.values():
            return None
        return (), {port: tensors[0] for port, tensors in named.items() if tensors}

    def _before(self, part: Located, label: str) -> tuple[Tensor, ...] | None:
        """What the item before gives, which is read where nothing is said."""
        if self._last is not None:
            return self._taken(self._last)
        if not self._astray:
            names = ", ".join(f"'{name}'" for name in self._names.values)
            message = f"expected the name of what it reads, one of {names}; it is missing"
            self._fault(message, FROM, part.line, label)
        return None

    @staticmethod
    def _taken(made: Made) -> tuple[Tensor, ...] | None:
        made.read = True
        return made.tensors

    def _found_all(
        self, given: Located, argument: str, label: str | None
    ) -> tuple[Tensor, ...] | None:
        """The tensors that a name, or a list of names, means; None if there are faults."""
        named = given.value if isinstance(given.value, list) else [given]
        if not named:
            self._unknown(given, argument, label, ABOVE, ())
        found = [self._found(one, argument, label) for one in named]
        if not found or None in found:
            return None
        return tuple(tensor for tensors in found for tensor in tensors or ())

    def _found(self, given: Located, argument: str, label: str | None) -> tuple[Tensor, ...] | None:
        made = self._names.find(given.value) if isinstance(given.value, str) else None
        if made is None:
            self._unknown(given, argument, label, ABOVE, self._names.values)
            return None
        return made.tensors

    def _unknown(
        self, given: Located, argument: str, label: str | None, what: str, known: Iterable[str]
    ) -> None:
        """Note a name that means nothing."""
        self._astray = True
        hint = self._names.hint(given.value, known) if isinstance(given.value, str) else ""
        message = f"expected {what}, received {short(given.plain)}{hint}"
        self._fault(message, argument, given.line, label)
