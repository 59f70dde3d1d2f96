"""The way through a chain of PyTorch modules: the tensor at hand, and the layers made so far."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from seqgen.errors import SpecError, UnsupportedError
from seqgen.ir.types import TensorType
from seqgen.layers import LAYERS
from seqgen.layers.base import Layer
from seqgen.spec.names import name_fault

if TYPE_CHECKING:
    from seqgen.importers.torch_modules import Part

Change = Callable[[Any], Any]
Sizes = tuple[int | None, ...]
# Layers whose results are at least 0, and those that keep that.
POSITIVE = ("ReLU", "Softmax")
POSITIVE_FUNCTIONS = ("sigmoid", "hard_sigmoid", "softplus")
KEEPING = (
    "Adaptive",
    "Average",
    "Cropping",
    "Dropout",
    "Flatten",
    "Global",
    "Identity",
    "Max",
    "Permute",
    "Reshape",
    "SpatialDropout",
    "UpSampling",
    "ZeroPadding",
)


class Value(NamedTuple):
    """A variable of a layer: a tensor of the module, and what becomes of it."""

    tensor: Any
    change: Change


def unchanged(tensor: Any) -> Any:
    """The tensor as it is."""
    return tensor


class Walk:
    """The tensor between two modules, and what was made of the modules before it.

    Attributes:
        type: What the spec has there.
        last: Whether the spec has PyTorch's axis behind the batch as the last one.
        order: The sizes, channels first, of what was flattened with the channels last; None
            where features stand in the order of PyTorch.
        native: Whether a PyTorch program that is made of the spec has the channels first there.
        positive: Whether all values are known to be at least 0.
        dtype: That of the weights.
        made: The layers of the module at hand.
        values: The variables of all layers.
    """

    def __init__(self, start: TensorType, last: bool, dtype: str, kinds: list[str]) -> None:
        self.type = start
        self.last = last
        self.order: tuple[int, ...] | None = None
        self.native = last
        self.positive = False
        self.dtype = dtype
        self.made: list[Layer] = []
        self.values: list[Value] = []
        self._kinds = kinds
        self._count = 0
        self._part: Part | None = None

    def enter(self, part: "Part") -> None:
        """Go on to the next module."""
        self._part = part
        self.made = []
        self._count += 1
        message = name_fault(part.name) if part.name is not None else None
        if message:
            self.refuse(f"its name: {message}")

    @property
    def following(self) -> list[str]:
        """The classes of all modules after this one."""
        return self._kinds[self._count :]

    def refuse(self, message: str, argument: str | None = None) -> NoReturn:
        """Raise an `UnsupportedError` that names the module."""
        assert self._part is not None
        place = f"{self._part.label}: argument '{argument}'" if argument else self._part.label
        raise UnsupportedError(f"{place}: {message}")

    # The tensor, as PyTorch has it

    @property
    def sizes(self) -> Sizes:
        """The shape of PyTorch's tensor without the batch; None for an open size."""
        spec = tuple(size if isinstance(size, int) else None for size in self.type.sizes)
        return (spec[-1], *spec[:-1]) if self.last else spec

    @property
    def rank(self) -> int:
        """Number of axes, the batch included."""
        return self.type.rank

    @property
    def spatial(self) -> Sizes:
        """The sizes behind the channels."""
        return self.sizes[1:]

    def dim(self, dim: int, argument: str = "dim") -> int:
        """An axis of PyTorch's tensor counted from the batch, which it must not be."""
        if not -self.rank <= dim < self.rank:
            self.refuse(f"expected an axis of an input {self.shown}, received {dim}", argument)
        if dim % self.rank == 0:
            self.refuse(f"expected an axis behind the batch, received {dim}", argument)
        return dim % self.rank

    def axis(self, dim: int) -> int:
        """Where the spec has an axis of PyTorch's; -1 for the last one."""
        place = dim if not self.last else (self.rank - 1 if dim == 1 else dim - 1)
        return -1 if place == self.rank - 1 else place

    @property
    def shown(self) -> str:
        """PyTorch's shape as errors show it."""
        return str((None, *self.sizes))

    def require_rank(self, spatial: int) -> None:
        """Refuse an input that has not this number of axes behind the channels."""
        if self.rank != spatial + 2:
            self.refuse(f"expected an input with {spatial + 2} axes, received {self.shown}")

    def require_channels(self, count: int, argument: str) -> None:
        """Refuse an input that has another number of channels."""
        if self.sizes[:1] != (count,):
            self.refuse(f"expected an input with {count} channels, received {self.shown}", argument)

    # Layers

    def emit(self, kind: str, *weights: Value, label: str = "", **arguments: Any) -> None:
        """Make a layer.

        Args:
            kind: Its class.
            weights: Its variables in Keras's order.
            label: What a layer beside the one of the module's name is called behind it.
            arguments: Its arguments.
        """
        assert self._part is not None
        name = self._part.name
        if label and name:
            name = f"{name}_{label}" if f"{name}_{label}" not in self._part.siblings else None
        if weights and not any(p.requires_grad for p in self._part.module.parameters()):
            frozen = any(True for _ in self._part.module.parameters())
            arguments |= {"trainable": False} if frozen else {}
        try:
            layer = LAYERS[kind].from_arguments({**arguments, "name": name})
            self.type = layer.output_type(self.type)
        except SpecError as error:
            faults = (f"{fault.argument or ''} {fault.message}".strip() for fault in error.faults)
            self.refuse(f"as {kind}: {'; '.join(faults)}")
        self.made.append(layer)
        self.values += weights
        self.positive = self._stays_positive(layer)
        if layer.layout != "any" and not kind.startswith("SpatialDropout"):
            self.native = layer.layout == "channels_first"

    def _stays_positive(self, layer: Layer) -> bool:
        kind = type(layer).__name__
        if kind == "Activation":
            return getattr(layer, "activation").name in POSITIVE_FUNCTIONS  # noqa: B009
        return kind in POSITIVE or (self.positive and kind.startswith(KEEPING))

    def activation(self, name: str, **arguments: Any) -> None:
        """Make a layer of an activation function."""
        self.emit("Activation", activation={name: arguments} if arguments else name)

    def to_last(self) -> None:
        """Have the channels last."""
        if not self.last and self.rank > 2:
            self.emit("Permute", dims=(*range(2, self.rank), 1), label="channels_last")
            self.last = True

    def to_first(self) -> None:
        """Have the axes in the order of PyTorch."""
        if self.last:
            self.emit(
                "Permute", dims=(self.rank - 1, *range(1, self.rank - 1)), label="channels_first"
            )
            self.last = False

    def leave(self) -> None:
        """Go behind the last module, with an output that programs lay out as PyTorch has it."""
        self.made = []
        if not self.native:
            self.to_first()

    # Weights of features

    def features(self, tensor: Any, axis: int = 0, change: Change = unchanged) -> Value:
        """A variable with an axis of features, put in the order in which the spec has them.

        Args:
            tensor: Of the module.
            axis: The axis.
            change: What becomes of it then.
        """
        order = self.order
        if order is None:
            return Value(tensor, change)

        def reordered(values: Any) -> Any:
            apart = values.unflatten(axis, order).movedim(axis, axis + len(order) - 1)
            return change(apart.flatten(axis, axis + len(order) - 1))

        return Value(tensor, reordered)
