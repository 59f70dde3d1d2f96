"""Dense and its relatives."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from dataclasses import replace
from typing import Any

import numpy as np

from seqgen.errors import Fault
from seqgen.ir.types import Dim, TensorType, axis_names
from seqgen.layers.arguments import (
    BOOLEAN,
    NUMBERS,
    POSITIVE,
    TEXT,
    Kind,
    arg,
    null,
    open_sizes,
    optional,
    shape_of,
)
from seqgen.layers.axes import activated, computed
from seqgen.layers.base import Layer, Weight
from seqgen.layers.einsum import Equation
from seqgen.layers.kernel import LORA, QUANTIZATION, _Kernel
from seqgen.layers.objects import (
    ACTIVATION,
    CONSTRAINT,
    INITIALIZER,
    INITIALIZERS,
    REGULARIZER,
    Named,
)

SIZES = open_sizes(1, "a positive integer, or a sequence of them with null for open sizes")
OUTPUT_SHAPE = Kind(
    SIZES.expected,
    lambda value, rank: SIZES.parse([value] if isinstance(value, int) else value, rank),
    lambda rank: {"anyOf": [{"type": "integer", "minimum": 1}, SIZES.schema(rank)]},
)
LENGTH = null("Keras does nothing with it; leave it out")
INITIAL_WEIGHTS = null("give values of weights in the weights file instead")


class Identity(Layer):
    """Returns its input."""

    supports_masking = True


class _Units(Layer):
    units: int = arg(POSITIVE)


class Dense(_Kernel, _Units):
    """`activation(x @ kernel + bias)` over the last axis."""

    supports_masking = True

    layout = "spec"

    lora_rank: None = arg(LORA, None)
    lora_alpha: None = arg(LORA, None)
    quantization_config: None = arg(QUANTIZATION, None)

    def output_type(self, x: TensorType) -> TensorType:
        self.features(x)
        y = computed(self, x.with_sizes((*x.sizes[:-1], self.units)))
        return activated(self, y, self.activation)

    def features(self, x: TensorType) -> int:
        """Size of the input's last axis, which the kernel fixes."""
        if x.rank < 2:
            raise self.fault(f"expected an input with at least 2 axes, received {x.keras_shape}")
        if not isinstance(x.shape[-1], int):
            raise self.fault(f"expected a known size of the last axis, received {x.keras_shape}")
        return x.shape[-1]

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        kernel = Weight("kernel", (self.features(x), self.units), self.kernel_initializer)
        return (kernel, *self.bias_types(self.units))


