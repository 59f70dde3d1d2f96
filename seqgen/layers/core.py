"""Dense and its relatives."""

from dataclasses import replace

from seqgen.ir.types import TensorType
from seqgen.layers.arguments import BOOLEAN, POSITIVE, arg
from seqgen.layers.base import Layer, Weight
from seqgen.layers.objects import ACTIVATION, CONSTRAINT, INITIALIZER, REGULARIZER


class Identity(Layer):
    """Returns its input."""


class Dense(Layer):
    """`activation(x @ kernel + bias)` over the last axis."""

    layout = "spec"

    units: int = arg(POSITIVE)
    activation: object = arg(ACTIVATION, None)
    use_bias: bool = arg(BOOLEAN, True)
    kernel_initializer: object = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: object = arg(INITIALIZER, "zeros")
    kernel_regularizer: object = arg(REGULARIZER, None)
    bias_regularizer: object = arg(REGULARIZER, None)
    activity_regularizer: object = arg(REGULARIZER, None)
    kernel_constraint: object = arg(CONSTRAINT, None)
    bias_constraint: object = arg(CONSTRAINT, None)

    def output_type(self, x: TensorType) -> TensorType:
        self.features(x)
        return x.with_sizes((*x.sizes[:-1], self.units))

    def features(self, x: TensorType) -> int:
        """Size of the input's last axis, which the kernel fixes."""
        if x.rank < 2:
            raise self.fault(f"expected an input with at least 2 axes, received {x.keras_shape}")
        if not isinstance(x.shape[-1], int):
            raise self.fault(f"expected a known size of the last axis, received {x.keras_shape}")
        return x.shape[-1]

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        kernel = Weight("kernel", (self.features(x), self.units), self.kernel_initializer)
        bias = Weight("bias", (self.units,), self.bias_initializer)
        return (kernel, bias) if self.use_bias else (kernel,)
