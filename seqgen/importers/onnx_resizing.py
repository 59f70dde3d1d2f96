"""Operators of ONNX that cut, pad and repeat, in Keras's words."""

from collections.abc import Sequence

import numpy as np

from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_recurrent import last_step
from seqgen.importers.onnx_values import Sizes, Value, product
from seqgen.importers.onnx_walk import Converter, Walk
from seqgen.ir.types import Dim


def _images(walk: Walk, operator: Operator, x: Value, places: Sequence[int]) -> tuple[Value, int]:
    """A tensor whose spatial axes are there, its channels being last, and how many those are."""
    if x.rank not in (3, 4, 5) or 0 in places:
        operator.refuse(f"expected spatial axes of 3 to 5, received {list(places)} of {x.shown}")
    free = [at for at in range(1, x.rank) if at not in places]
    if not free:
        message = f"expected an axis of {x.shown} that stays as it is, received {list(places)}"
        operator.refuse(f"{message}; Keras's layers leave the channels alone")
    last = next((at for at in free if x.axes[at] == (len(x.dims) - 1,)), free[0])
    order = [0, *(at for at in range(1, x.rank) if at != last), last]
    held = x.is_plain and x.axes[0] == (0,) and x.axes[last] == (len(x.dims) - 1,)
    return (x if held else walk.arranged(x, order)), x.rank - 2


