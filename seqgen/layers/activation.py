"""Activations as layers."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from dataclasses import replace

from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.arguments import AXES, NON_NEGATIVE_REAL, REAL, arg, integers, optional
from seqgen.layers.axes import activated, all_moved, moved, positions
from seqgen.layers.base import Layer, Weight
from seqgen.layers.objects import (
    ACTIVATION,
    AXIS_ACTIVATIONS,
    CONSTRAINT,
    INITIALIZER,
    REGULARIZER,
    Named,
)

# The layers that are a function with arguments. Keras takes them as an activation too, and can save
# them, where it cannot save the function with arguments.
FUNCTION_LAYERS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "softmax": "Softmax",
}


class Activation(Layer):
    """Applies an activation function."""

    supports_masking = True

    activation: Named | None = arg(ACTIVATION)

    @property
    def any_order(self) -> bool:
        """All but `glu` take features in any order."""
        return self.activation is None or self.activation.name != "glu"

    def output_type(self, x: TensorType) -> TensorType:
        return activated(self, x, self.activation)

    def relayout(self, perm: Permutation) -> "Activation":
        if self.activation is None or self.activation.name not in AXIS_ACTIVATIONS:
            return self
        axis = all_moved(self.activation.kwargs.get("axis", -1), perm)
        arguments = () if axis == -1 else (("axis", axis),)
        return replace(self, activation=Named(self.activation.name, arguments))


class ReLU(Layer):
    """`x` between `threshold` and `max_value`, and `negative_slope * (x - threshold)` below."""

    supports_masking = True

    max_value: float | None = arg(optional(NON_NEGATIVE_REAL), None)
    negative_slope: float = arg(NON_NEGATIVE_REAL, 0.0)
    threshold: float = arg(NON_NEGATIVE_REAL, 0.0)


class LeakyReLU(Layer):
    """`x` where it is positive, `negative_slope * x` below."""

    supports_masking = True

    negative_slope: float = arg(NON_NEGATIVE_REAL, 0.3)


class ELU(Layer):
    """`x` where it is positive, `alpha * (exp(x) - 1)` below."""

    supports_masking = True

    alpha: float = arg(REAL, 1.0)


class Softmax(Layer):
    """`exp(x)` over its sum along one or more axes."""

    supports_masking = True
    uses_mask = True

    axis: int | tuple[int, ...] = arg(AXES, -1)

    def output_type(self, x: TensorType) -> TensorType:
        positions(self, x, self.axis)
        return x

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        if mask.shape != x.shape:
            message = f"expected a mask of the shape of the input {x.keras_shape}, received"
            why = "Keras would lay it along the last axes"
            raise self.fault(f"{message} {mask.keras_shape}; {why}")

    def relayout(self, perm: Permutation) -> "Softmax":
        return replace(self, axis=all_moved(self.axis, perm))


class PReLU(Layer):
    """`x` where it is positive, `alpha * x` below, with an `alpha` that is learned."""

    supports_masking = True

    alpha_initializer: Named = arg(INITIALIZER, "zeros")
    alpha_regularizer: Named | None = arg(REGULARIZER, None)
    alpha_constraint: Named | None = arg(CONSTRAINT, None)
    shared_axes: tuple[int, ...] | None = arg(
        optional(integers(-64, "axes, the first behind the batch being 1")), None
    )

    def shared(self, rank: int) -> tuple[int, ...]:
        """The shared axes of an input with `rank` axes, each counted from 1."""
        # Keras looks them up in the shape without the batch, so that 0 is its last axis.
        return tuple((axis - 1) % (rank - 1) + 1 for axis in self.shared_axes or ())

    def output_type(self, x: TensorType) -> TensorType:
        if any(not 2 - x.rank <= axis < x.rank for axis in self.shared_axes or ()):
            bounds = f"expected axes from 1 to {x.rank - 1} for an input {x.keras_shape}"
            raise self.fault(f"{bounds}, received {self.shared_axes}", "shared_axes")
        own = [x.shape[axis] for axis in range(1, x.rank) if axis not in self.shared(x.rank)]
        if not all(isinstance(size, int) for size in own):
            message = f"expected axes of open size to be shared, received {x.keras_shape}"
            raise self.fault(message, "shared_axes")
        return x

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        shared = self.shared(x.rank)
        shape = tuple(1 if i in shared else size for i, size in enumerate(x.sizes, 1))
        return (Weight("alpha", shape, self.alpha_initializer),)

    def relayout(self, perm: Permutation) -> "PReLU":
        shared = tuple(moved(axis, perm) for axis in self.shared(len(perm)))
        return replace(self, shared_axes=shared) if shared else self
