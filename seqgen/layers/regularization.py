"""Layers that act in training only."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from dataclasses import replace

from seqgen.errors import Fault
from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.arguments import (
    DATA_FORMAT,
    DTYPE,
    INTEGER,
    NON_NEGATIVE_REAL,
    PROBABILITY,
    arg,
    open_sizes,
    optional,
)
from seqgen.layers.base import Layer
from seqgen.layers.objects import NAME
from seqgen.layers.spatial import _Spatial

SEED = optional(INTEGER)
NOISE_SHAPE = optional(open_sizes(1, "a sequence of sizes, null where the input's is taken"))


class _Dropout(Layer):
    supports_masking = True
    rate: float = arg(PROBABILITY)
    noise_shape: tuple[int | None, ...] | None = arg(NOISE_SHAPE, None)
    seed: int | None = arg(SEED, None)

    @property
    def any_order(self) -> bool:
        """Not with a shape of the noise, which tells features apart."""
        return self.noise_shape is None

    def output_type(self, x: TensorType) -> TensorType:
        if self.noise_shape is None:
            return x
        # The batch's size is not known here, so that any will do.
        fits = len(self.noise_shape) == x.rank and all(
            noise in (None, 1, size) or not isinstance(size, int)
            for noise, size in zip(self.noise_shape, x.shape, strict=True)
        )
        if not fits:
            message = f"expected null, 1 or the size for each axis of an input {x.keras_shape}"
            raise self.fault(f"{message}, received {self.noise_shape}", "noise_shape")
        return x

    def relayout(self, perm: Permutation) -> "_Dropout":
        if self.noise_shape is None:
            return self
        return replace(self, noise_shape=tuple(self.noise_shape[axis] for axis in perm))


class Dropout(_Dropout):
    """Sets a fraction of the values to zero and scales the others up, in training."""


class AlphaDropout(_Dropout):
    """Sets a fraction of the values to SELU's lower limit and keeps mean and variance."""


class _SpatialDropout(_Spatial):
    supports_masking = True

    def check(self) -> tuple[Fault, ...]:
        message = "there is no such argument in Keras, since the layer has nothing to train"
        names = ("trainable", "activity_regularizer")
        return tuple(
            Fault(message, name) for name in names if getattr(self, name) != self.defaults()[name]
        )

    def output_type(self, x: TensorType) -> TensorType:
        self.spatial_axes(x)
        return x


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of a sequence."""

    rank = 1
    rate: float = arg(PROBABILITY)
    seed: int | None = arg(SEED, None)
    name: str | None = arg(optional(NAME), None)
    dtype: str | None = arg(optional(DTYPE), None)


class _SpatialDropoutArguments(Layer):
    rate: float = arg(PROBABILITY)
    data_format: str = arg(DATA_FORMAT, None)
    seed: int | None = arg(SEED, None)
    name: str | None = arg(optional(NAME), None)
    dtype: str | None = arg(optional(DTYPE), None)


class SpatialDropout2D(_SpatialDropoutArguments, _SpatialDropout):
    """Dropout of whole channels of an image."""

    rank = 2


class SpatialDropout3D(_SpatialDropoutArguments, _SpatialDropout):
    """Dropout of whole channels of a volume."""

    rank = 3


class GaussianNoise(Layer):
    """Adds normal noise, in training."""

    supports_masking = True

    stddev: float = arg(PROBABILITY)
    seed: int | None = arg(SEED, None)


class GaussianDropout(Layer):
    """Multiplies by normal noise around 1, in training."""

    supports_masking = True

    rate: float = arg(PROBABILITY)
    seed: int | None = arg(SEED, None)


class ActivityRegularization(Layer):
    """Returns its input and adds a penalty on it to the loss."""

    supports_masking = True

    l1: float = arg(NON_NEGATIVE_REAL, 0.0)
    l2: float = arg(NON_NEGATIVE_REAL, 0.0)

    def check(self) -> tuple[Fault, ...]:
        if self.activity_regularizer is None:
            return ()
        return (Fault("give l1 and l2 instead, as in Keras", "activity_regularizer"),)
