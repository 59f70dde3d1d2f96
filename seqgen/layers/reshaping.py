"""Layers that move values without changing them, and those that cut, pad and repeat."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

import math
from collections.abc import Callable
from typing import Any

from seqgen.errors import Fault
from seqgen.ir.types import Dim, TensorType
from seqgen.layers.arguments import (
    DATA_FORMAT,
    MARGINS,
    POSITIVE,
    SPATIAL,
    Kind,
    arg,
    choice,
    open_sizes,
)
from seqgen.layers.base import Layer
from seqgen.layers.spatial import _Spatial

INTERPOLATION = choice(
    "nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area", any_case=True
)
TARGET_SHAPE = open_sizes(-1, "a sequence of sizes, -1 for one that follows from the others")


def _dims(value: Any, rank: int) -> tuple[int, ...]:
    dims = tuple(value)
    if sorted(dims) != list(range(1, len(dims) + 1)):
        raise ValueError
    return dims


DIMS = Kind(
    "each axis behind the batch once, counted from 1",
    _dims,
    lambda rank: {"type": "array", "items": {"type": "integer", "minimum": 1}},
)


class Flatten(Layer):
    """All axes but the batch as one, channels last."""

    layout = "spec"

    data_format: str = arg(DATA_FORMAT, None)

    @property
    def any_order(self) -> bool:
        """A batch of vectors stays as it is."""
        return True

    def output_type(self, x: TensorType) -> TensorType:
        if x.rank == 2:
            return x
        return x.with_sizes((math.prod(x.sizes) if x.static else None,))


class Reshape(Layer):
    """The same values in the same order with other axes behind the batch."""

    layout = "spec"

    target_shape: tuple[int | None, ...] = arg(TARGET_SHAPE)

    def check(self) -> tuple[Fault, ...]:
        if sum(size in (-1, None) for size in self.target_shape) > 1:
            message = f"expected at most one -1, received {self.target_shape}"
            return (Fault(message, "target_shape"),)
        return ()

    def output_type(self, x: TensorType) -> TensorType:
        known = math.prod(size for size in self.target_shape if size not in (-1, None))
        follows = self.followed(x, known)
        sizes = (follows if size == -1 else size for size in self.target_shape)
        return x.with_sizes(sizes, "channels_last")

    def followed(self, x: TensorType, known: int) -> Dim | None:
        """The size that -1 stands for; None if it hangs on an open size or nothing asks for it."""
        if not x.static:
            open_ones = [size for size in x.sizes if not isinstance(size, int)]
            rest = math.prod(size for size in x.sizes if isinstance(size, int))
            return open_ones[0] if len(open_ones) == 1 and rest == known else None
        total = math.prod(x.sizes)
        free = -1 in self.target_shape or None in self.target_shape
        if total % max(known, 1) or (total != known and not free) or (total and not known):
            message = f"expected {total} values as in the input {x.keras_shape}, received "
            raise self.fault(f"{message}{self.target_shape}", "target_shape")
        return total // known if known else None


class Permute(Layer):
    """The axes behind the batch in another order."""

    layout = "spec"

    dims: tuple[int, ...] = arg(DIMS)

    def output_type(self, x: TensorType) -> TensorType:
        if x.rank != len(self.dims) + 1:
            message = f"expected an order of the {x.rank - 1} axes behind the batch, received "
            raise self.fault(f"{message}{self.dims} for an input {x.keras_shape}", "dims")
        return x.permuted((0, *self.dims))


class RepeatVector(Layer):
    """The input `n` times along a new axis."""

    layout = "spec"

    n: int = arg(POSITIVE)

    def output_type(self, x: TensorType) -> TensorType:
        if x.rank != 2:
            raise self.fault(f"expected an input with 2 axes, received {x.keras_shape}")
        return x.with_sizes((self.n, *x.sizes))


class _Resized(_Spatial):
    """A layer that changes each spatial size by an amount of its own."""

    def change(self, x: TensorType, amounts: Any, rule: Callable[[int, Any], int]) -> TensorType:
        """Sizes after `rule(size, amount)`; an open one stays open, and the same if it stays."""
        sizes = tuple(
            (
                rule(size, amount)
                if isinstance(size, int)
                else (size if rule(1, amount) == 1 else None)
            )
            for size, amount in zip(self.spatial_sizes(x), amounts, strict=True)
        )
        return self.resized(x, sizes)


class _Cropping(_Resized):
    def output_type(self, x: TensorType) -> TensorType:
        y = self.change(x, self.cropping, lambda size, cut: size - sum(cut))
        if any(isinstance(size, int) and size < 1 for size in self.spatial_sizes(y)):
            message = f"expected less than the input has, {x.keras_shape}, received {self.cropping}"
            raise self.fault(message, "cropping")
        return y


class Cropping1D(_Cropping):
    """Cuts steps off both ends."""

    rank = 1
    cropping: tuple[tuple[int, int], ...] = arg(MARGINS, (1, 1))


class Cropping2D(_Cropping):
    """Cuts rows and columns off all sides."""

    rank = 2
    cropping: tuple[tuple[int, int], ...] = arg(MARGINS, ((0, 0), (0, 0)))
    data_format: str = arg(DATA_FORMAT, None)


class Cropping3D(_Cropping):
    """Cuts slices off all sides."""

    rank = 3
    cropping: tuple[tuple[int, int], ...] = arg(MARGINS, ((1, 1), (1, 1), (1, 1)))
    data_format: str = arg(DATA_FORMAT, None)


class _ZeroPadding(_Resized):
    padding: tuple[tuple[int, int], ...] = arg(MARGINS, 1)
    data_format: str = arg(DATA_FORMAT, None)

    def output_type(self, x: TensorType) -> TensorType:
        return self.change(x, self.padding, lambda size, more: size + sum(more))


class ZeroPadding1D(_ZeroPadding):
    """Adds steps of zeros at both ends."""

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Adds rows and columns of zeros on all sides."""

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Adds slices of zeros on all sides."""

    rank = 3


class _UpSampling(_Resized):
    def output_type(self, x: TensorType) -> TensorType:
        factors = (self.size,) if isinstance(self.size, int) else self.size
        return self.change(x, factors, lambda size, factor: size * factor)


class UpSampling1D(_UpSampling):
    """Each step `size` times."""

    rank = 1
    size: int = arg(POSITIVE, 2)


class UpSampling2D(_UpSampling):
    """Rows and columns `size` times as many, repeated or interpolated."""

    rank = 2
    size: tuple[int, ...] = arg(SPATIAL, 2)
    data_format: str = arg(DATA_FORMAT, None)
    interpolation: str = arg(INTERPOLATION, "nearest")


class UpSampling3D(_UpSampling):
    """Each value `size` times along each spatial axis."""

    rank = 3
    size: tuple[int, ...] = arg(SPATIAL, 2)
    data_format: str = arg(DATA_FORMAT, None)
