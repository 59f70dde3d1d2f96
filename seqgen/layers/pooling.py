"""Pooling over windows, over everything, and to a given size."""

from typing import Any

from seqgen.ir.types import TensorType
from seqgen.layers.arguments import DATA_FORMAT, SPATIAL, arg, optional
from seqgen.layers.convolution import PADDING, _Windowed


class _Pooling(_Windowed):
    pool_size: tuple[int, ...] = arg(SPATIAL, 2)
    strides: tuple[int, ...] | None = arg(optional(SPATIAL), None)
    padding: str = arg(PADDING, "valid")
    data_format: str = arg(DATA_FORMAT, "channels_last")

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


class MaxPooling1D(_Pooling):
    """The largest value of each window over time."""

    rank = 1


class MaxPooling2D(_Pooling):
    """The largest value of each window over height and width."""

    rank = 2


class MaxPooling3D(_Pooling):
    """The largest value of each window over depth, height and width."""

    rank = 3
