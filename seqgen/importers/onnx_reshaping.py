"""Operators of ONNX that move values without changing them."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqgen.importers.onnx_arithmetic import together
from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Sizes, Stack, Value, plain, regrouped
from seqgen.importers.onnx_walk import Converter, Walk
from seqgen.ir.types import Dim

# More copies of a tensor beside each other are no graph that a person reads.
MOST_COPIES = 16


def transpose(walk: Walk, operator: Operator) -> Value:
    """The tensor as it is, with its axes in another order."""
    x = walk.value(operator)
    perm = operator.integers("perm", x.rank, tuple(range(x.rank))[::-1])
    if sorted(perm) != list(range(x.rank)):
        operator.refuse(f"expected each axis of {x.shown} once, received {perm}", "perm")
    return replace(x, axes=tuple(x.axes[axis] for axis in perm))


def _to_shape(walk: Walk, operator: Operator, x: Value, target: Sequence[Dim]) -> Value:
    """The tensor in another shape: as it is where only whole axes are merged, else by a layer."""
    axes = regrouped(x, target)
    if axes is not None:
        return replace(x, axes=axes)
    x = walk.in_order(x)
    rest = _rest(operator, x, target)
    if target[:1] not in ([walk.batch], [-1]):
        message = f"{x.shown} to {list(target)} does not keep the batch"
        operator.refuse(f"{message}, which layers do")
    sizes = rest[1:]
    if all(isinstance(size, int) for size in (*x.dims[1:], *sizes)):
        if math.prod(map(int, sizes)) != math.prod(map(int, x.dims[1:])):
            operator.refuse(f"{x.shown} to {list(target)} would mix samples of a batch")
    elif target[0] == -1:
        operator.refuse(f"{x.shown} to {list(target)} leaves the batch open as well as other sizes")
    return walk.reshaped(x, sizes, plain(len(target)))


def _rest(operator: Operator, x: Value, target: Sequence[Dim]) -> list[Dim]:
    """A shape with the size that -1 stands for, where all others are known."""
    sizes = list(target)
    others = [size for size in sizes[1:] if size != -1]
    known = [*x.dims[1:], *others]
    if -1 in sizes[1:] and all(isinstance(size, int) for size in known):
        whole, part = math.prod(map(int, x.dims[1:])), math.prod(map(int, others))
        if part < 1 or whole % part:
            operator.refuse(f"{x.shown} does not fill {list(target)}")
        sizes[sizes.index(-1, 1)] = whole // part
    return sizes


def reshape(walk: Walk, operator: Operator) -> Value:
    """The tensor in a shape that is known, but for open sizes."""
    x = walk.value(operator)
    given = walk.read(operator, 1) if operator.reads(1) else operator.integers("shape")
    if not isinstance(given, Sizes | Array | tuple):
        operator.refuse("its shape hangs on the data; export it with fixed sizes")
    values = given.values if isinstance(given, Sizes) else given
    values = values.values() if isinstance(values, Array) else np.array(values, dtype=object)
    target: list[Dim] = [size if isinstance(size, str) else int(size) for size in values.ravel()]
    if not operator.integer("allowzero"):
        fits = all(at < x.rank for at, size in enumerate(target) if size == 0)
        if not fits:
            operator.refuse(f"expected no more axes to keep than {x.shown} has, received {target}")
        target = [x.shape[at] if size == 0 else size for at, size in enumerate(target)]
    wrong = [size for size in target if isinstance(size, int) and size < 1 and size != -1]
    if wrong or target.count(-1) > 1 or not target:
        operator.refuse(f"expected sizes of at least 1 and one -1 at most, received {target}")
    return _to_shape(walk, operator, x, target)


def flatten(walk: Walk, operator: Operator) -> Value:
    """The axes before and from one on merged."""
    x = walk.value(operator)
    axis = operator.integer("axis", 1)
    axis = x.rank if axis == x.rank else walk.axis(operator, x, axis)
    merged = (x.axes[:axis], x.axes[axis:])
    axes = tuple(tuple(place for group in groups for place in group) for groups in merged)
    return replace(x, axes=axes)


def squeeze(walk: Walk, operator: Operator) -> Value:
    """The tensor without some axes of size 1."""
    x = walk.value(operator)
    axes = walk.integers(operator, 1, "axes")
    if axes is None:
        axes = tuple(at for at, size in enumerate(x.shape) if size == 1)
    gone = {walk.axis(operator, x, axis, "axes") for axis in axes}
    rest = [at for at in range(x.rank) if at not in gone]
    if any(x.shape[at] != 1 for at in gone):
        operator.refuse(f"expected axes of size 1 of {x.shown}, received {axes}", "axes")
    if any(0 in x.axes[at] for at in gone) or not rest:
        operator.refuse(f"it takes the batch off {x.shown}, which layers keep", "axes")
    groups = [x.axes[at] for at in rest]
    # What the spec has as axes of size 1 is merged into the axis before it.
    for at in sorted(at for at in gone if x.axes[at]):
        before = max((place for place, other in enumerate(rest) if other < at), default=-1)
        if (before < 0 or groups[before][:1] == (0,)) and len(rest) > before + 1:
            groups[before + 1] = x.axes[at] + groups[before + 1]
        else:
            groups[before] += x.axes[at]
    return replace(x, axes=tuple(groups))


def unsqueeze(walk: Walk, operator: Operator) -> Value:
    """The tensor with axes of size 1 more."""
    x = walk.value(operator)
    axes = walk.integers(operator, 1, "axes") or ()
    rank = x.rank + len(axes)
    if any(not -rank <= axis < rank for axis in axes):
        operator.refuse(f"expected axes of a result with {rank} axes, received {axes}", "axes")
    new, rest = {axis % rank for axis in axes}, iter(x.axes)
    if len(new) != len(axes):
        operator.refuse(f"expected different axes, received {axes}", "axes")
    return replace(x, axes=tuple(() if at in new else next(rest) for at in range(rank)))


def expand(walk: Walk, operator: Operator) -> Value:
    """A RepeatVector, where vectors are repeated along an axis that is new."""
    x, shape = walk.value(operator), walk.weight(operator, 1, 1).values()
    grown = [at for at, size in enumerate(shape, x.rank - len(shape)) if size not in (1, -1)]
    target = {at: int(shape[at - x.rank]) for at in grown if at >= 0}
    changed = {at: size for at, size in target.items() if size != x.shape[at]}
    if not changed and len(shape) <= x.rank:
        return x
    if len(shape) > x.rank or x.axes != ((0,), (), (1,)) or list(changed) != [1]:
        message = f"{x.shown} to {shape.tolist()}: Keras's RepeatVector repeats vectors along a"
        operator.refuse(f"{message} new axis behind the batch")
    return walk.layer("RepeatVector", x, n=changed[1], axes=plain(3))


def tile(walk: Walk, operator: Operator) -> Value:
    """A RepeatVector, or a tensor beside itself along one axis."""
    x = walk.value(operator)
    counts = list(walk.integers(operator, 1, "repeats") or ())
    if len(counts) != x.rank or min(counts) < 1:
        operator.refuse(f"expected how often each axis of {x.shown} repeats, received {counts}")
    repeated = [at for at, count in enumerate(counts) if count != 1]
    if not repeated:
        return x
    (axis, *more), count = repeated, max(counts)
    if x.axes == ((0,), (), (1,)) and repeated == [1]:
        return walk.layer("RepeatVector", x, n=count, axes=plain(3))
    if more or 0 in x.axes[axis] or count > MOST_COPIES:
        message = f"expected one axis behind the batch that repeats {MOST_COPIES} times at most"
        operator.refuse(f"{message}, received {counts}")
    if not x.is_plain:
        x = walk.in_order(x)
    (place,) = x.axes[axis]
    return walk.layer("Concatenate", *[x] * count, axis=-1 if place == len(x.dims) - 1 else place)


def _is_of_directions(x: Value) -> bool:
    """Whether a tensor may be the last states of a layer: one or two before the batch."""
    return x.rank == 3 and x.axes[1] == (0,) and x.shape[0] in (1, 2)


def _side_by_side(xs: Sequence[Value], axis: int) -> Value | None:
    """The tensor whose parts along the axis behind the batch are put beside each other again."""
    made = [x.made for x in xs]
    first = made[0]
    if first is None or first.kind != "ops.get_item" or axis != 1:
        return None
    source = first.inputs[0]
    if len(source.dims) != 3 or source.dims[1] != len(xs):
        return None
    for at, (x, part) in enumerate(zip(xs, made, strict=True)):
        own = part is not None and part.inputs[0].tensor is source.tensor
        keys = [(slice(None), place, slice(None)) for place in (at, at - len(xs))]
        if not own or x.axes != plain(2) or part is None or part.arguments["key"] not in keys:
            return None
    return replace(source, axes=((0,), (1, 2)))


def concat(walk: Walk, operator: Operator) -> Value | Stack:
    """A Concatenate."""
    xs = [walk.value(operator, place) for place in range(len(operator.inputs))]
    axis = walk.axis(operator, xs[0], operator.integer("axis"))
    if len(xs) == 1:
        return xs[0]
    if axis == 0 and all(map(_is_of_directions, xs)):
        return Stack(tuple(xs))
    whole = _side_by_side(xs, axis)
    if whole is not None:
        return whole
    xs = together(walk, operator, xs)
    if any(not x.is_plain for x in xs):
        xs = [walk.in_order(x) for x in xs]
    (place,) = xs[0].axes[axis]
    last = len(xs[0].dims) - 1
    return walk.layer("Concatenate", *xs, axis=-1 if place == last else place)


CONVERTERS: dict[str, Converter] = {
    "Concat": concat,
    "Expand": expand,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
