"""Convolutions in one to three dimensions: plain, transposed, depthwise and separable."""

from seqgen.errors import Fault
from seqgen.ir.types import Dim, TensorType
from seqgen.layers.arguments import (
    BOOLEAN,
    DATA_FORMAT,
    POSITIVE,
    SPATIAL,
    arg,
    choice,
    optional,
    spatial,
)
from seqgen.layers.axes import activated
from seqgen.layers.base import Layer, Weight
from seqgen.layers.kernel import _Biased, _Kernel
from seqgen.layers.objects import ACTIVATION, CONSTRAINT, INITIALIZER, REGULARIZER, Named
from seqgen.layers.spatial import _Spatial, _Windowed, window_size

__all__ = ["PADDING", "_Spatial", "_Windowed", "transposed_size", "window_size"]

PADDING = choice("valid", "same", any_case=True)
PADDING_1D = choice("valid", "same", "causal", any_case=True)


def transposed_size(
    size: Dim | None, window: int, stride: int, padding: str, extra: int | None, dilation: int = 1
) -> Dim | None:
    """Output size of a transposed convolution along one axis, None if the input's is open.

    `extra` is Keras's `output_padding`; None fills up to a multiple of the stride.
    """
    span = (window - 1) * dilation + 1
    if not isinstance(size, int):
        same = stride == 1 and (span == 1 or (padding == "same" and (extra is None or span % 2)))
        return size if same else None
    if padding == "valid":
        return (size - 1) * stride + span + (max(0, stride - span) if extra is None else extra)
    return size * stride if extra is None else (size - 1) * stride + span % 2 + extra


class _Dilated(_Spatial):
    def check(self) -> tuple[Fault, ...]:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            message = "expected strides or dilation_rate to be 1, as Keras has it; received "
            return (Fault(f"{message}{self.strides} and {self.dilation_rate}", "dilation_rate"),)
        return ()


class _Convolved(_Windowed):
    """A convolution to `self.filters` channels."""

    def output_type(self, x: TensorType) -> TensorType:
        self.channels(x)
        y = self.resized(x, self.windowed_sizes(x), self.filters)
        return activated(self, y, self.activation)


class _Windows(Layer):
    filters: int = arg(POSITIVE)
    kernel_size: tuple[int, ...] = arg(SPATIAL)
    strides: tuple[int, ...] = arg(SPATIAL, 1)
    padding: str = arg(PADDING, "valid")
    data_format: str = arg(DATA_FORMAT, None)
    dilation_rate: tuple[int, ...] = arg(SPATIAL, 1)


class _ConvArguments(_Windows):
    groups: int = arg(POSITIVE, 1)


class _Conv(_Kernel, _ConvArguments, _Convolved, _Dilated):
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
        return super().output_type(x)

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


class _TransposeHead(Layer):
    filters: int = arg(POSITIVE)
    kernel_size: tuple[int, ...] = arg(SPATIAL)
    strides: tuple[int, ...] = arg(SPATIAL, 1)
    padding: str = arg(PADDING, "valid")


class _TransposeMiddle(Layer):
    output_padding: tuple[int, ...] | None = arg(optional(spatial(0)), None)
    data_format: str = arg(DATA_FORMAT, None)


class _TransposeMiddle3D(Layer):
    data_format: str = arg(DATA_FORMAT, None)
    output_padding: tuple[int, ...] | None = arg(optional(spatial(0)), None)


class _TransposeTail(Layer):
    dilation_rate: tuple[int, ...] = arg(SPATIAL, 1)


class _ConvTranspose(_Dilated):
    def check(self) -> tuple[Fault, ...]:
        faults = super().check()
        extra = self.output_padding or (0,) * self.rank
        if any(amount >= stride for amount, stride in zip(extra, self.strides, strict=True)):
            message = f"expected less than strides={self.strides}, received {extra}"
            faults += (Fault(message, "output_padding"),)
        if self.output_padding and self.padding == "same":
            spans = ((k - 1) * d for k, d in zip(self.kernel_size, self.dilation_rate, strict=True))
            if any(span % 2 and not more for span, more in zip(spans, extra, strict=True)):
                message = "expected more than 0 where the window is even and padding is 'same'"
                faults += (Fault(f"{message}, received {extra}", "output_padding"),)
        return faults

    def output_type(self, x: TensorType) -> TensorType:
        self.channels(x)
        extra = self.output_padding or (None,) * self.rank
        sizes = tuple(
            transposed_size(size, window, stride, self.padding, more, dilation)
            for size, window, stride, more, dilation in zip(
                self.spatial_sizes(x),
                self.kernel_size,
                self.strides,
                extra,
                self.dilation_rate,
                strict=True,
            )
        )
        return activated(self, self.resized(x, sizes, self.filters), self.activation)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        shape = (*self.kernel_size, self.filters, self.channels(x))
        return (Weight("kernel", shape, self.kernel_initializer), *self.bias_types(self.filters))


