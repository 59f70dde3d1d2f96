"""Layers that bring data into the range that a model works in."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from dataclasses import replace
from typing import Any

import numpy as np

from seqgen.errors import Fault
from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.arguments import AXES, BOOLEAN, NUMBERS, Kind, arg, optional, shape_of
from seqgen.layers.axes import check_spreads, computed, known_sizes, positions, spreads
from seqgen.layers.base import Layer, Weight
from seqgen.layers.objects import Named

STATISTICS = optional(NUMBERS)


def _kept(value: Any, rank: int) -> tuple[int, ...]:
    if value is None:
        return ()
    if isinstance(value, (tuple, list)) and not value:
        return ()
    axes = AXES.parse(value, rank)
    return (axes,) if isinstance(axes, int) else axes


KEPT_AXES = Kind(
    "an axis or several different axes, or null for none",
    _kept,
    lambda rank: {
        "anyOf": [
            {"type": ["integer", "null"]},
            {"type": "array", "items": {"type": "integer"}},
        ]
    },
)


def _nested(values: Any) -> Any:
    return tuple(map(_nested, values)) if isinstance(values, list) else values


class Rescaling(Layer):
    """`x * scale + offset`; arrays lie along the last axes, as in NumPy."""

    supports_masking = True

    scale: Any = arg(NUMBERS)
    offset: Any = arg(NUMBERS, 0.0)

    @property
    def any_order(self) -> bool:
        """Not with arrays, which tell features apart."""
        return not (shape_of(self.scale) or shape_of(self.offset))

    def output_type(self, x: TensorType) -> TensorType:
        for name in ("scale", "offset"):
            check_spreads(self, name, x)
        return computed(self, x)

    def relayout(self, perm: Permutation) -> "Rescaling":
        return replace(
            self, scale=self._turned(self.scale, perm), offset=self._turned(self.offset, perm)
        )

    def _turned(self, values: Any, perm: Permutation) -> Any:
        if not shape_of(values) or perm == tuple(range(len(perm))):
            return values
        array = np.array(values)
        array = array.reshape((1,) * (len(perm) - array.ndim) + array.shape).transpose(perm)
        return _nested(array.squeeze(0).tolist() if len(array) == 1 else array.tolist())


class Normalization(Layer):
    """`(x - mean) / sqrt(variance)`, by axis; `x * sqrt(variance) + mean` if it is inverted."""

    supports_masking = True

    axis: tuple[int, ...] = arg(KEPT_AXES, -1)
    mean: Any = arg(STATISTICS, None)
    variance: Any = arg(STATISTICS, None)
    invert: bool = arg(BOOLEAN, False)

    def check(self) -> tuple[Fault, ...]:
        if (self.mean is None) != (self.variance is None):
            return (Fault("expected mean and variance together, or neither", "mean"),)
        if self.mean is None:
            return ()
        mean, variance = shape_of(self.mean), shape_of(self.variance)
        if mean != variance:
            return (Fault(f"expected the shape {mean} of mean, received {variance}", "variance"),)
        if len(mean) > len(self.axis):
            message = f"expected no more axes than axis={self.axis} names, received shape {mean}"
            return (Fault(message, "mean"),)
        return ()

    @property
    def any_order(self) -> bool:
        """Not with given arrays, which tell features apart."""
        return not shape_of(self.mean)

    def kept(self, x: TensorType) -> dict[int, int]:
        """Sizes by position of the axes that have statistics of their own."""
        places = tuple(sorted(positions(self, x, self.axis)))
        return dict(zip(places, known_sizes(self, x, places), strict=True))

    def statistics_shape(self, x: TensorType) -> tuple[int, ...]:
        """Shape that mean and variance are brought to, the batch axis included."""
        kept = self.kept(x)
        return tuple(kept.get(axis, 1) for axis in range(x.rank))

    def output_type(self, x: TensorType) -> TensorType:
        sizes = tuple(self.kept(x).values())
        if self.mean is not None and not spreads(shape_of(self.mean), sizes):
            message = f"expected an array that repeats to {sizes}, received {shape_of(self.mean)}"
            raise self.fault(message, "mean")
        return computed(self, x)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        if self.mean is not None:
            return ()
        sizes = tuple(self.kept(x).values())
        return (
            Weight("mean", sizes, Named("Zeros"), trainable=False),
            Weight("variance", sizes, Named("Ones"), trainable=False),
            Weight("count", (), Named("Zeros"), trainable=False, dtype="int64"),
        )
