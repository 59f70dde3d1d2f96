"""A model as a graph of layers: several inputs, branches, shared layers and several outputs."""

# ruff: noqa: D102 (what the methods do is said where Container declares them)

from collections import Counter
from collections.abc import Sequence
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import short
from seqgen.spec.container import Item, Reading, Types
from seqgen.spec.entry import INPUT_NAME, Input
from seqgen.spec.flatten import common_dtype, entry_types
from seqgen.spec.names import auto_name, check_name, name_all
from seqgen.spec.sequential import dtype_argument
from seqgen.spec.steps import Misfit, Pending, place, step
from seqgen.spec.tensors import Call, Tensor, as_tensors
from seqgen.spec.whole import Whole


class Walk:
    """The way from the outputs of a model back to its inputs, as Keras walks it.

    The order of layers hangs on it, and on that the order of weights and the places of variables
    in files (`map_graph` in keras/src/ops/function.py).

    Args:
        inputs: Where the way ends.
        outputs: Where it begins.

    Attributes:
        calls: What is on the way, in the order in which Keras runs it: the farthest first.
        items: The inputs, layers and models on the way, the farthest first.
    """

    def __init__(self, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        self._ends = {id(tensor) for tensor in inputs}
        # The inputs, layers and models in the order in which they are met, by identity.
        self._met: dict[int, Any] = {}
        self._nodes: list[Any] = []
        for output in outputs:
            self._visit(output)
        self._measure()
        unused = [tensor.maker for tensor in inputs if id(tensor.maker) not in self._met]
        depths, order = self._item_depths, {key: place for place, key in enumerate(self._met)}
        for item in unused:
            self._met[id(item)] = item
            depths[id(item)], order[id(item)] = 0, -1
        ranked = sorted(self._met, key=lambda key: (-depths[key], order[key]))
        self.items = [self._met[key] for key in ranked]
        # Those of one depth in the order in which their depth was found: as Keras runs them.
        calls = {id(node): node for node in self._nodes if isinstance(node, Call)}
        found = [calls[key] for key in self._depths if key in calls]
        self.calls: list[Call] = sorted(found, key=lambda node: -self._depths[id(node)])

    def _visit(self, output: Tensor) -> None:
        """Walk from one output, depth first, without recursion: models are deep."""
        known = {id(node) for node in self._nodes}
        stack: list[tuple[Tensor, bool]] = [(output, False)]
        while stack:
            tensor, done = stack.pop()
            node: Any = tensor.entry if tensor.call is None else tensor.call
            if id(node) in known or (tensor.call is not None and id(tensor) in self._ends):
                continue
            if done or tensor.call is None:
                self._met.setdefault(id(tensor.maker), tensor.maker)
                known.add(id(node))
                self._nodes.append(node)
                continue
            self._met.setdefault(id(tensor.maker), tensor.maker)
            stack.append((tensor, True))
            stack += [(read, False) for read in reversed(tensor.call.inputs)]

    def _measure(self) -> None:
        """How many calls stand behind each, at most, and behind each layer."""
        self._depths: dict[int, int] = {}
        self._item_depths: dict[int, int] = {}
        for node in reversed(self._nodes):
            item = node.item if isinstance(node, Call) else node
            depth = max(self._depths.setdefault(id(node), 0), self._item_depths.get(id(item), 0))
            self._item_depths[id(item)] = self._depths[id(node)] = depth
            for tensor in node.inputs if isinstance(node, Call) else ():
                before: Any = tensor.entry if tensor.call is None else tensor.call
                self._depths[id(before)] = max(depth + 1, self._depths.get(id(before), 0))


def _tensors(value: Any, argument: str) -> list[Tensor]:
    found = as_tensors(value)
    if found is None:
        message = f"expected symbolic tensors, one or a list of several, received {short(value)}"
        raise SpecError(Fault(message, argument, "Model"))
    return found


class Model(Whole):
    """A graph of layers, made of the symbolic tensors between which it lies.

    Args:
        inputs: The `Input`, or a list of several; tensors of another model may stand for inputs.
        outputs: The tensor that is the result, or a list of several.
        name: Name of the model.
        trainable: False if training changes no variable of the model.
        dtype: Of weights and computations; float32 by itself.

    Raises:
        SpecError: The outputs do not follow from the inputs, or two layers have the same name.
    """

    auto_name = "functional"

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        trainable: bool = True,
        *,
        dtype: str | None = None,
    ) -> None:
        super().__init__(trainable, name, dtype_argument(dtype, "Model"))
        check_name(self.name, "Model")
        taken, given = _tensors(inputs, "inputs"), _tensors(outputs, "outputs")
        if len({id(tensor) for tensor in taken}) < len(taken):
            raise SpecError(Fault("one tensor is given twice", "inputs", "Model"))
        walk = Walk(taken, given)
        self._entries = [tensor.entry or _stand_in(tensor) for tensor in taken]
        self._readings, self._results = _numbered(walk.calls, taken, given)
        layers = [item for item in walk.items if not isinstance(item, Input)]
        if not layers:
            message = "expected at least one layer between inputs and outputs"
            raise SpecError(Fault(message, "outputs", "Model"))
        self._order: list[Any] = [
            item for item in walk.items if not isinstance(item, Input) or item in self._entries
        ]
        self._order[:0] = [entry for entry in self._entries if entry not in self._order]
        self._name_entries(layers)
        name_all(layers, self)
        if self._auto:
            self.name = auto_name(self.auto_name, self.counts, ())
        self.take_in(layers)
        # A model that is made of its own inputs consists of the very calls that made its outputs.
        self._calls = walk.calls if all(tensor.entry for tensor in taken) else []
        self._types: list[Types] = []
        self._grow()

    @property
    def layers(self) -> list[Any]:
        """The inputs and the layers, in Keras's order."""
        return [item for item in self._order if not getattr(item, "is_operation", False)]

    @property
    def operations(self) -> list[Any]:
        """The inputs, layers and operations, in Keras's order."""
        return list(self._order)

    def __repr__(self) -> str:
        return f"<Model name={self.name}, layers={len(self._order)}>"

    def _name_entries(self, layers: list[Item]) -> None:
        """Give inputs without a name of their own the names that Keras would."""
        taken = {layer.name for layer in layers if layer.name}
        taken |= {entry.name for entry in self._entries if not entry._auto}
        counts: Counter[str] = Counter()
        names = [entry.name for entry in self._entries]
        for entry in self._entries:
            if entry._auto and (names.count(entry.name) > 1 or entry.name in taken):
                entry.name = auto_name(INPUT_NAME, counts, taken)
            elif entry._auto:
                counts[INPUT_NAME] += 1
            taken.add(entry.name)
        names = [entry.name for entry in self._entries]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise SpecError(Fault(f"two inputs have the name '{twice[0]}'", "inputs", "Model"))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shapes of the outputs for shapes of the inputs, with the batch; lists where several."""
        several = len(self._entries) > 1
        shapes = list(input_shape) if several else [input_shape]
        if len(shapes) != len(self._entries):
            message = f"expected {len(self._entries)} shapes, received {len(shapes)}"
            raise SpecError(Fault(message, "input_shape", self.label))
        entries = {
            entry.name: {"shape": sizes, "batch_size": batch_size, "dtype": entry.dtype}
            for entry, (batch_size, *sizes) in zip(self._entries, shapes, strict=True)
        }
        spec = self.to_dict()
        if several:
            return Model.from_dict({**spec, "inputs": entries}).output_shape
        ((name, entry),) = entries.items()
        return Model.from_dict({**spec, "input": {**entry, "name": name}}).output_shape

    @property
    def built(self) -> bool:
        """Always: a graph knows its shapes."""
        return True

    @property
    def entries(self) -> list[Input]:
        return list(self._entries)

    @property
    def entry_names(self) -> set[str]:
        return {entry.name for entry in self._entries}

    @property
    def sole_input(self) -> TensorType | None:
        return self._types[0][0] if len(self._entries) == 1 else None

    @property
    def steps(self) -> list[Reading]:
        return list(self._readings)

    @property
    def results(self) -> tuple[tuple[int, int], ...]:
        return self._results

    def _grow(self) -> None:
        """Find the types of all tensors."""
        pending: list[Pending] = []
        dtype = self.dtype or common_dtype(self) or "float32"
        self._types = self._run(tuple(entry_types(self, dtype)), "", pending)
        place(pending, self.dtype or "float32")

    def _run(self, xs: Types, prefix: str, pending: list[Pending]) -> list[Types]:
        types: list[Types] = [xs]
        for index, reading in enumerate(self._readings):
            read = tuple(types[number][output] for number, output in reading.reads)
            try:
                types.append(step(reading.item, read, f"{prefix}{reading.item.name}", pending))
            except SpecError as error:
                raise Misfit(error, index) from None
        return types

    @property
    def result_types(self) -> Types:
        self.refresh()
        return tuple(self._types[number][output] for number, output in self._results)

    def enter(self, xs: Types, path: str, pending: list[Pending]) -> Types:
        self.check_entered(xs, len(self._entries))
        self.refresh()
        for x, known, entry in zip(xs, self._types[0], self._entries, strict=True):
            self.check_fits(x, known, entry)
        types = self._run(xs, f"{path}/", pending)
        return tuple(types[number][output] for number, output in self._results)

    def refresh(self) -> None:
        if self._stale:
            self._stale = False
            known = self._types
            self._grow()
            # The calls that made the outputs were made for other types.
            self._calls = self._calls if self._types == known else []

    def require_built(self, what: str) -> None:
        self.refresh()

    def own_calls(self) -> list[Call]:
        if not self._calls:
            made: list[tuple[Tensor, ...]] = [tuple(entry.tensor for entry in self._entries)]
            for reading, types in zip(self._readings, self._types[1:], strict=True):
                read = tuple(made[number][output] for number, output in reading.reads)
                call = Call(reading.item, read, dict(reading.arguments), reading.name)
                call.give(types)
                made.append(call.outputs)
                self._calls.append(call)
        return list(self._calls)


def _stand_in(tensor: Tensor) -> Input:
    """An input in the place of a tensor of another model."""
    return Input(batch_shape=tensor.shape, dtype=tensor.dtype)


def _numbered(
    calls: Sequence[Call], inputs: list[Tensor], outputs: list[Tensor]
) -> tuple[list[Reading], tuple[tuple[int, int], ...]]:
    """Calls as what each reads by number, and the outputs alike.

    Raises:
        SpecError: A tensor does not follow from the inputs.
    """
    places = {id(tensor): (0, index) for index, tensor in enumerate(inputs)}

    def read(tensor: Tensor, label: str) -> tuple[int, int]:
        if id(tensor) not in places:
            message = f"the input '{tensor.name}' that {label} needs is none of the model's inputs"
            raise SpecError(Fault(message, "inputs", "Model"))
        return places[id(tensor)]

    readings = []
    for number, call in enumerate(calls, 1):
        taken = tuple(read(tensor, call.item.label) for tensor in call.inputs)
        arguments = tuple(sorted(call.arguments.items()))
        readings.append(Reading(call.item, taken, arguments, call.name))
        places |= {id(tensor): (number, index) for index, tensor in enumerate(call.outputs)}
    return readings, tuple(read(tensor, "the output") for tensor in outputs)
