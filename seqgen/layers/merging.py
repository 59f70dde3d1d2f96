"""Layers that make one tensor of several."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from seqgen.ir.types import Dim, Permutation, TensorType
from seqgen.layers.arguments import INTEGER, arg
from seqgen.layers.axes import moved, positions
from seqgen.layers.base import Layer

MANY = 2**31


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


def batch_of(xs: tuple[TensorType, ...]) -> Dim | None:
    """The size of the batch: the one that is known, if one is.

    Raises:
        ValueError: There are several.
    """
    sizes = {x.shape[0] for x in xs}
    fixed = {size for size in sizes if isinstance(size, int)}
    if len(fixed) > 1:
        raise ValueError
    return fixed.pop() if fixed else xs[0].shape[0]


class _OfSeveral(Layer):
    supports_masking = True
    inputs = (1, MANY)

    @property
    def any_order(self) -> bool:
        """The features of all inputs would have to be in the same order."""
        return False


class _Merge(_OfSeveral):
    """Computes number by number; axes are added behind the batch where one has fewer."""

    def output_type(self, *xs: TensorType) -> TensorType:
        largest = max(xs, key=lambda x: x.rank)
        filled = [(1,) * (largest.rank - x.rank) + x.sizes for x in xs]
        try:
            sizes = [broadcast(column) for column in zip(*filled, strict=True)]
            shape = (batch_of(xs), *sizes)
        except ValueError:
            shapes = ", ".join(str(x.keras_shape) for x in xs)
            raise self.fault(f"expected shapes that go together, received {shapes}") from None
        return replace(largest, shape=shape)

    def joined_mask(
        self, xs: tuple[TensorType, ...], masks: tuple[TensorType | None, ...]
    ) -> TensorType | None:
        return None if None in masks else masks[0]


class Add(_Merge):
    """The sum."""


class Subtract(_Merge):
    """The first without the second."""

    inputs = (2, 2)


class Multiply(_Merge):
    """The product."""


class Average(_Merge):
    """The mean."""


class Maximum(_Merge):
    """The largest."""


class Minimum(_Merge):
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
            shapes = ", ".join(str(x.keras_shape) for x in xs)
            message = f"expected shapes that differ in axis {self.axis} at most, received {shapes}"
            raise self.fault(message) from None
        sizes = [x.shape[place] for x in xs]
        fixed = [size for size in sizes if isinstance(size, int)]
        shape[place] = sum(fixed) if len(fixed) == len(sizes) else None
        return replace(first, shape=tuple(shape))

    @staticmethod
    def _others(sizes: tuple[Dim | None, ...]) -> Dim | None:
        """The one size of an axis that is not the one of the layer; empty if there are several."""
        fixed = {size for size in sizes if isinstance(size, int)}
        if len(fixed) > 1:
            return ""
        return fixed.pop() if fixed else sizes[0]

    def relayout(self, perm: Permutation) -> Self:
        return replace(self, axis=moved(self.axis, perm))
