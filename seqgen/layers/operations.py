"""Operations of keras.ops: steps of a graph that are functions in Keras, and no layers."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from dataclasses import MISSING, fields, replace
from typing import Any, ClassVar

from seqgen.errors import Fault
from seqgen.ir.types import Dim, TensorType
from seqgen.layers.arguments import (
    BOOLEAN,
    DTYPES,
    INTEGER,
    NUMBERS,
    REAL,
    arg,
    optional,
    shape_of,
)
from seqgen.layers.axes import activated, check_spreads
from seqgen.layers.base import Layer
from seqgen.layers.objects import ACTIVATION, NAME, Named, to_snake_case

CONSTANT = optional(REAL)
CONSTANTS = optional(NUMBERS)


class Operation(Layer, registered=False):
    """An operation. Its tensors have no masks, and there is nothing to train.

    Attributes:
        tensors: The names of the tensors in the signature of the function.
    """

    is_operation = True
    tensors: ClassVar[tuple[str, ...]] = ("x",)
    trainable: ClassVar[bool] = True
    dtype: ClassVar[None] = None
    activity_regularizer: ClassVar[None] = None
    input_shape: ClassVar[None] = None

    name: str | None = arg(optional(NAME), None, kw_only=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.kind = f"ops.{to_snake_case(cls.__name__)}"
        super().__init_subclass__(**kwargs)

    @classmethod
    def signature(cls) -> dict[str, Any]:
        """What the function takes by place, in order, with its defaults; `MISSING` for none."""
        own = {field.name: field.default for field in fields(cls) if not field.kw_only}
        return {**dict.fromkeys(cls.tensors, MISSING), **own}

    @property
    def keras_name(self) -> str:
        return self.kind

    @property
    def auto_name(self) -> str:
        return to_snake_case(type(self).__name__)

    def joined_mask(
        self, xs: tuple[TensorType, ...], masks: tuple[TensorType | None, ...]
    ) -> TensorType | None:
        return None


# One number at a time


class _OfTwo(Operation):
    """Computes with two tensors, or with a tensor and a number; axes go together as in NumPy.

    Attributes:
        x1: The first operand, if that is a number.
        x2: The second one, if that is a number.
    """

    tensors = ("x1", "x2")

    x1: float | None = arg(CONSTANT, None, kw_only=True)
    x2: float | None = arg(CONSTANT, None, kw_only=True)

    def check(self) -> tuple[Fault, ...]:
        if self.ports:
            return ()
        return (Fault("expected a tensor beside the number, received two numbers", "x2"),)

    @property
    def ports(self) -> tuple[str, ...]:
        """The operands that are tensors."""
        return tuple(name for name in self.tensors if getattr(self, name) is None)

    @property
    def inputs(self) -> tuple[int, int]:
        """As many tensors as there are operands without a number."""
        return len(self.ports), len(self.ports)

    @property
    def any_order(self) -> bool:
        """Both tensors would have to have their features in the same order."""
        return len(self.ports) == 1

    def check_count(self, count: int) -> None:
        if count == 1 and len(self.ports) == 2:
            message = (
                "expected two tensors, or a number as x1 or x2 beside one; received one tensor"
            )
            raise self.fault(message)
        super().check_count(count)

    def output_type(self, *xs: TensorType) -> TensorType:
        check_floating(self, xs)
        return replace(xs[0], shape=broadcast_shape(self, xs))


def check_floating(layer: Layer, xs: tuple[TensorType, ...]) -> None:
    """Raise a `SpecError` if a tensor holds integers, of which Keras may make another dtype."""
    for x in xs:
        if x.dtype not in DTYPES:
            message = f"expected floating numbers, received {x.dtype}"
            raise layer.fault(f"{message}; put a Rescaling with a scale of 1 before it")


def broadcast_shape(layer: Layer, xs: tuple[TensorType, ...]) -> tuple[Dim | None, ...]:
    """The shape of what is made of tensors whose axes go together as in NumPy."""
    shapes = ", ".join(str(x.keras_shape) for x in xs)
    if len({x.rank for x in xs}) > 1:
        # NumPy lays the last axes onto each other, and so the batch of one onto an axis of another.
        message = f"expected tensors with as many axes as each other, received {shapes}"
        raise layer.fault(f"{message}; add axes with ops.expand_dims or Reshape")
    try:
        return tuple(map(_common, zip(*(x.shape for x in xs), strict=True)))
    except ValueError:
        raise layer.fault(f"expected shapes that go together, received {shapes}") from None


def _common(sizes: tuple[Dim | None, ...]) -> Dim | None:
    """The size of an axis of the result; None if it is open.

    Raises:
        ValueError: The sizes do not go together.
    """
    known = set(sizes) - {1} or {1}
    fixed = {size for size in known if isinstance(size, int)}
    if len(fixed) > 1:
        raise ValueError
    # An open size is that of the other tensor, or 1.
    return fixed.pop() if fixed else known.pop() if len(known) == 1 else None


class _WithArrays(_OfTwo):
    """One whose number may be an array, which lies along the last axes, as in NumPy."""

    x1: Any = arg(CONSTANTS, None, kw_only=True)
    x2: Any = arg(CONSTANTS, None, kw_only=True)

    @property
    def array(self) -> str | None:
        """The operand that is an array; None if there is none."""
        return next((name for name in self.tensors if shape_of(getattr(self, name))), None)

    @property
    def any_order(self) -> bool:
        """Not with an array, which tells features apart."""
        return super().any_order and self.array is None

    def output_type(self, *xs: TensorType) -> TensorType:
        if self.array is not None:
            check_spreads(self, self.array, xs[0])
        return super().output_type(*xs)


class Add(_WithArrays):
    """The sum."""


class Subtract(_WithArrays):
    """The first without the second."""


class Multiply(_WithArrays):
    """The product."""


class Divide(_OfTwo):
    """The first over the second."""


class TrueDivide(_OfTwo):
    """The first over the second."""


class Maximum(_OfTwo):
    """The larger one."""


class Minimum(_OfTwo):
    """The smaller one."""


class Power(_OfTwo):
    """The first to the power of the second."""


class _OfOne(Operation):
    def output_type(self, x: TensorType) -> TensorType:
        check_floating(self, (x,))
        return x


class Negative(_OfOne):
    """`-x`."""


class Absolute(_OfOne):
    """`x` without its sign."""


class Square(_OfOne):
    """`x * x`."""


class Sqrt(_OfOne):
    """The square root."""


class Rsqrt(_OfOne):
    """One over the square root."""


class Reciprocal(_OfOne):
    """One over `x`."""


class Exp(_OfOne):
    """The exponential."""


class Log(_OfOne):
    """The natural logarithm."""


class Sin(_OfOne):
    """The sine."""


class Cos(_OfOne):
    """The cosine."""


class Clip(_OfOne):
    """`x` between two bounds."""

    x_min: float = arg(REAL)
    x_max: float = arg(REAL)


# Activations


class Function(Operation, registered=False):
    """An activation function of its first argument."""

    @property
    def activation(self) -> Named:
        """The same as an argument of layers."""
        given = {name: getattr(self, name) for name in self.kinds if name != "name"}
        found: Named = ACTIVATION.parse({self.auto_name: given}, 0)
        return found

    def output_type(self, x: TensorType) -> TensorType:
        check_floating(self, (x,))
        return activated(self, x, self.activation)


class Relu(Function):
    """`x` where it is positive, else 0."""


class Relu6(Function):
    """`x` between 0 and 6."""


class LeakyRelu(Function):
    """`x` where it is positive, `negative_slope * x` below."""

    negative_slope: float = arg(REAL, 0.2)


class Elu(Function):
    """`x` where it is positive, `alpha * (exp(x) - 1)` below."""

    alpha: float = arg(REAL, 1.0)


class Selu(Function):
    """The scaled ELU that keeps mean and variance."""


class Gelu(Function):
    """`x` times the probability that a normal number is below it."""

    approximate: bool = arg(BOOLEAN, True)


class Sigmoid(Function):
    """`1 / (1 + exp(-x))`."""


class Silu(Function):
    """`x * sigmoid(x)`."""


class HardSigmoid(Function):
    """`x / 6 + 0.5` between 0 and 1."""


class HardSilu(Function):
    """`x * hard_sigmoid(x)`."""


class Tanh(Function):
    """The hyperbolic tangent."""


class Softplus(Function):
    """`log(1 + exp(x))`."""


class Softsign(Function):
    """`x / (1 + abs(x))`."""


class Softmax(Function):
    """`exp(x)` over its sum along an axis."""

    axis: int = arg(INTEGER, -1)


class LogSoftmax(Function):
    """The logarithm of the softmax."""

    axis: int = arg(INTEGER, -1)
