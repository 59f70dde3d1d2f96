"""What layers over time, area and volume share."""

from typing import Any

from seqgen.ir.types import Dim, TensorType
from seqgen.layers.base import Layer


def window_size(
    size: Dim | None, window: int, stride: int, padding: str, dilation: int = 1
) -> Dim | None:
    """Output size of a convolution or pooling along one axis, None if the input's is open."""
    span = (window - 1) * dilation + 1
    if padding in ("same", "causal"):
        if stride == 1:
            return size
        return -(-size // stride) if isinstance(size, int) else None
    if span == stride == 1:
        return size
    return (size - span) // stride + 1 if isinstance(size, int) else None


class _Spatial(Layer):
    """A layer that works on the spatial axes and treats the channels alike."""

    layout = "channels_first"

    def spatial_axes(self, x: TensorType) -> range:
        """The positions of the spatial axes."""
        if x.rank != self.rank + 2:
            raise self.fault(
                f"expected an input with {self.rank + 2} axes (batch, {self.rank} spatial and "
                f"channels), received {x.rank} axes: {x.keras_shape}"
            )
        start = 2 if self.channel_axis(x.rank) == 1 else 1
        return range(start, start + self.rank)

    def spatial_sizes(self, x: TensorType) -> tuple[Dim | None, ...]:
        """The sizes of the spatial axes."""
        return tuple(x.shape[axis] for axis in self.spatial_axes(x))

    def channels(self, x: TensorType) -> int:
        """Number of input channels, which weights need to be known."""
        self.spatial_axes(x)
        channels = x.shape[self.channel_axis(x.rank)]
        if not isinstance(channels, int):
            raise self.fault(f"expected a known number of channels, received {x.keras_shape}")
        return channels

    def resized(self, x: TensorType, spatial: Any, channels: Dim | None = None) -> TensorType:
        """The input's type with other spatial sizes and, if given, another number of channels."""
        self.spatial_axes(x)
        channels = x.shape[self.channel_axis(x.rank)] if channels is None else channels
        first = self.channel_axis(x.rank) == 1
        sizes = (channels, *spatial) if first else (*spatial, channels)
        return x.with_sizes(sizes, "channels_first" if first else "channels_last")


class _Windowed(_Spatial):
    """A layer that slides a window of `self.window` over the spatial axes."""

    @property
    def window(self) -> tuple[int, ...]:
        """Size of the window along each spatial axis."""
        return self.kernel_size

    def windowed_sizes(self, x: TensorType) -> tuple[Dim | None, ...]:
        """The spatial sizes after the window has passed."""
        dilations = getattr(self, "dilation_rate", (1,) * self.rank)
        before = self.spatial_sizes(x)
        after = tuple(
            window_size(size, window, stride, self.padding, dilation)
            for size, window, stride, dilation in zip(
                before, self.window, self.strides, dilations, strict=True
            )
        )
        if any(isinstance(size, int) and size < 1 for size in after):
            raise self.fault(
                f"the window {self.window} with dilation {dilations} is larger than the input "
                f"{before}; make the window smaller or use padding 'same'"
            )
        return after
