"""Layers around other layers: both ways along time, and one layer for each step."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from dataclasses import replace
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.ir.types import TensorType, axis_names
from seqgen.layers.applications import LayerScale, StochasticDepth
from seqgen.layers.arguments import (
    Kind,
    arg,
    choice,
    null,
    optional,
)
from seqgen.layers.base import LAYER, Layer, Weight, numbered
from seqgen.layers.block import WRAPPED, _Block
from seqgen.layers.recurrent import _Recurrent
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


def _ways(layer: "Bidirectional") -> list[dict[str, Any]]:
    """All that is said of the two directions, their names included."""
    ways = layer.forward, layer.backward
    return [{**_described(way), "name": way.name} for way in ways]


def _described(layer: Layer) -> dict[str, Any]:
    """The arguments of a layer as values that can be compared, layers within included."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(plain, value))
        if isinstance(value, Layer):
            return type(value), value.name, _described(value)
        return value

    return {name: plain(value) for name, value in layer.arguments().items()}


class Bidirectional(Layer):
    """A recurrent layer that goes along the time axis both ways, and the two results merged."""

    supports_masking = True
    uses_mask = True

    layer: Layer = arg(RECURRENT)
    merge_mode: str = arg(MERGE_MODE, "concat")
    weights: None = arg(INITIAL_WEIGHTS, None)
    backward_layer: Layer | None = arg(optional(RECURRENT), None)

    @classmethod
    def without_implied(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Leave out the second layer where it is what Keras makes of the first."""
        layer, back = arguments.get("layer"), arguments.get("backward_layer")
        if not (layer and back and isinstance(layer, dict) and isinstance(back, dict)):
            return arguments
        ((kind, given),) = layer.items()
        name = str(given.get("name", "")).removeprefix("forward_")
        alone = {k: v for k, v in given.items() if k != "zero_output_for_mask"}
        short = {**arguments, "layer": {kind: {**alone, "name": name}}}
        del short["backward_layer"]
        try:
            same = _ways(cls.from_arguments(arguments)) == _ways(cls.from_arguments(short))
        except SpecError:
            return arguments
        return short if same else arguments

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
        if isinstance(self.layer, LayerScale | StochasticDepth):
            kind = type(self.layer).__name__
            message = (
                f"Keras asks {kind} for a shape that it does not know; put it into a Sequential"
            )
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
