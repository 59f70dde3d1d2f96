"""Layers that make one tensor of several."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

from seqgen.ir.types import Dim, Permutation, TensorType, axis_names
from seqgen.layers.arguments import BOOLEAN, DTYPES, INTEGER, Kind, arg
from seqgen.layers.axes import moved, positions
from seqgen.layers.base import Layer

MANY = 2**31
Types = tuple[TensorType, ...]
Masks = tuple[TensorType | None, ...]


def broadcast(sizes: Iterable[Dim | None]) -> Dim | None:
    """The size of one axis of the result; None if it is open.

    Raises:
        ValueError: The sizes do not go together.
    """
    known = set(sizes)
    if len(known) == 1:
        return known.pop()
    fixed = {size for size in known if isinstance(size, int)}
    if len(fixed - {1}) > 1:
        raise ValueError
    # Keras leaves a size open as soon as one of them is.
    return max(fixed) if len(fixed) == len(known) else None


def batch_of(xs: Types) -> Dim | None:
    """The size of the batch: the one that is known, if one is.

    Raises:
        ValueError: There are several.
    """
    sizes = {x.shape[0] for x in xs}
    fixed = {size for size in sizes if isinstance(size, int)}
    if len(fixed) > 1:
        raise ValueError
    return fixed.pop() if fixed else xs[0].shape[0]


def listed(xs: Masks) -> str:
    """Shapes as an error shows them."""
    return ", ".join(str(x.keras_shape) for x in xs if x is not None)


class _OfSeveral(Layer):
    supports_masking = True
    inputs = (1, MANY)
    # Whether it takes no whole numbers.
    floating_only: ClassVar[bool] = False

    @property
    def any_order(self) -> bool:
        """The features of all inputs would have to be in the same order."""
        return False

    def result_dtype(self, xs: Types) -> str:
        """The dtype of the result: whole numbers become floating beside floating ones."""
        found = {x.dtype for x in xs}
        floating = found.intersection(DTYPES)
        if len(floating or found) > 1:
            message = f"expected inputs of one dtype, received {', '.join(sorted(found))}"
            raise self.fault(f"{message}; give the inputs of the model the same")
        if not floating and self.floating_only:
            raise self.fault(f"expected floating numbers, received {', '.join(found)}")
        return (floating or found).pop()

    def check_steps(self, x: TensorType, mask: TensorType) -> None:
        """Raise a `SpecError` if a mask does not tell of every step whether it is kept."""
        if mask.shape != x.shape[:-1]:
            message = f"expected a mask for all axes of {x.keras_shape} but the last, received"
            raise self.fault(f"{message} {mask.keras_shape}")


class _Merge(_OfSeveral):
    """Computes number by number; axes are added behind the batch where one has fewer."""

    def output_type(self, *xs: TensorType) -> TensorType:
        largest = max(xs, key=lambda x: x.rank)
        filled = [(1,) * (largest.rank - x.rank) + x.sizes for x in xs]
        try:
            sizes = [broadcast(column) for column in zip(*filled, strict=True)]
            shape = (batch_of(xs), *sizes)
        except ValueError:
            message = f"expected shapes that go together, received {listed(xs)}"
            raise self.fault(message) from None
        return replace(largest, shape=shape, dtype=self.result_dtype(xs))

    def joined_mask(self, xs: Types, masks: Masks) -> TensorType | None:
        known = tuple(mask for mask in masks if mask is not None)
        if len(known) < len(masks):
            return None
        try:
            columns = zip(*(mask.sizes for mask in known), strict=True)
            shape = (batch_of(known), *map(broadcast, columns))
        except ValueError:
            raise self.fault(f"expected masks that go together, received {listed(known)}") from None
        return replace(known[0], shape=shape)


class _MaskedMerge(_Merge):
    """One that leaves out the steps of an input that its mask leaves out.

    An input with fewer axes than others loses its mask as it gets more.
    """

    uses_mask = True

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        self.check_steps(x, mask)

    def check_call(self, xs: Types, masks: Masks, arguments: Mapping[str, Any]) -> None:
        super().check_call(xs, masks, arguments)
        if any(masks) and len({x.dtype for x in xs}) > 1:
            raise self.fault("expected inputs of one dtype where some have masks")

    def masked_inputs(self, count: int) -> tuple[int, ...]:
        return tuple(range(count))


class Add(_Merge):
    """The sum."""


class Subtract(_Merge):
    """The first without the second."""

    inputs = (2, 2)


class Multiply(_MaskedMerge):
    """The product."""


class Average(_Merge):
    """The mean."""

    floating_only = True


class Maximum(_MaskedMerge):
    """The largest."""


class Minimum(_MaskedMerge):
    """The smallest."""


class Concatenate(_OfSeveral):
    """One behind the other along an axis."""

    axis: int = arg(INTEGER, -1)

    def output_type(self, *xs: TensorType) -> TensorType:
        first = xs[0]
        (place,) = positions(self, first, self.axis)
        if place == 0:
            raise self.fault("expected another axis than that of the batch, received 0", "axis")
        try:
            rest = [self._others(column) for column in zip(*(x.shape for x in xs), strict=True)]
            shape = [batch_of(xs), *rest[1:]]
            if any(size == "" for size in shape[:place] + shape[place + 1 :]):
                raise ValueError
        except ValueError:
            message = f"expected shapes that differ in axis {self.axis} at most, received"
            raise self.fault(f"{message} {listed(xs)}") from None
        sizes = [x.shape[place] for x in xs]
        fixed = [size for size in sizes if isinstance(size, int)]
        shape[place] = sum(fixed) if len(fixed) == len(sizes) else None
        return replace(first, shape=tuple(shape), dtype=self.result_dtype(xs))

    @staticmethod
    def _others(sizes: tuple[Dim | None, ...]) -> Dim | None:
        """The one size of an axis that is not the one of the layer; empty if there are several."""
        fixed = {size for size in sizes if isinstance(size, int)}
        if len(fixed) > 1:
            return ""
        return fixed.pop() if fixed else sizes[0]

    def relayout(self, perm: Permutation) -> Self:
        return replace(self, axis=moved(self.axis, perm))

    def joins_features(self, rank: int) -> bool:
        """Whether the features of each step stand side by side, and not the steps."""
        return self.axis % rank == rank - 1

    def joined_mask(self, xs: Types, masks: Masks) -> TensorType | None:
        for x, mask in zip(xs, masks, strict=True):
            if mask is not None:
                self.check_steps(x, mask)
        known = [mask for mask in masks if mask is not None]
        # A step with features that no mask leaves out is kept: every one, and that is no mask.
        if not known or (self.joins_features(xs[0].rank) and None in masks):
            return None
        return replace(known[0], shape=self.output_type(*xs).shape[:-1])


def _axes_of_two(value: Any, rank: int) -> int | tuple[int, int]:
    if not isinstance(value, (list, tuple)):
        return int(INTEGER.parse(value, rank))
    first, second = (int(INTEGER.parse(axis, rank)) for axis in value)
    return first, second


PAIR = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
AXES_OF_TWO = Kind(
    "an axis, or one of each input",
    _axes_of_two,
    lambda rank: {"anyOf": [{"type": "integer"}, PAIR]},
)


class Dot(_OfSeveral):
    """The sums of the products along an axis of each of two; all other axes stay."""

    inputs = (2, 2)
    layout = "spec"
    floating_only = True

    axes: int | tuple[int, int] = arg(AXES_OF_TWO)
    normalize: bool = arg(BOOLEAN, False)

    def places(self, x: TensorType, y: TensorType) -> tuple[int, int]:
        """The axis of each input that is summed over, counted from the batch."""
        pair = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        first, second = (
            positions(self, of, axis, "axes")[0] for of, axis in zip((x, y), pair, strict=True)
        )
        return first, second

    def output_type(self, *xs: TensorType) -> TensorType:
        x, y = xs
        first, second = self.places(x, y)
        if 0 in (first, second):
            raise self.fault("expected other axes than that of the batch, received 0", "axes")
        if x.keras_shape[first] != y.keras_shape[second]:
            message = f"expected the same size along axis {first} of the first input and {second}"
            raise self.fault(f"{message} of the second, received {listed(xs)}", "axes")
        try:
            batch = batch_of(xs)
        except ValueError:
            raise self.fault(f"expected one batch size, received {listed(xs)}") from None
        rest = (
            *x.shape[1:first],
            *x.shape[first + 1 :],
            *y.shape[1:second],
            *y.shape[second + 1 :],
        )
        shape = (batch, *(rest or (1,)))
        return TensorType(shape, axis_names(len(shape)), self.result_dtype(xs))


def add(inputs: Any, **arguments: Any) -> Any:
    """`Add` called on a list of tensors."""
    return Add(**arguments)(inputs)


def subtract(inputs: Any, **arguments: Any) -> Any:
    """`Subtract` called on a list of two tensors."""
    return Subtract(**arguments)(inputs)


def multiply(inputs: Any, **arguments: Any) -> Any:
    """`Multiply` called on a list of tensors."""
    return Multiply(**arguments)(inputs)


def average(inputs: Any, **arguments: Any) -> Any:
    """`Average` called on a list of tensors."""
    return Average(**arguments)(inputs)


def maximum(inputs: Any, **arguments: Any) -> Any:
    """`Maximum` called on a list of tensors."""
    return Maximum(**arguments)(inputs)


def minimum(inputs: Any, **arguments: Any) -> Any:
    """`Minimum` called on a list of tensors."""
    return Minimum(**arguments)(inputs)


def concatenate(inputs: Any, axis: int = -1, **arguments: Any) -> Any:
    """`Concatenate` called on a list of tensors."""
    return Concatenate(axis=axis, **arguments)(inputs)


def dot(inputs: Any, axes: int | tuple[int, int] = -1, **arguments: Any) -> Any:
    """`Dot` called on a list of two tensors."""
    return Dot(axes=axes, **arguments)(inputs)
