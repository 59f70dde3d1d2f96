"""Arguments and weights of layers with a kernel, a bias and an activation."""

from seqgen.layers.arguments import BOOLEAN, arg, null
from seqgen.layers.base import Layer, Weight
from seqgen.layers.objects import ACTIVATION, CONSTRAINT, INITIALIZER, REGULARIZER, Named

LORA = null("low-rank adapters change how a layer trains; merge them into the kernel first")
QUANTIZATION = null("a quantized layer holds other weights; quantize what was generated instead")


class _Biased(Layer):
    """A layer whose bias is added along its channels."""

    def bias_types(self, size: int) -> tuple[Weight, ...]:
        """The bias, if there is one."""
        return (Weight("bias", (size,), self.bias_initializer),) if self.use_bias else ()


class _Kernel(_Biased):
    activation: Named | None = arg(ACTIVATION, None)
    use_bias: bool = arg(BOOLEAN, True)
    kernel_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: Named = arg(INITIALIZER, "zeros")
    kernel_regularizer: Named | None = arg(REGULARIZER, None)
    bias_regularizer: Named | None = arg(REGULARIZER, None)
    activity_regularizer: Named | None = arg(REGULARIZER, None)
    kernel_constraint: Named | None = arg(CONSTRAINT, None)
    bias_constraint: Named | None = arg(CONSTRAINT, None)
