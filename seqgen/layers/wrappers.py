"""Layers around other layers: both ways along time, and one layer for each step."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

from seqgen.errors import Fault, SpecError
from seqgen.ir.types import TensorType, axis_names
from seqgen.layers.arguments import (
    Kind,
    arg,
    choice,
    null,
    open_sizes,
    optional,
)
from seqgen.layers.base import LAYER, LAYER_SCHEMA, Layer, Weight, numbered, placed_by_class
from seqgen.layers.objects import NAME
from seqgen.layers.recurrent import _Recurrent
from seqgen.layers.state import HasVariables
from seqgen.layers.within import keeps_states, within

INITIAL_WEIGHTS = null("give values of weights in the weights file instead")
MERGES = choice("concat", "sum", "mul", "ave")
TWO_OUTPUTS = "a Sequential passes on one tensor, and without a merge there would be two"


def _merge(value: Any, rank: int) -> str:
    if value is None:
        raise ValueError(f"; {TWO_OUTPUTS}")
    return str(MERGES.parse(value, rank))


def _recurrent(value: Any, rank: int) -> Layer:
    layer = LAYER.parse(value, rank)
    if not isinstance(layer, _Recurrent):
        raise ValueError(f"; {type(layer).__name__} does not go along a time axis")
    return layer


MERGE_MODE = Kind(MERGES.expected, _merge, MERGES.schema)
RECURRENT = Kind("a recurrent layer", _recurrent, LAYER.schema, of_layers=True)


def _remade(layer: Layer) -> Layer:
    """A layer as Keras makes it again of its config, which does not have all arguments."""
    layer = layer.with_parts(_remade)
    return replace(layer, implementation=2) if "implementation" in layer.kinds else layer


def _zeroed(layer: Layer) -> Layer:
    """A layer that gives zeros where steps are masked, so that both ways fit together."""
    return replace(layer, zero_output_for_mask=layer.return_sequences)


class Bidirectional(Layer):
    """A recurrent layer that goes along the time axis both ways, and the two results merged."""

    supports_masking = True
    uses_mask = True

    layer: Layer = arg(RECURRENT)
    merge_mode: str = arg(MERGE_MODE, "concat")
    weights: None = arg(INITIAL_WEIGHTS, None)
    backward_layer: Layer | None = arg(optional(RECURRENT), None)

    @property
    def layout(self) -> str:
        """That of the layer inside."""
        return self.layer.layout

    def channel_axis(self, rank: int) -> int:
        return self.layer.channel_axis(rank)

    @property
    def return_sequences(self) -> bool:
        """Whether there is an output for each step."""
        return bool(self.layer.return_sequences)

    @property
    def passes_mask(self) -> bool:
        return self.return_sequences

    @property
    def forward(self) -> Layer:
        """The layer that goes forward, as Keras makes it."""
        name = (self.layer.name or self.layer.auto_name).removeprefix("forward_")
        return _zeroed(replace(_remade(self.layer), name=f"forward_{name}"))

    @property
    def backward(self) -> Layer:
        """The layer that goes backward: the one that is given, or one like the other."""
        given = self.backward_layer
        if given is not None:
            return _zeroed(replace(given, name=given.name or given.auto_name))
        name = (self.layer.name or self.layer.auto_name).removeprefix("backward_")
        return _zeroed(replace(_remade(self.layer), name=f"backward_{name}", go_backwards=True))

    def check(self) -> tuple[Fault, ...]:
        ahead, back = self.forward, self.backward
        argument = "backward_layer" if self.backward_layer else "layer"
        if ahead.go_backwards == back.go_backwards:
            message = "expected one layer that goes backwards; both have go_backwards="
            return (Fault(f"{message}{ahead.go_backwards}", argument),)
        if ahead.name == back.name:
            return (Fault(f"the name '{back.name}' is that of the other layer", argument),)
        return tuple(
            Fault(
                f"expected the same '{name}' in both layers, received {getattr(ahead, name)} and "
                f"{getattr(back, name)}",
                argument,
            )
            for name in ("stateful", "return_sequences")
            if getattr(ahead, name) != getattr(back, name)
        )

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        self.forward.check_mask(x, mask)
        self.backward.check_mask(x, mask)

    def output_type(self, x: TensorType) -> TensorType:
        ahead, back = self.forward.output_type(x), self.backward.output_type(x)
        if ahead.shape != back.shape:
            # Keras takes what it concatenates to be twice as wide as the forward result, so that
            # layers behind are built for another width than they are given.
            shapes = f"{ahead.keras_shape} and {back.keras_shape}"
            message = f"expected two results of the same shape, received {shapes}"
            raise self.fault(f"{message}; give both layers as many units", "backward_layer")
        if self.merge_mode != "concat":
            return ahead
        return replace(ahead, shape=(*ahead.shape[:-1], ahead.shape[-1] + back.shape[-1]))

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        return (
            *self.forward.weights_within(x, "forward_layer"),
            *self.backward.weights_within(x, "backward_layer"),
        )


def _block(value: Any, rank: int) -> "_Block":
    """A Sequential inside a layer, of `{Sequential: arguments}` or of a model."""
    if isinstance(value, HasVariables):
        return _Block.of_model(value)
    if not isinstance(value, Mapping):
        value = {"layers": value}
    try:
        return _Block.from_arguments(dict(value))
    except SpecError as error:
        raise ValueError(f"; {'; '.join(map(str, error.faults))}") from None


def _wrapped(value: Any, rank: int) -> Layer:
    if isinstance(value, HasVariables) and not isinstance(value, Layer):
        return _block(value, rank)
    if isinstance(value, Mapping) and set(value) == {"Sequential"}:
        return _block(value["Sequential"], rank)
    return LAYER.parse(value, rank)


def _layers(value: Any, rank: int) -> tuple[Layer, ...]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise TypeError
    layers = tuple(WRAPPED.parse(item, rank) for item in value)
    names = Counter(layer.name for layer in layers if layer.name)
    if not layers:
        raise ValueError
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError("; layers are not shared")
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError(f"; the name '{twice[0]}' is taken")
    return layers


def _input(value: Any, rank: int) -> tuple[int | None, ...]:
    if isinstance(value, Mapping) and set(value) == {"shape"}:
        value = value["shape"]
    return SIZES.parse(value, rank)


SIZES = open_sizes(1, "a shape of positive integers, null for a size left open")
WRAPPED = Kind("a layer or a Sequential", _wrapped, LAYER.schema, of_layers=True)
LAYERS_WITHIN = Kind(
    "a list of at least one layer",
    _layers,
    lambda rank: {"type": "array", "items": LAYER_SCHEMA, "minItems": 1},
    of_layers=True,
)
INPUT = Kind(SIZES.expected, _input, SIZES.schema)


class _Block(Layer):
    """A Sequential inside another layer."""

    keras_path = "keras:Sequential"
    layout = "spec"
    # What is made with trainable=False is frozen, in Keras, only if it is the outermost model.
    trainable: ClassVar[bool] = True
    dtype: ClassVar[None] = None
    activity_regularizer: ClassVar[None] = None
    input_shape: ClassVar[None] = None

    layers: tuple[Layer, ...] = arg(LAYERS_WITHIN)
    name: str | None = arg(optional(NAME), None, kw_only=True)
    input: tuple[int | None, ...] | None = arg(optional(INPUT), None, kw_only=True)

    @classmethod
    def of_model(cls, model: Any) -> Self:
        """The model as it is now; names that were not given are left open."""
        if model.built and any(variable.given for variable in model.variables):
            raise ValueError(f"; {model.label} has weights; give them to the model around it")
        if model.dtype is not None:
            raise ValueError("; give its dtype to the model around it")
        entry = model.declared
        if entry is not None and entry.dtype is not None:
            raise ValueError("; leave the dtype of its Input to the model around it")
        layers = []
        for item in model.layers:
            copy = item.snapshot() if isinstance(item, Layer) else cls.of_model(item)
            copy.name, copy._made = None if item._auto else item.name, item._made
            layers.append(copy)
        name = None if model._auto else model.name
        return cls(tuple(layers), name=name, input=entry.shape if entry else None)

    def with_names(self, counts: Counter[str]) -> Self:
        layers = numbered(self.layers, counts)
        if all(new is old for new, old in zip(layers, self.layers, strict=True)):
            return self
        made = replace(self, layers=layers)
        made._auto, made._local, made._made = self._auto, self._local, self._made
        return made

    def snapshot(self) -> Self:
        made = super().snapshot()
        # It is checked by then, and changes nothing else.
        made.input = None
        return made

    def flow(
        self, x: TensorType, mask: TensorType | None = None
    ) -> Iterator[tuple[Layer, TensorType, TensorType | None, TensorType]]:
        """Each layer with the types of its input, of the mask of that, and of its output.

        Raises:
            SpecError: A layer does not fit its input, or the mask of that.
        """
        self._check_input(x)
        for layer in self.layers:
            if mask is not None:
                layer.check_mask(x, mask)
            y = layer.output_type(x)
            sizes = (
                f"{layer.name}.{axis}" if size is None else size
                for size, axis in zip(y.shape, y.axes, strict=True)
            )
            y = replace(y, shape=tuple(sizes))
            yield layer, x, mask, y
            mask = layer.made_mask(x) or (mask if layer.passes_mask else None)
            x = y

    def _check_input(self, x: TensorType) -> None:
        given = self.input
        if given is None:
            return
        pairs = zip(given, x.keras_shape[1:], strict=False)
        fits = len(given) == x.rank - 1 and all(a == b or None in (a, b) for a, b in pairs)
        if not fits:
            message = f"it was made for an input {(None, *given)}, received {x.keras_shape}"
            raise self.fault(message, "input")

    @property
    def uses_mask(self) -> bool:
        """Whether a layer inside computes with the mask of the input."""
        return any(layer.uses_mask for layer in self.layers)

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        for _ in self.flow(x, mask):
            pass

    def output_type(self, x: TensorType) -> TensorType:
        *_, (_, _, _, y) = self.flow(x)
        return y

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        steps = [(layer, x) for layer, x, _, _ in self.flow(x)]
        found = [layer.weights_within(x, "layers") for layer, x in steps]
        return placed_by_class([layer for layer, _ in steps], found)


class TimeDistributed(Layer):
    """The same layer, or Sequential, for each step of a sequence."""

    supports_masking = True
    layout = "spec"
    timed = True

    layer: Layer = arg(WRAPPED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.layer, _Block):
            (self.layer,) = numbered([self.layer])

    def check(self) -> tuple[Fault, ...]:
        if keeps_states([self.layer]):
            message = "a state that stays would go from each step to the next; leave it out"
            return (Fault(message, "layer"),)
        return ()

    @property
    def inner(self) -> Layer:
        """The layer inside, with a name."""
        return numbered([self.layer])[0]

    @property
    def uses_mask(self) -> bool:
        """Whether the layer inside computes with a step of the mask."""
        return self.layer.uses_mask

    def step_type(self, x: TensorType) -> TensorType:
        """The type of one step of the input, or of a mask."""
        shape = (x.shape[0], *x.shape[2:])
        formats = (getattr(layer, "data_format", None) for layer in within(self.layer))
        data_format = next((name for name in formats if name), "channels_last")
        return TensorType(shape, axis_names(len(shape), data_format), x.dtype)

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        if mask.rank < 2 or mask.shape[:2] != x.shape[:2]:
            message = f"expected a mask that begins with batch and time of {x.keras_shape}"
            raise self.fault(f"{message}; received a mask {mask.keras_shape}")
        self.inner.check_mask(self.step_type(x), self.step_type(mask))

    def output_type(self, x: TensorType) -> TensorType:
        if x.rank < 3:
            message = "expected an input with at least 3 axes (batch, time and more), received"
            raise self.fault(f"{message} {x.rank}: {x.keras_shape}")
        y = self.inner.output_type(self.step_type(x))
        axes = (x.axes[0], x.axes[1], *y.axes[1:])
        if len(set(axes)) < len(axes):
            axes = axis_names(len(axes))
        return TensorType((y.shape[0], x.shape[1], *y.shape[1:]), axes, y.dtype)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        return self.inner.weights_within(self.step_type(x), "layer")