class Conv1DTranspose(_Kernel, _TransposeTail, _TransposeMiddle, _TransposeHead, _ConvTranspose):
    """Transposed convolution over time."""

    rank = 1


class Conv2DTranspose(_Kernel, _TransposeTail, _TransposeMiddle, _TransposeHead, _ConvTranspose):
    """Transposed convolution over height and width."""

    rank = 2


class Conv3DTranspose(_Kernel, _TransposeTail, _TransposeMiddle3D, _TransposeHead, _ConvTranspose):
    """Transposed convolution over depth, height and width."""

    rank = 3


class _DepthwiseConv(_Biased, _Windowed):
    kernel_size: tuple[int, ...] = arg(SPATIAL)
    strides: tuple[int, ...] = arg(SPATIAL, 1)
    padding: str = arg(PADDING, "valid")
    depth_multiplier: int = arg(POSITIVE, 1)
    data_format: str = arg(DATA_FORMAT, None)
    dilation_rate: tuple[int, ...] = arg(SPATIAL, 1)
    activation: Named | None = arg(ACTIVATION, None)
    use_bias: bool = arg(BOOLEAN, True)
    depthwise_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: Named = arg(INITIALIZER, "zeros")
    depthwise_regularizer: Named | None = arg(REGULARIZER, None)
    bias_regularizer: Named | None = arg(REGULARIZER, None)
    activity_regularizer: Named | None = arg(REGULARIZER, None)
    depthwise_constraint: Named | None = arg(CONSTRAINT, None)
    bias_constraint: Named | None = arg(CONSTRAINT, None)

    def output_type(self, x: TensorType) -> TensorType:
        channels = self.channels(x) * self.depth_multiplier
        y = self.resized(x, self.windowed_sizes(x), channels)
        return activated(self, y, self.activation)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        channels = self.channels(x)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        bias = self.bias_types(channels * self.depth_multiplier)
        return (Weight("kernel", shape, self.depthwise_initializer), *bias)


class DepthwiseConv1D(_DepthwiseConv):
    """Convolution over time, for each channel on its own."""

    rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Convolution over height and width, for each channel on its own."""

    rank = 2


class _SeparableConv(_Biased, _Convolved):
    filters: int = arg(POSITIVE)
    kernel_size: tuple[int, ...] = arg(SPATIAL)
    strides: tuple[int, ...] = arg(SPATIAL, 1)
    padding: str = arg(PADDING, "valid")
    data_format: str = arg(DATA_FORMAT, None)
    dilation_rate: tuple[int, ...] = arg(SPATIAL, 1)
    depth_multiplier: int = arg(POSITIVE, 1)
    activation: Named | None = arg(ACTIVATION, None)
    use_bias: bool = arg(BOOLEAN, True)
    depthwise_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    pointwise_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: Named = arg(INITIALIZER, "zeros")
    depthwise_regularizer: Named | None = arg(REGULARIZER, None)
    pointwise_regularizer: Named | None = arg(REGULARIZER, None)
    bias_regularizer: Named | None = arg(REGULARIZER, None)
    activity_regularizer: Named | None = arg(REGULARIZER, None)
    depthwise_constraint: Named | None = arg(CONSTRAINT, None)
    pointwise_constraint: Named | None = arg(CONSTRAINT, None)
    bias_constraint: Named | None = arg(CONSTRAINT, None)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        channels = self.channels(x)
        depthwise = (*self.kernel_size, channels, self.depth_multiplier)
        pointwise = (*(1,) * self.rank, channels * self.depth_multiplier, self.filters)
        return (
            Weight("depthwise_kernel", depthwise, self.depthwise_initializer),
            Weight("pointwise_kernel", pointwise, self.pointwise_initializer),
            *self.bias_types(self.filters),
        )


class SeparableConv1D(_SeparableConv):
    """Depthwise convolution over time, then a Dense at each step."""

    rank = 1


class SeparableConv2D(_SeparableConv):
    """Depthwise convolution over height and width, then a Dense at each place."""

    rank = 2
