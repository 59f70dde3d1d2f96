"""Convolutions in one to three dimensions."""

from typing import Any

from seqgen.errors import Fault
from seqgen.ir.types import Dim, TensorType
from seqgen.layers.arguments import BOOLEAN, DATA_FORMAT, POSITIVE, SPATIAL, arg, choice
from seqgen.layers.base import Layer, Weight
from seqgen.layers.objects import ACTIVATION, CONSTRAINT, INITIALIZER, REGULARIZER

PADDING = choice("valid", "same")
PADDING_1D = choice("valid", "same", "causal")


def window_size(
    size: Dim | None, window: int, stride: int, padding: str, dilation: int = 1
) -> Dim | None:
    """Output size of a convolution or pooling along one axis, None if the input's is open."""
    span = (window - 1) * dilation + 1
    if padding in ("same", "causal"):
        if stride == 1:
            return size
        return -(-size // stride) if isinstance(size, int) else None
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


class _Convolution(_Windowed):
    """Checks that convolutions share: strides against dilation, a channel count for each group."""

    def check(self) -> tuple[Fault, ...]:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            message = "expected strides or dilation_rate to be 1, as Keras has it; received "
            return (Fault(f"{message}{self.strides} and {self.dilation_rate}", "dilation_rate"),)
        return ()

    def bias_types(self, size: int) -> tuple[Weight, ...]:
        """The bias, if there is one."""
        return (Weight("bias", (size,), self.bias_initializer),) if self.use_bias else ()


class _Conv(_Convolution):
    filters: int = arg(POSITIVE)
    kernel_size: tuple[int, ...] = arg(SPATIAL)
    strides: tuple[int, ...] = arg(SPATIAL, 1)
    padding: str = arg(PADDING, "valid")
    data_format: str = arg(DATA_FORMAT, "channels_last")
    dilation_rate: tuple[int, ...] = arg(SPATIAL, 1)
    groups: int = arg(POSITIVE, 1)
    activation: object = arg(ACTIVATION, None)
    use_bias: bool = arg(BOOLEAN, True)
    kernel_initializer: object = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: object = arg(INITIALIZER, "zeros")
    kernel_regularizer: object = arg(REGULARIZER, None)
    bias_regularizer: object = arg(REGULARIZER, None)
    activity_regularizer: object = arg(REGULARIZER, None)
    kernel_constraint: object = arg(CONSTRAINT, None)
    bias_constraint: object = arg(CONSTRAINT, None)

    def check(self) -> tuple[Fault, ...]:
        faults = super().check()
        if self.filters % self.groups:
            message = f"expected a divisor of filters={self.filters}, received {self.groups}"
            faults += (Fault(message, "groups"),)
        return faults

    def output_type(self, x: TensorType) -> TensorType:
        channels = self.channels(x)
        if channels % self.groups:
            message = f"expected a divisor of the {channels} input channels, received {self.groups}"
            raise self.fault(message, "groups")
        return self.resized(x, self.windowed_sizes(x), self.filters)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        shape = (*self.kernel_size, self.channels(x) // self.groups, self.filters)
        return (Weight("kernel", shape, self.kernel_initializer), *self.bias_types(self.filters))


class Conv1D(_Conv):
    """Convolution over time. `causal` padding keeps a step from seeing later ones."""

    rank = 1
    padding: str = arg(PADDING_1D, "valid")


class Conv2D(_Conv):
    """Convolution over height and width."""

    rank = 2


class Conv3D(_Conv):
    """Convolution over depth, height and width."""

    rank = 3