def _by_axis(x: Value, pairs: dict[int, tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Amounts by axis of the file as those of the spatial axes of the spec."""
    found = {x.axes[at][0]: pair for at, pair in pairs.items()}
    return tuple(found.get(axis, (0, 0)) for axis in range(1, x.rank - 1))


def pad(walk: Walk, operator: Operator) -> Value:
    """A ZeroPadding, or a Cropping where all amounts are below 0."""
    x = walk.value(operator)
    amounts = walk.integers(operator, 1, "pads") or operator.integers("paddings") or ()
    axes = walk.integers(operator, 3, "axes") or tuple(range(x.rank))
    if len(amounts) != 2 * len(axes):
        operator.refuse(f"expected two amounts for each of {len(axes)} axes, received {amounts}")
    places = [walk.axis(operator, x, axis, "axes") for axis in axes]
    ends = zip(places, zip(amounts[: len(axes)], amounts[len(axes) :], strict=True), strict=True)
    pairs = {at: pair for at, pair in ends if pair != (0, 0)}
    if not pairs:
        return x
    mode, value = operator.text("mode", "constant"), walk.scalar(operator, 2, "value") or 0.0
    least = min(min(pair) for pair in pairs.values())
    if least >= 0 and (mode != "constant" or value != 0):
        said = f"'{mode}'" if mode != "constant" else f"with {value}"
        operator.refuse(f"{said}: Keras's layers pad with zeros only", "mode")
    if least < 0 and any(max(pair) > 0 for pair in pairs.values()):
        operator.refuse(f"expected amounts of one sign, received {amounts}", "pads")
    x, rank = _images(walk, operator, x, list(pairs))
    if least >= 0:
        return walk.layer(f"ZeroPadding{rank}D", x, padding=_by_axis(x, pairs))
    return _cropped(walk, x, rank, {at: (-a, -b) for at, (a, b) in pairs.items()})


def _cropped(walk: Walk, x: Value, rank: int, pairs: dict[int, tuple[int, int]]) -> Value:
    return walk.layer(f"Cropping{rank}D", x, cropping=_by_axis(x, pairs))


def slice_(walk: Walk, operator: Operator) -> Value:
    """A Cropping of images and steps, else the operation that slices."""
    x = walk.value(operator)
    starts, ends = (walk.integers(operator, at + 1, ("starts", "ends")[at]) for at in (0, 1))
    if starts is None or ends is None or len(starts) != len(ends):
        operator.refuse("expected a start and an end for each axis")
    axes = walk.integers(operator, 3, "axes") or tuple(range(len(starts)))
    steps = walk.integers(operator, 4, "steps") or (1,) * len(starts)
    if not len(axes) == len(steps) == len(starts) or 0 in steps:
        operator.refuse(f"expected an axis and a step for each start, received {axes} and {steps}")
    places = [walk.axis(operator, x, axis, "axes") for axis in axes]
    items = {
        at: _taken(x.shape[at], *bounds)
        for at, *bounds in zip(places, starts, ends, steps, strict=True)
    }
    items = {at: item for at, item in items.items() if item != slice(None)}
    last = last_step(walk, x, *next(iter(items.items()))) if len(items) == 1 else None
    if last is not None:
        return last
    cropping = _as_cropping(x, items)
    if cropping is None:
        return walk.cut(x, dict(items)) if items else x
    return _cropped(walk, *_images(walk, operator, x, list(cropping)), cropping)


def _taken(size: Dim, start: int, end: int, step: int) -> slice:
    """A slice as Python has it, the bounds left out that cut nothing off."""
    if isinstance(size, int):
        start, end, step = slice(start, end, step).indices(size)
        whole = (start == 0 and end == size) if step == 1 else False
        last = None if end < 0 or (step > 0 and end == size) else end
        return slice(None) if whole else slice(start, last, None if step == 1 else step)
    far = abs(end) >= np.iinfo(np.int32).max
    first = None if start == 0 and step > 0 else start
    return slice(first, None if far else end, None if step == 1 else step)


def _as_cropping(x: Value, items: dict[int, slice]) -> dict[int, tuple[int, int]] | None:
    """What slices cut off both ends of spatial axes; None if they do something else."""
    last = (len(x.dims) - 1,)
    spatial = all(len(x.axes[at]) == 1 and x.axes[at] not in ((0,), last) for at in items)
    if not (items and spatial and x.is_plain and 3 <= x.rank <= 5):
        return None
    pairs = {at: _cut(x.shape[at], item) for at, item in items.items()}
    found = {at: pair for at, pair in pairs.items() if pair is not None}
    return found if len(found) == len(pairs) else None


def _cut(size: Dim, item: slice) -> tuple[int, int] | None:
    """How much a slice cuts off an axis, before and after; None if that is not all it does."""
    start, end = item.start or 0, item.stop
    if item.step not in (None, 1):
        return None
    if isinstance(size, int):
        return start, size - (size if end is None else end)
    return (start, -(end or 0)) if start >= 0 and (end is None or end < 0) else None


def split(walk: Walk, operator: Operator) -> tuple[Value | None, ...]:
    """Slices one behind the other; those that nothing reads are left out."""
    x = walk.value(operator)
    axis = walk.axis(operator, x, operator.integer("axis"))
    whole, count = x.shape[axis], len(operator.outputs)
    sizes = walk.integers(operator, 1, "split")
    if sizes is None and isinstance(whole, int):
        each = -(-whole // count)
        sizes = tuple(min(each, whole - each * at) for at in range(count))
    if sizes is None or len(sizes) != count or min(sizes) < 1 or sum(sizes) != whole:
        operator.refuse(f"expected sizes of axis {axis} of {x.shown}, received {sizes}", "split")
    ends = np.cumsum(sizes).tolist()
    return tuple(
        walk.cut(x, {axis: slice(end - size, end)}) if walk.followers(name) else None
        for name, size, end in zip(operator.outputs, sizes, ends, strict=True)
    )


def resize(walk: Walk, operator: Operator) -> Value:
    """An UpSampling by whole factors."""
    x = walk.value(operator)
    factors = _factors(walk, operator, x)
    places = [at for at, factor in enumerate(factors) if factor != 1]
    if not places:
        return x
    mode = operator.text("mode", "nearest")
    _check_mode(operator, mode)
    x, rank = _images(walk, operator, x, places)
    by_axis = {x.axes[at][0]: factors[at] for at in places}
    sizes = tuple(by_axis.get(axis, 1) for axis in range(1, rank + 1))
    if mode == "nearest":
        size = sizes[0] if rank == 1 else sizes
        return walk.layer(f"UpSampling{rank}D", x, size=size)
    if rank != 2:
        operator.refuse(f"'{mode}' of {rank} spatial axes; Keras has it for images only", "mode")
    interpolation = "bilinear" if mode == "linear" else "bicubic"
    return walk.layer("UpSampling2D", x, size=sizes, interpolation=interpolation)


def _check_mode(operator: Operator, mode: str) -> None:
    """Refuse places of samples, or ways between them, that Keras does not have."""
    where = operator.text("coordinate_transformation_mode", "half_pixel")
    rounding = operator.text("nearest_mode", "round_prefer_floor")
    if operator.kind == "Upsample" or operator.opset < 11:
        where, rounding = "asymmetric", "floor"
    if mode == "nearest":
        # The middle of a new pixel lies within the old one, however far it is from its middle.
        whole = where == "asymmetric" and rounding == "floor"
        middle = where.startswith(("half_pixel", "pytorch")) and rounding.startswith("round")
        if not (whole or middle):
            message = f"'{where}' with '{rounding}': Keras repeats each value"
            operator.refuse(message, "coordinate_transformation_mode")
        return
    if mode not in ("linear", "cubic"):
        operator.refuse(f"'{mode}': Keras has nearest, and linear and cubic for images", "mode")
    if where not in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"):
        message = f"'{where}': Keras lays the middles of pixels onto each other"
        operator.refuse(message, "coordinate_transformation_mode")
    if mode == "cubic" and not (
        operator.real("cubic_coeff_a", -0.75) == -0.5 and operator.integer("exclude_outside")
    ):
        hint = "Keras's has cubic_coeff_a -0.5 and exclude_outside 1, which PyTorch's has not"
        operator.refuse(f"'cubic': {hint}", "mode")


def _factors(walk: Walk, operator: Operator, x: Value) -> list[int]:
    """By how much each axis grows."""
    at = 1 if operator.kind == "Upsample" or operator.opset < 11 else 2
    scales = walk.array(operator, at)
    scales = None if scales is None or not scales.size else scales
    given: list[float] | None = None if scales is None else [float(s) for s in scales.values()]
    if given is None:
        given = list(operator.attributes.get("scales") or ()) or _of_sizes(walk, operator, x)
    axes = operator.integers("axes", None, tuple(range(len(given))))
    if len(given) != len(axes) or len(given) > x.rank:
        operator.refuse(f"expected a factor for each axis of {x.shown}, received {given}")
    if any(factor < 1 or factor != int(factor) for factor in given):
        operator.refuse(f"expected whole factors of an input {x.shown}, received {given}")
    places = [walk.axis(operator, x, axis, "axes") for axis in axes]
    factors = dict(zip(places, map(int, given), strict=True))
    return [factors.get(place, 1) for place in range(x.rank)]


def _of_sizes(walk: Walk, operator: Operator, x: Value) -> list[float]:
    """Factors that follow from the sizes of the result."""
    read = walk.read(operator, 3)
    if not isinstance(read, Sizes | Array):
        operator.refuse("its sizes hang on the data; export it with fixed sizes")
    wanted = read.values.tolist() if isinstance(read, Sizes) else read.values().tolist()
    axes = operator.integers("axes", None, tuple(range(len(wanted))))
    policy = operator.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        operator.refuse(f"expected 'stretch', received '{policy}'", "keep_aspect_ratio_policy")
    places = [walk.axis(operator, x, axis, "axes") for axis in axes]
    return [_ratio(operator, size, x.shape[at]) for size, at in zip(wanted, places, strict=True)]


def _ratio(operator: Operator, after: Dim, before: Dim) -> float:
    if after == before:
        return 1.0
    if isinstance(after, str) or isinstance(before, str):
        known = str(before)
        factor = str(after).removeprefix(f"{known}*")
        if factor.isdigit() and product([before, int(factor)]) == after:
            return float(factor)
        return operator.refuse(f"expected known sizes, received {before} and {after}")
    return after / before


CONVERTERS: dict[str, Converter] = {
    "Pad": pad,
    "Resize": resize,
    "Slice": slice_,
    "Split": split,
    "Upsample": resize,
}
