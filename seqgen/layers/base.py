"""What every layer is: declared arguments, a shape rule and weights. And the registry of layers."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
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
from seqgen.layers.objects import NAME, REGULARIZER, Named, auto_name, to_snake_case
from seqgen.layers.state import CLOCK, Stateful

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
        place: Where a .keras file has it below the layer; empty if that follows from its number
            among the layer's variables.
    """

    name: str
    shape: tuple[int, ...]
    initializer: Named
    trainable: bool = True
    key: str = ""
    dtype: str | None = None
    place: str = ""

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
    registered by being defined, unless they say `registered=False`. A leading underscore in the
    name marks a base class, which is not.

    Attributes:
        rank: Number of spatial axes the layer works on, 0 if it does not care.
        layout: How the layer wants its input laid out when a target uses channels first:
            `any` (element-wise: keeps what comes), `spec` (the order of axes of the spec) or
            `channels_first` (the axis that `channel_axis` names stands behind the batch).
        leading: Number of axes that stand before the channels then: the batch, and the steps of
            a layer that has them besides its spatial axes.
        timed: Whether the axis behind the batch is time, whatever the number of axes.
        family: The module that defines the layer, which is also the name of its template files.
        kind: Its name in specs, tables and templates: that of the class, of an operation `ops.add`.
        is_operation: Whether Keras has it as a function of keras.ops, which only graphs hold.
        keras_path: Where Keras has the layer, as `module:name`; empty for `keras.layers`. Layers
            of other packages set it.
        templates: The folder with the templates of a layer of another package.
        supports_masking: Whether a mask of the input goes on to the output, as Keras has it; a
            layer that says no destroys it.
        uses_mask: Whether the layer computes with the mask of its input.
        mask_of_first: Whether the mask of the first of several inputs holds for the output.
        inputs: The fewest and the most tensors that the layer takes.
        ports: Names of the tensors that a call takes by place; empty where it takes one, or a list.
        keyword_ports: Those of them that Keras takes by name only.
        boolean_inputs: The places of the tensors that may be booleans.
        stand_ins: Which port's tensor stands for one that is left out before another.
        call_arguments: What a call of the layer takes besides tensors, `training` aside.
    """

    rank: ClassVar[int] = 0
    layout: ClassVar[str] = "any"
    leading: ClassVar[int] = 1
    timed: ClassVar[bool] = False
    family: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    is_operation: ClassVar[bool] = False
    keras_path: ClassVar[str] = ""
    templates: ClassVar[Path | None] = None
    supports_masking: ClassVar[bool] = False
    uses_mask: ClassVar[bool] = False
    mask_of_first: ClassVar[bool] = False
    inputs: ClassVar[tuple[int, int]] = (1, 1)
    ports: ClassVar[tuple[str, ...]] = ()
    keyword_ports: ClassVar[tuple[str, ...]] = ()
    boolean_inputs: ClassVar[tuple[int, ...]] = ()
    stand_ins: ClassVar[dict[str, str]] = {}
    call_arguments: ClassVar[dict[str, Kind]] = {}
    kinds: ClassVar[dict[str, Kind]] = {}

    name: str | None
    trainable: bool
    dtype: str | None
    activity_regularizer: Named | None
    input_shape: tuple[int | None, ...] | None

    def __init_subclass__(cls, registered: bool = True, **kwargs: Any) -> None:
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
        cls.kind = vars(cls).get("kind") or cls.__name__
        if public:
            cls.family = cls.__module__.rpartition(".")[2]
        if public and registered:
            LAYERS[cls.kind] = cls

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
        # The layers that its arguments describe were made on the way, and so before it.
        self._made = next(CLOCK)

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

    @classmethod
    def without_implied(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Named arguments without those that follow from the others."""
        return arguments

    def check(self) -> tuple[Fault, ...]:
        """Faults in how the arguments go together; each alone is already known to be valid."""
        return ()

    @property
    def keras_name(self) -> str:
        """The name of the class that Keras has for it."""
        return self.keras_path.partition(":")[2] or type(self).__name__

    @property
    def label(self) -> str:
        """How errors name the layer."""
        return f"{self.keras_name} '{self.name}'" if self.name else self.keras_name

    @property
    def auto_name(self) -> str:
        """The name that Keras derives from the class."""
        return to_snake_case(self.keras_name)

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

    def equals(self, other: "Layer") -> bool:
        """Whether another layer has the same arguments, whatever it is called."""

        def same(a: Any, b: Any) -> bool:
            if isinstance(a, tuple) and isinstance(b, tuple):
                return len(a) == len(b) and all(map(same, a, b))
            if isinstance(a, Layer) and isinstance(b, Layer):
                return a.equals(b)
            return bool(a == b)

        names = (name for name in self.kinds if name not in ("name", "input_shape"))
        return type(self) is type(other) and all(
            same(getattr(self, name), getattr(other, name)) for name in names
        )

    def __repr__(self) -> str:
        given = {"name": self.name, **self.arguments()}
        return f"{self.kind}({', '.join(f'{k}={v!r}' for k, v in given.items() if v)})"

    def fault(self, message: str, argument: str | None = None) -> SpecError:
        """An error of this layer, for shape rules to raise."""
        return SpecError(Fault(message, argument, self.label))

    @property
    def takes_list(self) -> bool:
        """Whether a call takes the tensors as a list."""
        return not self.ports and self.inputs != (1, 1)

    def check_count(self, count: int) -> None:
        """Raise a `SpecError` if the layer does not take this number of tensors."""
        fewest, most = self.inputs
        if not fewest <= count <= most:
            expected = "one" if most == 1 else f"{fewest} or more" if most > 9 else f"{most}"
            expected = f"{fewest} to {most}" if fewest < most <= 9 else expected
            tensors = "input tensor" if most == 1 else "input tensors"
            raise self.fault(f"expected {expected} {tensors}, received {count}")

    def output_type(self, *xs: Any) -> TensorType:
        """The type of the output for the types of the inputs.

        Most layers have one input, `x`; one that keeps its type says nothing.
        """
        kept: TensorType = xs[0]
        return kept

    def weight_types(self, *xs: Any) -> tuple[Weight, ...]:
        """The layer's variables for input types, in the order in which Keras creates them."""
        return ()

    def weights_within(self, x: TensorType, attribute: str) -> tuple[Weight, ...]:
        """The layer's variables as those of a layer around it.

        Args:
            x: Type of the input of this layer.
            attribute: Name of the attribute of the layer around it that holds this one.
        """
        name = self.name or self.auto_name
        return tuple(
            replace(
                weight,
                name=f"{name}/{weight.name}",
                trainable=weight.trainable and bool(self.trainable),
                place=f"{attribute}/{weight.place or f'vars/{index}'}",
            )
            for index, weight in enumerate(self.weight_types(x))
        )

    def with_names(self, counts: Counter[str]) -> "Layer":
        """The layer with names for all layers of a model that it is.

        Args:
            counts: How many names of each class there were before.
        """
        return self

    @property
    def parts(self) -> "tuple[Layer, ...]":
        """The layers among the arguments."""
        values = (getattr(self, name) for name in self.kinds)
        nested = (value if isinstance(value, tuple) else (value,) for value in values)
        return tuple(item for items in nested for item in items if isinstance(item, Layer))

    def with_parts(self, change: "Callable[[Layer], Layer]") -> Self:
        """The layer with every layer among its arguments changed."""

        def changed(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(changed(item) for item in value)
            return change(value) if isinstance(value, Layer) else value

        given = {name: getattr(self, name) for name in self.kinds} if self.parts else {}
        made = {name: changed(value) for name, value in given.items()}
        return replace(self, **{k: v for k, v in made.items() if v != given[k]}) if made else self

    def joined_mask(
        self, xs: tuple[TensorType, ...], masks: tuple[TensorType | None, ...]
    ) -> TensorType | None:
        """The type of the mask of the output of several inputs; None if there is no mask.

        Args:
            xs: The types of the inputs.
            masks: The types of their masks.
        """
        return None

    def made_mask(self, x: TensorType) -> TensorType | None:
        """The type of the mask that the layer makes of its input; None if it makes none."""
        return None

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        """Raise a `SpecError` if the layer uses the mask of its input, and it does not fit."""

    def check_call(
        self,
        xs: tuple[TensorType, ...],
        masks: tuple[TensorType | None, ...],
        arguments: Mapping[str, Any],
    ) -> None:
        """Raise a `SpecError` if the layer cannot be called like this.

        Args:
            xs: The types of the inputs.
            masks: The types of their masks.
            arguments: What else it is called with.
        """
        for x, mask in zip(xs, masks, strict=True):
            if mask is not None:
                self.check_mask(x, mask)

    def masked_inputs(self, count: int) -> tuple[int, ...]:
        """Of which of the inputs, `count` in number, the layer computes with the masks."""
        return (0,) if self.uses_mask else ()

    @property
    def passes_mask(self) -> bool:
        """Whether the mask of the input holds for the output."""
        return self.supports_masking

    def channel_axis(self, rank: int) -> int:
        """Which axis of an input with `rank` axes holds the channels."""
        return 1 if getattr(self, "data_format", None) == "channels_first" else rank - 1

    @property
    def any_order(self) -> bool:
        """Whether the features of a batch of vectors may come in any order, weights moved alike."""
        return self.layout == "any"

    def takes(self, perm: Permutation) -> bool:
        """Whether `relayout` knows what an input transposed by `perm` asks of the layer."""
        return True

    def relayout(self, perm: Permutation) -> "Layer":
        """The layer with its axis arguments rewritten for an input transposed by `perm`."""
        return self


def numbered(layers: Iterable[Layer], counts: Counter[str] | None = None) -> tuple[Layer, ...]:
    """The layers with a name each: those without one are numbered by class, as Keras does.

    Args:
        layers: They stay as they are; what gets a name is a copy.
        counts: How many names of each class were given before.
    """
    layers, counts = tuple(layers), Counter() if counts is None else counts
    taken = {layer.name for layer in layers if layer.name}
    made = []
    for layer in layers:
        own = layer.with_names(counts)
        if not own.name:
            own = replace(own, name=auto_name(own.auto_name, counts, taken))
            own._auto = own._local = True
        own._made = layer._made
        made.append(own)
    return tuple(made)


def placed_by_class(
    layers: Iterable[Layer], weights: Iterable[tuple[Weight, ...]]
) -> tuple[Weight, ...]:
    """The variables of each of several layers of one attribute as a .keras file has them.

    It numbers the layers by class, whatever they are called, and has `cells/gru_cell/vars/0` where
    `weights_within` says `cells/vars/0`.
    """
    counts: Counter[str] = Counter()
    found: list[Weight] = []
    for layer, own in zip(layers, weights, strict=True):
        group = auto_name(to_snake_case(layer.keras_name), counts, ())
        for weight in own:
            attribute, _, rest = weight.place.partition("/")
            found.append(replace(weight, place=f"{attribute}/{group}/{rest}"))
    return tuple(found)


def _layer(value: Any, rank: int) -> Layer:
    if isinstance(value, str):
        value = {value: {}}
    if isinstance(value, Layer):
        _check_takes_one(type(value))
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        raise TypeError
    ((name, arguments),) = value.items()
    if name not in LAYERS:
        raise ValueError(near_miss(str(name), LAYERS))
    kind = LAYERS[name]
    _check_takes_one(kind)
    if not isinstance(arguments, Mapping):
        arguments = {} if arguments is None else {next(iter(kind.kinds)): arguments}
    try:
        return kind.from_arguments(dict(arguments))
    except SpecError as error:
        raise ValueError(f"; {'; '.join(map(str, error.faults))}") from None


def _check_takes_one(kind: type[Layer]) -> None:
    if kind.is_operation:
        raise ValueError(f"; {kind.kind} is an operation, which only a graph holds")
    if kind.inputs != (1, 1):
        raise ValueError(f"; {kind.kind} takes several tensors, which only a graph gives")


LAYER_SCHEMA = {"$ref": "#/$defs/layer"}
LAYER = Kind(
    "a layer: its name, or {name: {argument: value}}",
    _layer,
    lambda rank: LAYER_SCHEMA,
    of_layers=True,
)
