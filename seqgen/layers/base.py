"""What every layer is: declared arguments, a shape rule and weights. And the registry of layers."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, dataclass_transform

from seqgen.errors import Fault, SpecError
from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.arguments import (
    BOOLEAN,
    DTYPE,
    Kind,
    arg,
    near_miss,
    open_sizes,
    optional,
    short,
)
from seqgen.layers.objects import NAME, REGULARIZER, Named, to_snake_case
from seqgen.layers.state import Stateful

LAYERS: dict[str, type["Layer"]] = {}


@dataclasses.dataclass(frozen=True)
class Weight:
    """A variable of a layer, in Keras layout.

    Attributes:
        name: Name of the Keras variable, such as `kernel`; a slash where a wrapped layer has it.
        shape: Its shape.
        initializer: How a fresh one is drawn.
        trainable: False for what training updates by other means than gradients.
        key: The name under which its values travel: the path of the layer and the variable below
            the model, joined by dots. Inference fills it in.
        dtype: None where it is the layer's; `int64` for a counter.
    """

    name: str
    shape: tuple[int, ...]
    initializer: Named
    trainable: bool = True
    key: str = ""
    dtype: str | None = None

    @property
    def size(self) -> int:
        """Number of parameters."""
        return functools.reduce(lambda product, size: product * size, self.shape, 1)


# Arguments that every layer takes, by keyword. A layer that has one of them at a place of its own
# declares it itself.
COMMON: dict[str, tuple[Kind, Any]] = {
    "activity_regularizer": (REGULARIZER, None),
    "trainable": (BOOLEAN, True),
    "dtype": (optional(DTYPE), None),
    "name": (optional(NAME), None),
    "input_shape": (
        optional(open_sizes(1, "a sequence of positive integers or nulls")),
        None,
    ),
}


def _invalid(kind: Kind, value: Any, error: Exception) -> str:
    # A kind's own words (a near miss, an argument of an argument) start with a separator.
    hint = str(error) if str(error).startswith(";") else ""
    return f"expected {kind.expected}, received {short(value)}{hint}"


@dataclass_transform(field_specifiers=(arg,), eq_default=False)
class Layer(Stateful):
    """A layer of the Keras vocabulary.

    Subclasses declare their arguments in Keras's order with `arg(kind, default)` and are
    registered by being defined. A leading underscore in the name marks a base class, which is not.

    Attributes:
        rank: Number of spatial axes the layer works on, 0 if it does not care.
        layout: How the layer wants its input laid out when a target uses channels first:
            `any` (element-wise: keeps what comes), `spec` (the order of axes of the spec) or
            `channels_first` (the axis that `channel_axis` names stands behind the batch).
        family: The module that defines the layer, which is also the name of its template files.
        keras_path: Where Keras has the layer, as `module:name`; empty for `keras.layers`. Layers
            of other packages set it.
        templates: The folder with the templates of a layer of another package.
    """

    rank: ClassVar[int] = 0
    layout: ClassVar[str] = "any"
    family: ClassVar[str] = ""
    keras_path: ClassVar[str] = ""
    templates: ClassVar[Path | None] = None
    kinds: ClassVar[dict[str, Kind]] = {}

    name: str | None
    trainable: bool
    dtype: str | None
    activity_regularizer: Named | None
    input_shape: tuple[int | None, ...] | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        public = not cls.__name__.startswith("_")
        if public:
            declared = {name for base in cls.__mro__ for name in vars(base)}
            for name, (kind, default) in COMMON.items():
                if name not in declared:
                    cls.__annotations__[name] = Any
                    setattr(cls, name, arg(kind, default, kw_only=True))
        dataclasses.dataclass(eq=False, repr=False)(cls)
        cls.kinds = {field.name: field.metadata["kind"] for field in dataclasses.fields(cls)}
        if public:
            cls.family = cls.__module__.rpartition(".")[2]
            LAYERS[cls.__name__] = cls

    def __post_init__(self) -> None:
        faults, defaults = [], self.defaults()
        for name, kind in self.kinds.items():
            value = getattr(self, name)
            try:
                # Class attributes hold the defaults as declared; most arguments are left there.
                known = name in defaults and value is getattr(type(self), name, self)
                setattr(self, name, defaults[name] if known else kind.parse(value, self.rank))
            except (TypeError, ValueError) as error:
                faults.append(Fault(_invalid(kind, value, error), name))
        if not faults:
            faults = list(self.check())
        if faults:
            raise SpecError(fault.at(layer=self.label) for fault in faults)

    @classmethod
    @functools.cache
    def defaults(cls) -> dict[str, Any]:
        """The default of each argument that has one, normalized."""
        fields = {field.name: field.default for field in dataclasses.fields(cls)}
        return {
            name: cls.kinds[name].parse(default, cls.rank)
            for name, default in fields.items()
            if default is not dataclasses.MISSING
        }

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """Make a layer from named arguments; every fault is reported at once."""
        required = [name for name in cls.kinds if name not in cls.defaults()]
        faults = [
            Fault(f"there is no such argument{near_miss(name, cls.kinds)}", name)
            for name in arguments
            if name not in cls.kinds
        ]
        faults += [
            Fault(f"expected {cls.kinds[name].expected}, but it is missing", name)
            for name in required
            if name not in arguments
        ]
        known = {name: value for name, value in arguments.items() if name in cls.kinds}
        for name, value in known.items() if faults else ():
            try:
                cls.kinds[name].parse(value, cls.rank)
            except (TypeError, ValueError) as error:
                faults.append(Fault(_invalid(cls.kinds[name], value, error), name))
        if faults:
            raise SpecError(faults)
        return cls(**known)

    def check(self) -> tuple[Fault, ...]:
        """Faults in how the arguments go together; each alone is already known to be valid."""
        return ()

    @property
    def label(self) -> str:
        """How errors name the layer."""
        kind = type(self).__name__
        return f"{kind} '{self.name}'" if self.name else kind

    @property
    def auto_name(self) -> str:
        """The name that Keras derives from the class."""
        return to_snake_case(type(self).__name__)

    def arguments(self) -> dict[str, Any]:
        """The layer's own arguments, in Keras's order, that differ from their defaults."""
        defaults = self.defaults()
        missing = object()
        return {
            name: getattr(self, name)
            for name in self.kinds
            if name not in ("name", "input_shape")
            and getattr(self, name) != defaults.get(name, missing)
        }

    def __repr__(self) -> str:
        given = {"name": self.name, **self.arguments()}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items() if v)})"

    def fault(self, message: str, argument: str | None = None) -> SpecError:
        """An error of this layer, for shape rules to raise."""
        return SpecError(Fault(message, argument, self.label))

    def output_type(self, x: TensorType) -> TensorType:
        """The type of the output for an input type; a layer that keeps it says nothing."""
        return x

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        """The layer's variables for an input type, in the order in which Keras creates them."""
        return ()

    def channel_axis(self, rank: int) -> int:
        """Which axis of an input with `rank` axes holds the channels."""
        return 1 if getattr(self, "data_format", None) == "channels_first" else rank - 1

    @property
    def any_order(self) -> bool:
        """Whether the features of a batch of vectors may come in any order, weights moved alike."""
        return self.layout == "any"

    def relayout(self, perm: Permutation) -> "Layer":
        """The layer with its axis arguments rewritten for an input transposed by `perm`."""
        return self


def _layer(value: Any, rank: int) -> Layer:
    if isinstance(value, str):
        value = {value: {}}
    if isinstance(value, Layer):
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        raise TypeError
    ((name, arguments),) = value.items()
    if name not in LAYERS:
        raise ValueError(near_miss(str(name), LAYERS))
    kind = LAYERS[name]
    if not isinstance(arguments, Mapping):
        arguments = {} if arguments is None else {next(iter(kind.kinds)): arguments}
    try:
        return kind.from_arguments(dict(arguments))
    except SpecError as error:
        raise ValueError(f"; {'; '.join(map(str, error.faults))}") from None


LAYER = Kind(
    "a layer: its name, or {name: {argument: value}}",
    _layer,
    lambda rank: {
        "anyOf": [
            {"enum": sorted(LAYERS)},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "propertyNames": {"enum": sorted(LAYERS)},
            },
        ]
    },
)
