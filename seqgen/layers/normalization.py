"""Normalization of batches, of layers, of groups and of kernels."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seqgen.errors import Fault
from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.arguments import (
    AXES,
    BOOLEAN,
    INTEGER,
    NON_NEGATIVE_REAL,
    POSITIVE,
    REAL,
    JsonSchema,
    Kind,
    arg,
)
from seqgen.layers.axes import all_moved, known_sizes, positions
from seqgen.layers.base import LAYER, Layer, Weight
from seqgen.layers.objects import CONSTRAINT, INITIALIZER, REGULARIZER, Named

CLIPS = ("rmax", "rmin", "dmax")
RENORM = (
    "renorm=True is not supported: it corrects batches by statistics of its own while training, "
    "which the other targets have no layer for; leave it false"
)
ONES = Named("Ones")
VECTOR_U = Named("TruncatedNormal", (("stddev", 0.02),))


def _clipping(value: Any, rank: int) -> dict[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not set(value) <= set(CLIPS):
        raise ValueError
    return {key: REAL.parse(clip, 0) for key, clip in value.items()}


def _clipping_schema(rank: int) -> JsonSchema:
    clips = {name: {"type": "number"} for name in CLIPS}
    known = {"type": "object", "additionalProperties": False, "properties": clips}
    return {"anyOf": [known, {"type": "null"}]}


def _groups(value: Any, rank: int) -> int:
    return -1 if value == -1 else POSITIVE.parse(value, rank)


CLIPPING = Kind("numbers rmax, rmin and dmax, or null", _clipping, _clipping_schema)
GROUPS = Kind(
    "a positive integer, or -1 for a group of each channel",
    _groups,
    lambda rank: {"anyOf": [POSITIVE.schema(rank), {"const": -1}]},
)


class _Scaled(Layer):
    def scaled(self, shape: tuple[int, ...]) -> tuple[Weight, ...]:
        """Scale and offset of this shape, as far as the layer has them."""
        gamma = Weight("gamma", shape, self.gamma_initializer)
        beta = Weight("beta", shape, self.beta_initializer)
        return (gamma,) * self.scale + (beta,) * self.center


class _OfChannels(_Scaled):
    """A layer that gives each size of one axis weights of its own."""

    layout = "channels_first"

    def channel_axis(self, rank: int) -> int:
        return self.axis % rank

    def channels(self, x: TensorType) -> int:
        """Size of the axis, which weights need to be known."""
        return known_sizes(self, x, positions(self, x, self.axis))[0]


class BatchNormalization(_OfChannels):
    """Zero mean and unit variance over the batch in training; over what was seen, in inference."""

    supports_masking = True
    uses_mask = True

    axis: int = arg(INTEGER, -1)
    momentum: float = arg(REAL, 0.99)
    epsilon: float = arg(NON_NEGATIVE_REAL, 0.001)
    center: bool = arg(BOOLEAN, True)
    scale: bool = arg(BOOLEAN, True)
    beta_initializer: Named = arg(INITIALIZER, "zeros")
    gamma_initializer: Named = arg(INITIALIZER, "ones")
    moving_mean_initializer: Named = arg(INITIALIZER, "zeros")
    moving_variance_initializer: Named = arg(INITIALIZER, "ones")
    beta_regularizer: Named | None = arg(REGULARIZER, None)
    gamma_regularizer: Named | None = arg(REGULARIZER, None)
    beta_constraint: Named | None = arg(CONSTRAINT, None)
    gamma_constraint: Named | None = arg(CONSTRAINT, None)
    renorm: bool = arg(BOOLEAN, False)
    renorm_clipping: dict[str, float] | None = arg(CLIPPING, None)
    renorm_momentum: float = arg(REAL, 0.99)
    synchronized: bool = arg(BOOLEAN, False)

    @property
    def any_order(self) -> bool:
        """Each feature of a vector has weights of its own."""
        return True

    def check(self) -> tuple[Fault, ...]:
        return (Fault(RENORM, "renorm"),) if self.renorm else ()

    def output_type(self, x: TensorType) -> TensorType:
        self.channels(x)
        return x

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        if mask.shape != x.shape[:-1]:
            message = f"expected a mask for all axes of {x.keras_shape} but the last, received"
            raise self.fault(f"{message} {mask.keras_shape}")

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        shape = (self.channels(x),)
        moving = (
            Weight("moving_mean", shape, self.moving_mean_initializer, trainable=False),
            Weight("moving_variance", shape, self.moving_variance_initializer, trainable=False),
        )
        return self.scaled(shape) + moving


class GroupNormalization(_OfChannels):
    """Zero mean and unit variance over groups of channels of each sample."""

    supports_masking = True

    groups: int = arg(GROUPS, 32)
    axis: int = arg(INTEGER, -1)
    epsilon: float = arg(NON_NEGATIVE_REAL, 0.001)
    center: bool = arg(BOOLEAN, True)
    scale: bool = arg(BOOLEAN, True)
    beta_initializer: Named = arg(INITIALIZER, "zeros")
    gamma_initializer: Named = arg(INITIALIZER, "ones")
    beta_regularizer: Named | None = arg(REGULARIZER, None)
    gamma_regularizer: Named | None = arg(REGULARIZER, None)
    beta_constraint: Named | None = arg(CONSTRAINT, None)
    gamma_constraint: Named | None = arg(CONSTRAINT, None)

    def group_count(self, x: TensorType) -> int:
        """Number of groups; -1 is as many as there are channels."""
        channels = self.channels(x)
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            message = f"expected a divisor of the {channels} channels, received {groups}"
            raise self.fault(message, "groups")
        return groups

    def output_type(self, x: TensorType) -> TensorType:
        self.group_count(x)
        return x

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        return self.scaled((self.channels(x),))


class _OverAxes(Layer):
    """A layer that normalizes each sample over some of its axes."""

    layout = "spec"

    @property
    def any_order(self) -> bool:
        """All features of a vector are added up, and each has weights of its own."""
        return True

    def sizes(self, x: TensorType) -> tuple[int, ...]:
        """Sizes of the axes, in the order in which Keras has them in its weights."""
        places = positions(self, x, self._sorted())
        if list(places) != sorted(places):
            # Keras sorts the axes as written: its weights would have -1 before 1.
            message = f"expected all axes counted from the same end, received {self.axis}"
            raise self.fault(message, "axis")
        return known_sizes(self, x, places)

    def _sorted(self) -> tuple[int, ...]:
        return (self.axis,) if isinstance(self.axis, int) else tuple(sorted(self.axis))


class LayerNormalization(_OverAxes, _Scaled):
    """Zero mean and unit variance over some axes of each sample."""

    supports_masking = True

    axis: int | tuple[int, ...] = arg(AXES, -1)
    epsilon: float = arg(NON_NEGATIVE_REAL, 0.001)
    center: bool = arg(BOOLEAN, True)
    scale: bool = arg(BOOLEAN, True)
    beta_initializer: Named = arg(INITIALIZER, "zeros")
    gamma_initializer: Named = arg(INITIALIZER, "ones")
    beta_regularizer: Named | None = arg(REGULARIZER, None)
    gamma_regularizer: Named | None = arg(REGULARIZER, None)
    beta_constraint: Named | None = arg(CONSTRAINT, None)
    gamma_constraint: Named | None = arg(CONSTRAINT, None)
    rms_scaling: bool = arg(BOOLEAN, False, kw_only=True)

    def output_type(self, x: TensorType) -> TensorType:
        self.sizes(x)
        return x

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        if self.rms_scaling:
            return (Weight("gamma", self.sizes(x), self.gamma_initializer),)
        return self.scaled(self.sizes(x))


class RMSNormalization(_OverAxes):
    """A root mean square of 1 over the last axes of each sample, times a scale."""

    axis: int | tuple[int, ...] = arg(AXES, -1)
    epsilon: float = arg(NON_NEGATIVE_REAL, 1e-6)

    def output_type(self, x: TensorType) -> TensorType:
        sizes = self.sizes(x)
        places = positions(self, x, self._sorted())
        if places != tuple(range(x.rank - len(sizes), x.rank)):
            # Keras multiplies by the scale without giving it the other axes.
            message = f"expected the last axes of an input {x.keras_shape}, received {self.axis}"
            raise self.fault(message, "axis")
        return x

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        return (Weight("scale", self.sizes(x), ONES),)


class UnitNormalization(Layer):
    """A Euclidean norm of 1 over some axes."""

    supports_masking = True

    axis: int | tuple[int, ...] = arg(AXES, -1)

    def output_type(self, x: TensorType) -> TensorType:
        positions(self, x, self.axis)
        return x

    def relayout(self, perm: Permutation) -> "UnitNormalization":
        return replace(self, axis=all_moved(self.axis, perm))


class SpectralNormalization(Layer):
    """A layer whose kernel is divided by its largest singular value, in training."""

    layer: Layer = arg(LAYER)
    power_iterations: int = arg(POSITIVE, 1)

    @property
    def layout(self) -> str:
        """That of the layer inside."""
        return self.layer.layout

    @property
    def passes_mask(self) -> bool:
        """Keras calls the layer inside, which gives its result a mask if it has masks."""
        return self.layer.passes_mask

    def made_mask(self, x: TensorType) -> TensorType | None:
        return self.layer.made_mask(x)

    def channel_axis(self, rank: int) -> int:
        return self.layer.channel_axis(rank)

    def relayout(self, perm: Permutation) -> "SpectralNormalization":
        return replace(self, layer=self.layer.relayout(perm))

    def output_type(self, x: TensorType) -> TensorType:
        self.inner_weights(x)
        return replace(self.layer.output_type(x), dtype=x.dtype)

    def inner_weights(self, x: TensorType) -> tuple[Weight, ...]:
        """The weights of the layer inside, its kernel first."""
        weights = self.layer.weights_within(x, "layer")
        # Layers around others have no kernel of their own, but for one like this.
        own = 1 + isinstance(self.layer, SpectralNormalization)
        kernel = [
            weight
            for weight in weights
            if weight.name.count("/") <= own
            and weight.name.rpartition("/")[2] in ("kernel", "embeddings")
        ]
        if not kernel:
            message = f"expected a layer with a kernel or embeddings, received {self.layer.label}"
            raise self.fault(message, "layer")
        return (kernel[0], *(weight for weight in weights if weight is not kernel[0]))

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        # Keras has the kernel as a variable of the wrapper too, and so before vector_u.
        kernel, *rest = self.inner_weights(x)
        shape = (1, kernel.shape[-1])
        vector = Weight("vector_u", shape, VECTOR_U, trainable=False, place="vars/1")
        return (kernel, vector, *rest)