class EinsumDense(Layer):
    """`activation(einsum(equation, x, kernel) + bias)`."""

    layout = "spec"

    equation: str = arg(TEXT)
    output_shape: tuple[int | None, ...] = arg(OUTPUT_SHAPE)
    activation: Named | None = arg(ACTIVATION, None)
    bias_axes: str | None = arg(optional(TEXT), None)
    kernel_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: Named = arg(INITIALIZER, "zeros")
    kernel_regularizer: Named | None = arg(REGULARIZER, None)
    bias_regularizer: Named | None = arg(REGULARIZER, None)
    kernel_constraint: Named | None = arg(CONSTRAINT, None)
    bias_constraint: Named | None = arg(CONSTRAINT, None)
    lora_rank: None = arg(LORA, None)
    lora_alpha: None = arg(LORA, None)
    gptq_unpacked_column_size: None = arg(QUANTIZATION, None)
    quantization_config: None = arg(QUANTIZATION, None)

    def check(self) -> tuple[Fault, ...]:
        try:
            equation = Equation.parse(self.equation)
        except ValueError as error:
            return (Fault(f"{error}; received '{self.equation}'", "equation"),)
        unknown = [axis for axis in self.bias_axes or "" if axis not in equation.outputs]
        if unknown:
            message = f"expected labels of the output '{equation.outputs}', received {unknown}"
            return (Fault(message, "bias_axes"),)
        return ()

    def _sizes(self, x: TensorType) -> tuple[dict[str, Dim | None], dict[str, Dim | None]]:
        try:
            return Equation.parse(self.equation).sizes(x.shape, self.output_shape)
        except ValueError as error:
            message = f"{error} ('{self.equation}' and an input {x.keras_shape})"
            raise self.fault(message, "output_shape") from None

    def output_type(self, x: TensorType) -> TensorType:
        _, after = self._sizes(x)
        equation = Equation.parse(self.equation)
        elided, own = equation.elided_sizes(x.shape), tuple(after.values())
        shape = (*elided, *own) if equation.elided == "left" else (x.shape[0], *own[1:], *elided)
        y = TensorType(shape, axis_names(len(shape)), x.dtype)
        return activated(self, computed(self, y), self.activation)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        equation = Equation.parse(self.equation)
        before, after = self._sizes(x)
        shape = tuple({**before, **after}[label] for label in equation.kernel)
        kernel = Weight("kernel", self._known(x, shape), self._spread(equation))
        if self.bias_axes is None:
            return (kernel,)
        first = min(equation.outputs.index(axis) for axis in self.bias_axes)
        labels = equation.outputs[first:]
        shape = tuple(after[label] if label in self.bias_axes else 1 for label in labels)
        shape += (1,) * len(equation.elided_sizes(x.shape)) if equation.elided == "right" else ()
        return (kernel, Weight("bias", self._known(x, shape), self.bias_initializer))

    def _known(self, x: TensorType, shape: tuple[Dim | None, ...]) -> tuple[int, ...]:
        if not all(isinstance(size, int) for size in shape):
            message = f"expected known sizes of the weights, received an input {x.keras_shape}"
            raise self.fault(message, "output_shape")
        return shape

    def _spread(self, equation: Equation) -> Named:
        """The kernel's initializer, told which axes are inputs and which outputs."""
        name, arguments = self.kernel_initializer.name, self.kernel_initializer.kwargs
        given = arguments.get("input_axes"), arguments.get("output_axes")
        if "input_axes" not in INITIALIZERS[name] or None not in given:
            return self.kernel_initializer
        outputs = tuple(i for i, label in enumerate(equation.kernel) if label in equation.outputs)
        inputs = tuple(i for i in range(len(equation.kernel)) if i not in outputs)
        axes = {"input_axes": inputs, "output_axes": outputs}
        return Named(name, tuple({**arguments, **axes}.items()))


class Masking(Layer):
    """Zeros where all features of a step have one value, and a mask that leaves such steps out."""

    supports_masking = True
    layout = "spec"

    mask_value: Any = arg(NUMBERS, 0.0)

    def check(self) -> tuple[Fault, ...]:
        if np.abs(np.array(self.mask_value, float)).max(initial=0.0) <= np.finfo(np.float32).max:
            return ()
        return (Fault("expected numbers of float32, with which Keras compares", "mask_value"),)

    def output_type(self, x: TensorType) -> TensorType:
        shape = shape_of(self.mask_value)
        pairs = zip(reversed(shape), reversed(x.shape), strict=False)
        if len(shape) > x.rank or any(size not in (1, other) for size, other in pairs):
            message = f"expected an array that repeats to {x.keras_shape}, received shape {shape}"
            raise self.fault(message, "mask_value")
        return computed(self, x)

    def made_mask(self, x: TensorType) -> TensorType:
        return TensorType(x.shape[:-1], x.axes[:-1], "bool")


class Embedding(Layer):
    """A row of a table for each whole number."""

    layout = "spec"
    timed = True

    input_dim: int = arg(POSITIVE)
    output_dim: int = arg(POSITIVE)
    embeddings_initializer: Named = arg(INITIALIZER, "uniform")
    embeddings_regularizer: Named | None = arg(REGULARIZER, None)
    embeddings_constraint: Named | None = arg(CONSTRAINT, None)
    mask_zero: bool = arg(BOOLEAN, False)
    weights: None = arg(INITIAL_WEIGHTS, None)
    lora_rank: None = arg(LORA, None)
    lora_alpha: None = arg(LORA, None)
    quantization_config: None = arg(QUANTIZATION, None)

    input_length: None = arg(LENGTH, None, kw_only=True)

    @property
    def supports_masking(self) -> bool:
        """Keras says that a layer has masks if its own mask is made."""
        return bool(self.mask_zero)

    def made_mask(self, x: TensorType) -> TensorType | None:
        return replace(x, dtype="bool") if self.mask_zero else None

    def output_type(self, x: TensorType) -> TensorType:
        return computed(self, x.with_sizes((*x.sizes, self.output_dim)))

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        shape = (self.input_dim, self.output_dim)
        return (Weight("embeddings", shape, self.embeddings_initializer),)
