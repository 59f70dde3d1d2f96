"""Symbolic tensors: what layers are called on to make a model of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seqgen.errors import Fault, SpecError
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import BOOLEAN, optional, short
from seqgen.spec.operators import Operators

if TYPE_CHECKING:
    from seqgen.spec.container import Item
    from seqgen.spec.entry import Input

TRAINING = optional(BOOLEAN)


class Tensor(Operators):
    """A tensor of a model: what is known of it before there is data.

    Attributes:
        call: What makes it; None for an input.
        index: Which of the tensors that the call makes it is.
        entry: The input, if it is one.
        type: Its type.
    """

    def __init__(
        self,
        type: TensorType,
        call: "Call | None" = None,
        index: int = 0,
        entry: "Input | None" = None,
    ) -> None:
        self.type = type
        self.call = call
        self.index = index
        self.entry = entry

    @property
    def name(self) -> str:
        """Name of the input, or of the layer that makes it."""
        return str(self.entry.name if self.call is None and self.entry else self.maker.name)

    @property
    def maker(self) -> Any:
        """The input, layer or model that makes it."""
        return self.entry if self.call is None else self.call.item

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape with the batch first; None for a size left open."""
        return self.type.keras_shape

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return self.type.dtype

    def __repr__(self) -> str:
        return f"<Tensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


class Call:
    """A call of a layer or model on symbolic tensors.

    Attributes:
        item: The layer or model.
        inputs: The tensors that it takes, in order.
        arguments: What else it is called with, such as `training`.
        outputs: The tensors that it makes.
        name: Of the result in a spec, if it was given.
    """

    def __init__(
        self,
        item: "Item",
        inputs: tuple[Tensor, ...],
        arguments: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.item = item
        self.inputs = inputs
        self.arguments = dict(arguments or {})
        self.name = name
        self.outputs: tuple[Tensor, ...] = ()

    def give(self, types: tuple[TensorType, ...]) -> None:
        """Make the tensors, of these types."""
        self.outputs = tuple(Tensor(kind, self, index) for index, kind in enumerate(types))


def as_tensors(value: Any) -> list[Tensor] | None:
    """The symbolic tensors of an argument, be it one or several; None if it is something else."""
    from seqgen.spec.entry import Input

    if isinstance(value, Input):
        return [value.tensor]
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)) and value:
        found = [as_tensors(item) for item in value]
        if all(item is not None for item in found):
            return [tensor for item in found for tensor in item or ()]
    return None


def is_symbolic(values: tuple[Any, ...]) -> bool:
    """Whether a call is one of symbolic tensors."""
    return any(as_tensors(value) is not None for value in values)


def checked_arguments(item: "Item", given: Mapping[str, Any]) -> dict[str, Any]:
    """What an item is called with besides tensors, without what says nothing.

    Raises:
        SpecError: It takes no such argument, or not this value.
    """
    known = {"training": TRAINING, **getattr(item, "call_arguments", {})}
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            listed = ", ".join(known)
            message = f"a call of it takes no such argument; there are: {listed}"
            raise SpecError(Fault(message, name, item.label))
        try:
            parsed = known[name].parse(value, 0)
        except (TypeError, ValueError):
            message = f"expected {known[name].expected}, received {short(value)}"
            raise SpecError(Fault(message, name, item.label)) from None
        if parsed not in (None, False) or (name == "training" and parsed is False):
            kept[name] = parsed
    return kept


def call(
    item: "Item", values: tuple[Any, ...], given: Mapping[str, Any], name: str | None = None
) -> Any:
    """Call a layer or model on symbolic tensors: the tensor that it makes, or a list of several.

    Args:
        item: The layer or model.
        values: The tensors by place, or lists of them.
        given: Tensors by the names of their ports, and other arguments of the call.
        name: Of the result in a spec.

    Raises:
        SpecError: It does not fit them.
    """
    from seqgen.spec.steps import Pending, place, step

    tensors = dict(enumerate(values))
    ports: tuple[str, ...] = getattr(item, "ports", ())
    arguments = dict(given)
    for number, port in enumerate(ports):
        if port in arguments and as_tensors(arguments[port]) is not None:
            tensors[number] = arguments.pop(port)
    for port, other in getattr(item, "stand_ins", {}).items():
        number, last = ports.index(port), max(tensors, default=0)
        if number not in tensors and number < last and ports.index(other) in tensors:
            tensors[number] = tensors[ports.index(other)]
    read: list[Tensor] = []
    for number in sorted(tensors):
        found = as_tensors(tensors[number])
        if found is None:
            message = f"expected symbolic tensors, received {short(tensors[number])}"
            raise SpecError(Fault(message, None, item.label))
        read += found
    made = Call(item, tuple(read), checked_arguments(item, arguments), name)
    pending: list[Pending] = []
    path = item.name or item.auto_name
    made.give(step(item, tuple(tensor.type for tensor in read), path, pending))
    place(pending, "float32")
    item.calls.append(made)
    return made.outputs[0] if len(made.outputs) == 1 else list(made.outputs)


def port(item: "Item", which: str) -> Any:
    """The tensors that an item takes (`input`) or makes (`output`) where it was called.

    Raises:
        SpecError: It was called nowhere, or several times.
    """
    made = item.calls
    if not made and item.home is not None:
        made = [found for found in item.home.own_calls() if found.item is item]
    if len(made) != 1:
        said = "was called nowhere; add it to a model, or call it on a tensor"
        if made:
            said = f"was called {len(made)} times, each with an {which} of its own"
        raise SpecError(Fault(f"it has no {which}: it {said}", None, item.label))
    tensors = made[0].inputs if which == "input" else made[0].outputs
    return tensors[0] if len(tensors) == 1 else list(tensors)
