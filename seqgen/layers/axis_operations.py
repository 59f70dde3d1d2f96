"""Operations of keras.ops that go along axes, move them or cut them."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

import math
from dataclasses import replace
from typing import Any, Self

from seqgen.ir.types import Dim, Permutation, TensorType
from seqgen.layers import merging
from seqgen.layers.arguments import AXES, BOOLEAN, INTEGER, arg, integers, null, optional
from seqgen.layers.axes import all_moved, positions
from seqgen.layers.keys import KEY, WHOLE, Key, is_index, spelled_out, without_ends
from seqgen.layers.operations import Operation, broadcast_shape, check_floating

REDUCED = optional(AXES)
ORDER = optional(integers(-64, "each axis once, the batch being 0"))
NEW_SHAPE = integers(-1, "the sizes with that of the batch, which is -1 if it is open")
INITIAL = null("give it as an operand of ops.maximum or ops.minimum")
BATCH_STAYS = "the batch has to stay the first axis"


class _Reduction(Operation):
    axis: int | tuple[int, ...] | None = arg(REDUCED, None)
    keepdims: bool = arg(BOOLEAN, False)

    @property
    def any_order(self) -> bool:
        """It may be the features that it goes along."""
        return False

    def reduced(self, x: TensorType) -> tuple[int, ...]:
        """The axes that it goes along, counted from the batch."""
        places = (0,) if self.axis is None else positions(self, x, self.axis)
        if 0 in places:
            raise self.fault(f"{BATCH_STAYS}; expected axes behind it", "axis")
        return places

    def output_type(self, x: TensorType) -> TensorType:
        check_floating(self, (x,))
        places, kept = self.reduced(x), (1,) if self.keepdims else ()
        sizes = ((size,) if axis not in places else kept for axis, size in enumerate(x.shape))
        return x.with_sizes([size for some in sizes for size in some][1:])

    def takes(self, perm: Permutation) -> bool:
        """Whether the axes that are left stay in order."""
        if self.keepdims or self.axis is None:
            return True
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        gone = {axis % len(perm) for axis in axes}
        left = [axis for axis in perm if axis not in gone]
        return left == sorted(left)

    def relayout(self, perm: Permutation) -> Self:
        return self if self.axis is None else replace(self, axis=all_moved(self.axis, perm))


class Mean(_Reduction):
    """The mean along axes."""


class Sum(_Reduction):
    """The sum along axes."""


class Max(_Reduction):
    """The largest along axes."""

    initial: None = arg(INITIAL, None)


class Min(_Reduction):
    """The smallest along axes."""

    initial: None = arg(INITIAL, None)


class Concatenate(Operation, merging.Concatenate):
    """One behind the other along an axis."""

    supports_masking = False
    tensors = ("xs",)

    axis: int = arg(INTEGER, 0)


# Shapes


class _Moving(Operation):
    layout = "spec"
    boolean_inputs = (0,)


class Reshape(_Moving):
    """The same values in the same order with other axes."""

    newshape: tuple[int, ...] = arg(NEW_SHAPE)

    def output_type(self, x: TensorType) -> TensorType:
        batch, *sizes = self.newshape or (0,)
        if batch not in (-1, x.shape[0]) or (batch == -1 and -1 in sizes):
            message = f"{BATCH_STAYS}: expected -1 and known sizes for an input {x.keras_shape}"
            raise self.fault(f"{message}, received {self.newshape}", "newshape")
        if not x.static:
            raise self.fault(f"expected an input of known sizes, received {x.keras_shape}")
        total, known = math.prod(x.sizes), math.prod(size for size in sizes if size != -1)
        follows = total // known if known else 0
        made = tuple(follows if size == -1 else size for size in sizes)
        if math.prod(made) != total:
            message = f"expected {total} values in each sample, as in the input {x.keras_shape}"
            raise self.fault(f"{message}, received {self.newshape}", "newshape")
        return x.with_sizes(made, "channels_last")


class Transpose(_Moving):
    """The axes in another order."""

    axes: tuple[int, ...] | None = arg(ORDER, None)

    def output_type(self, x: TensorType) -> TensorType:
        return x.permuted((0, *self.dims(x)))

    def dims(self, x: TensorType) -> tuple[int, ...]:
        """Which axis of the input stands at each place behind the batch."""
        axes = tuple(range(x.rank))[::-1] if self.axes is None else self.axes
        if len(axes) != x.rank:
            message = f"expected an order of the {x.rank} axes of an input {x.keras_shape}"
            raise self.fault(f"{message}, received {axes}", "axes")
        first, *rest = positions(self, x, axes, "axes")
        if first != 0:
            raise self.fault(f"{BATCH_STAYS}, received {axes}", "axes")
        return tuple(rest)


class ExpandDims(_Moving):
    """With one or more axes of size 1 more."""

    axis: int | tuple[int, ...] = arg(AXES)

    def added(self, x: TensorType) -> tuple[int, ...]:
        """Where the new axes stand in the result."""
        count = 1 if isinstance(self.axis, int) else len(self.axis)
        made = replace(x, shape=(*x.shape, *(1,) * count))
        places = positions(self, made, self.axis)
        if 0 in places:
            raise self.fault(f"{BATCH_STAYS}; expected a place behind it", "axis")
        return tuple(sorted(places))

    def output_type(self, x: TensorType) -> TensorType:
        sizes = list(x.shape)
        for place in self.added(x):
            sizes.insert(place, 1)
        return x.with_sizes(sizes[1:])


class Squeeze(_Moving):
    """Without axes of size 1."""

    axis: int | tuple[int, ...] | None = arg(REDUCED, None)

    def dropped(self, x: TensorType) -> tuple[int, ...]:
        """The axes that go."""
        if self.axis is None:
            message = "expected the axes: without them Keras drops the batch too where it is 1"
            raise self.fault(message, "axis")
        places = positions(self, x, self.axis)
        if 0 in places:
            raise self.fault(f"{BATCH_STAYS}; expected axes behind it", "axis")
        if any(x.shape[place] != 1 for place in places):
            message = f"expected axes of size 1, received {self.axis} for an input {x.keras_shape}"
            raise self.fault(message, "axis")
        return tuple(sorted(places))

    def output_type(self, x: TensorType) -> TensorType:
        places = self.dropped(x)
        return x.with_sizes(size for axis, size in enumerate(x.shape) if axis not in (0, *places))


class Matmul(_Moving):
    """The product of matrices, which the last two axes hold."""

    tensors = ports = ("x1", "x2")
    inputs = (2, 2)
    boolean_inputs = ()

    def output_type(self, *xs: TensorType) -> TensorType:
        check_floating(self, xs)
        first, second = xs
        shapes = f"{first.keras_shape} and {second.keras_shape}"
        if min(first.rank, second.rank) < 3:
            raise self.fault(f"expected a batch of matrices on both sides, received {shapes}")
        inner = {first.shape[-1], second.shape[-2]}
        if len({size for size in inner if isinstance(size, int)}) > 1:
            raise self.fault(f"expected as many columns as rows, received {shapes}")
        before = tuple(replace(x, shape=x.shape[:-2], axes=x.axes[:-2]) for x in xs)
        outer = broadcast_shape(self, before)
        return replace(first, shape=(*outer, first.shape[-2], second.shape[-1]))


class GetItem(Operation):
    """Slices of `x`, as between brackets."""

    boolean_inputs = (0,)

    key: Key = arg(KEY)

    @property
    def any_order(self) -> bool:
        """It takes features by their places."""
        return False

    def items(self, x: TensorType) -> Key:
        """What is taken along each axis of the input, and new axes between."""
        try:
            items = spelled_out(self.key, x.rank)
        except ValueError:
            message = f"expected at most {x.rank} items for an input {x.keras_shape}"
            raise self.fault(message, "key") from None
        first = items[0]
        if not isinstance(first, slice) or first.indices(2) != (0, 2, 1):
            raise self.fault(f"{BATCH_STAYS}, and as it is: expected ':' for it", "key")
        return items

    def output_type(self, x: TensorType) -> TensorType:
        sizes, left = [], iter(x.shape)
        for item in self.items(x):
            size = 1 if item is None else next(left)
            if is_index(item):
                self._check_index(item, size, x)
            else:
                sizes.append(_taken(item, size))
        return x.with_sizes(sizes[1:])

    def _check_index(self, index: Any, size: Dim | None, x: TensorType) -> None:
        if isinstance(size, int) and not -size <= index < size:
            message = f"expected an index from {-size} to {size - 1} for an input {x.keras_shape}"
            raise self.fault(f"{message}, received {index}", "key")

    def takes(self, perm: Permutation) -> bool:
        """Whether the axes that are left stay in order, and no new ones stand between."""
        items = spelled_out(self.key, len(perm))
        if None in items:
            return False
        left = [axis for axis in perm if not is_index(items[axis])]
        return len(left) == len(perm) or left == sorted(left)

    def relayout(self, perm: Permutation) -> Self:
        items = spelled_out(self.key, len(perm))
        if None in items:
            return self
        return replace(self, key=without_ends(tuple(items[axis] for axis in perm)))


def _taken(item: Any, size: Dim | None) -> Dim | None:
    """How many a slice takes of an axis; None if it is open."""
    if item in (None, WHOLE):
        return size
    return len(range(*item.indices(size))) if isinstance(size, int) else None
