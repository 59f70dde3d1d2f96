"""Pooling over windows, over everything, and to a given size."""

from dataclasses import replace
from typing import Any

from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.arguments import BOOLEAN, DATA_FORMAT, SPATIAL, arg, choice, optional
from seqgen.layers.objects import NAME
from seqgen.layers.spatial import _Spatial, _Windowed

PADDING = choice("valid", "same")


class _Pooling(_Windowed):
    pool_size: tuple[int, ...] = arg(SPATIAL)
    strides: tuple[int, ...] | None = arg(optional(SPATIAL), None)
    padding: str = arg(PADDING, "valid")
    data_format: str = arg(DATA_FORMAT, None)
    name: str | None = arg(optional(NAME), None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strides is None:
            self.strides = self.pool_size

    def arguments(self) -> dict[str, Any]:
        arguments = super().arguments()
        if arguments["strides"] == self.pool_size:
            del arguments["strides"]
        return arguments

    @property
    def window(self) -> tuple[int, ...]:
        return self.pool_size

    def output_type(self, x: TensorType) -> TensorType:
        return self.resized(x, self.windowed_sizes(x))


class _MaxPooling(_Pooling):
    pool_size: tuple[int, ...] = arg(SPATIAL, 2)


class MaxPooling1D(_MaxPooling):
    """The largest value of each window over time."""

    rank = 1


class MaxPooling2D(_MaxPooling):
    """The largest value of each window over height and width."""

    rank = 2


class MaxPooling3D(_MaxPooling):
    """The largest value of each window over depth, height and width."""

    rank = 3


class AveragePooling1D(_Pooling):
    """The mean of each window over time, padding left out of the count."""

    rank = 1


class AveragePooling2D(_Pooling):
    """The mean of each window over height and width, padding left out of the count."""

    rank = 2


class AveragePooling3D(_Pooling):
    """The mean of each window over depth, height and width, padding left out of the count."""

    rank = 3


class _GlobalPooling(_Spatial):
    # It reduces axes wherever they are, but a model that starts with it takes channels first.
    layout = "any"
    entry = "channels_first"
    any_order = False

    data_format: str = arg(DATA_FORMAT, None)
    keepdims: bool = arg(BOOLEAN, False)

    @property
    def reduced_axes(self) -> tuple[int, ...]:
        """The axes that vanish or become 1."""
        start = 2 if self.data_format == "channels_first" else 1
        return tuple(range(start, start + self.rank))

    def takes(self, perm: Permutation) -> bool:
        return perm.index(self.channel_axis(len(perm))) in (1, len(perm) - 1)

    def relayout(self, perm: Permutation) -> "_GlobalPooling":
        first = perm.index(self.channel_axis(len(perm))) == 1
        return replace(self, data_format="channels_first" if first else "channels_last")

    def output_type(self, x: TensorType) -> TensorType:
        if self.keepdims:
            return self.resized(x, (1,) * self.rank)
        self.spatial_axes(x)
        return x.with_sizes((x.shape[self.channel_axis(x.rank)],))


class GlobalMaxPooling1D(_GlobalPooling):
    """The largest value over time."""

    rank = 1


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value over height and width."""

    rank = 2


class GlobalMaxPooling3D(_GlobalPooling):
    """The largest value over depth, height and width."""

    rank = 3


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over time."""

    supports_masking = True
    uses_mask = True
    passes_mask = False

    rank = 1

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        """Raise a `SpecError` if the mask does not say which steps are left out of the mean."""
        if mask.shape != x.shape[:2] or self.data_format == "channels_first":
            message = f"expected a mask of batch and time and an input of steps {x.keras_shape}"
            raise self.fault(f"{message} with the channels last; received {mask.keras_shape}")


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over height and width."""

    rank = 2


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean over depth, height and width."""

    rank = 3


class _AdaptivePooling(_Spatial):
    output_size: tuple[int, ...] = arg(SPATIAL)
    data_format: str = arg(DATA_FORMAT, None)

    def output_type(self, x: TensorType) -> TensorType:
        return self.resized(x, self.output_size)


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """The largest value of each of `output_size` windows over time."""

    rank = 1


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """The largest value of each of `output_size` windows over height and width."""

    rank = 2


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """The largest value of each of `output_size` windows over depth, height and width."""

    rank = 3


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """The mean of each of `output_size` windows over time."""

    rank = 1


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """The mean of each of `output_size` windows over height and width."""

    rank = 2


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """The mean of each of `output_size` windows over depth, height and width."""

    rank = 3
