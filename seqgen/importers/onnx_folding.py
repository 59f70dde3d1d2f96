"""Operators whose inputs are all known: constants, and sizes that a graph reads off its tensors."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seqgen.importers.onnx_arrays import DTYPES, LARGEST, Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Sizes, Stack, Value, Zeros, product

Known = Array | Sizes | Zeros
Numbers = np.ndarray


def sizes_of(x: Value | Array | Sizes | Stack, operator: Operator) -> Known:
    """What the operator Shape gives."""
    shape: Sequence[Any] = x.shape
    start, end = operator.integer("start"), operator.integer("end", None)
    return known(np.array(shape[start:end], dtype=object))


def known(values: Any) -> Known:
    """Numbers as an array, or as sizes if some are open; those stand in arrays of objects."""
    array = np.asarray(values)
    if array.dtype != object:
        return Array.of(array)
    if any(isinstance(value, str) for value in array.flat):
        return Sizes(array)
    return Array.of(array.astype(np.int64))


def axes_of(operator: Operator, inputs: Sequence[Known | None], place: int = 1) -> Any:
    """Axes from an input, or from the attribute that older versions have; None if there are none"""
    given = inputs[place] if place < len(inputs) else None
    if given is None:
        return operator.integers("axes")
    return tuple(int(axis) for axis in np.ravel(numbers(given)))


def numbers(value: Known) -> Numbers:
    """The numbers of a constant; open sizes stay names."""
    if isinstance(value, Zeros):
        raise ValueError("zeros of an open size are no numbers to compute with")
    return value.values if isinstance(value, Sizes) else value.values()


# Operators on arrays, as they stand in the file and as they are known


def squeezed(shape: Sequence[Any], axes: Sequence[int] | None) -> tuple[Any, ...]:
    """A shape without some axes, or without all of size 1."""
    rank = len(shape)
    gone = {axis % rank for axis in axes} if axes is not None else None
    return tuple(
        size for at, size in enumerate(shape) if (at not in gone if gone is not None else size != 1)
    )


def unsqueezed(shape: Sequence[Any], axes: Sequence[int]) -> tuple[Any, ...]:
    """A shape with axes of size 1 more."""
    rank = len(shape) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(shape)
    return tuple(1 if at in new else next(rest) for at in range(rank))


def _reshaped(operator: Operator, x: Array, target: Numbers) -> tuple[int, ...]:
    sizes = [int(size) for size in target]
    if not operator.integer("allowzero"):
        sizes = [x.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    if -1 in sizes:
        rest = int(np.prod([size for size in sizes if size != -1]))
        sizes[sizes.index(-1)] = int(np.prod(x.shape)) // max(1, rest)
    return tuple(sizes)


def _moved(operator: Operator, inputs: Sequence[Known | None]) -> Known | None:
    """What only changes the shape of a constant, which is not read for it; None if it is more."""
    x = inputs[0]
    if isinstance(x, Zeros) and operator.kind in OF_ZEROS:
        return x
    if not isinstance(x, Array):
        return None
    if operator.kind == "Concat":
        return _joined(operator, inputs)
    if operator.kind == "Identity":
        return x
    if operator.kind == "Transpose":
        default = tuple(range(len(x.shape)))[::-1]
        return x.transposed(operator.integers("perm", len(x.shape), default))
    if operator.kind == "Squeeze":
        return x.reshaped(squeezed(x.shape, axes_of(operator, inputs)))
    if operator.kind == "Unsqueeze":
        return x.reshaped(unsqueezed(x.shape, axes_of(operator, inputs)))
    if operator.kind == "Reshape" and inputs[1] is not None:
        return x.reshaped(_reshaped(operator, x, numbers(inputs[1])))
    if operator.kind == "Cast" and _target(operator) == x.dtype:
        return x
    return None


# What leaves zeros zeros, in whatever shape.
OF_ZEROS = ("Cast", "Expand", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose")
OF_ZEROS += ("Unsqueeze",)


def _joined(operator: Operator, inputs: Sequence[Known | None]) -> Known | None:
    """Constants of the file behind each other, which are not read for it; None for others."""
    # What is computed is joined at once, so that nothing lies within itself many times over.
    arrays = [x for x in inputs if isinstance(x, Array) and isinstance(x.key[0], str)]
    if len(arrays) != len(inputs) or len({array.dtype for array in arrays}) != 1:
        return None
    return Array.joined(arrays, operator.integer("axis"))


def _target(operator: Operator) -> str:
    name, _ = DTYPES.get(operator.integer("to"), ("", ""))
    return name or operator.refuse("makes numbers of a type that is not known", "to")


def _slice(x: Numbers, *bounds: Numbers) -> Numbers:
    starts, ends, *more = [[int(n) for n in np.ravel(bound)] for bound in bounds]
    axes = more[0] if more else list(range(len(starts)))
    steps = more[1] if len(more) > 1 else [1] * len(starts)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # A start or an end before the first value means that one is the last.
        index[axis] = slice(start, end if end >= -x.shape[axis] or step > 0 else None, step)
    return x[tuple(index)]


def _padded(x: Numbers, pads: Numbers) -> Numbers:
    return np.pad(x, _pairs(pads))


def _pairs(pads: Numbers) -> list[tuple[int, int]]:
    """How much is padded before and after along each axis."""
    before, after = np.split(np.ravel(pads), 2)
    return [(int(a), int(b)) for a, b in zip(before, after, strict=True)]


def _multiplied(x: Numbers, y: Numbers) -> Numbers:
    if object not in (x.dtype, y.dtype):
        return x * y
    pairs = np.broadcast(x, y)
    return np.array([product(pair) for pair in pairs], dtype=object).reshape(pairs.shape)


def _divided(x: Numbers, y: Numbers) -> Numbers:
    return x // y if x.dtype.kind == "i" else x / y


# What takes open sizes too only moves or multiplies them.
OF_SIZES: dict[str, Callable[..., Numbers]] = {
    "Cast": lambda x, to: x,
    "Concat": lambda *xs, axis: np.concatenate(xs, axis),
    "Gather": lambda x, places, axis: np.take(x, places.astype(int), axis),
    "Identity": lambda x: x,
    "Mul": _multiplied,
    "ReduceProd": lambda x: np.array(product(x.flat), dtype=object),
    "Reshape": lambda x, shape: x.reshape([int(size) for size in shape]),
    "Slice": _slice,
    "Squeeze": lambda x, axes: x.reshape(squeezed(x.shape, axes)),
    "Unsqueeze": lambda x, axes: x.reshape(unsqueezed(x.shape, axes)),
}
OF_NUMBERS: dict[str, Callable[..., Numbers]] = {
    **OF_SIZES,
    "Add": np.add,
    "Cast": lambda x, to: x.astype(to),
    "Div": _divided,
    "Equal": np.equal,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mod": np.mod,
    "Neg": np.negative,
    "Pad": _padded,
    "Pow": np.power,
    "Reciprocal": np.reciprocal,
    "ReduceProd": lambda x: np.prod(x),
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Where": np.where,
}


ELEMENTWISE = ("Add", "Div", "Equal", "Max", "Min", "Mod", "Mul", "Pow", "Sub", "Where")


def _arguments(operator: Operator, inputs: Sequence[Known | None]) -> tuple[list[Any], Any]:
    """The arrays that a function of the tables takes, and its arguments by name."""
    arrays = [numbers(x) for x in inputs if x is not None]
    if operator.kind in ("Squeeze", "Unsqueeze"):
        return arrays[:1], {"axes": axes_of(operator, inputs)}
    if operator.kind in ("Gather", "Concat"):
        return arrays, {"axis": operator.integer("axis")}
    if operator.kind == "Cast":
        return arrays, {"to": _target(operator)}
    if operator.kind == "Slice" and operator.opset < 10:
        bounds = [operator.integers(name) for name in ("starts", "ends", "axes")]
        return [*arrays, *(np.array(bound) for bound in bounds if bound is not None)], {}
    return arrays, {}


def folded(operator: Operator, inputs: Sequence[Known | None]) -> Known | None:
    """The result of an operator on constants; None if it is not known what that is.

    Raises:
        UnsupportedError: The numbers are too many, or do not go together.
    """
    try:
        moved = _moved(operator, inputs)
        if moved is not None:
            return moved
        if operator.kind in ("ConstantOfShape", "Expand", "Range", "Tile"):
            return _spread(operator, inputs)
        is_open = any(isinstance(x, Sizes) for x in inputs)
        table = OF_SIZES if is_open else OF_NUMBERS
        if operator.kind not in table or operator.text("mode", "constant") != "constant":
            return None
        arrays, arguments = _arguments(operator, inputs)
        _check_size(operator.kind, arrays, arguments)
        if is_open:
            arrays = [array.astype(object) for array in arrays]
            return known(np.array(table[operator.kind](*arrays, **arguments), dtype=object))
        return known(table[operator.kind](*arrays, **arguments))
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        operator.refuse(f"its constants do not go together: {error}")


def _check_size(kind: str, arrays: list[Any], arguments: dict[str, Any]) -> None:
    """Raise a `ValueError` if a result would be far larger than what it is made of."""
    if kind == "Gather":
        x, places = arrays
        count = x.size // max(1, x.shape[arguments["axis"]]) * places.size
    elif kind in ELEMENTWISE:
        count = math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
    elif kind == "Pad":
        x, pads = arrays
        pairs = zip(x.shape, _pairs(pads), strict=True)
        count = math.prod(max(1, size + sum(pair)) for size, pair in pairs)
    else:
        return
    if count > LARGEST:
        raise ValueError(f"their result would have {count} numbers")


def _spread(operator: Operator, inputs: Sequence[Known | None]) -> Known | None:
    """A constant that repeats; None where that is not known, or too large to be meant."""
    if any(isinstance(x, Sizes) for x in inputs):
        return _zeros(operator, inputs)
    if any(x is None for x in inputs):
        return None
    arrays = [numbers(x) for x in inputs if x is not None]
    if operator.kind == "Range":
        start, limit, delta = (array.item() for array in arrays)
        count = max(0, -(-(limit - start) // delta))
        return Array.of(np.arange(start, limit, delta)) if count <= LARGEST else None
    shape = tuple(int(size) for size in arrays[-1])
    if operator.kind == "Tile" or int(np.prod([max(1, size) for size in shape])) > LARGEST:
        return None
    if operator.kind == "Expand":
        return Array.of(np.broadcast_to(arrays[0], np.broadcast_shapes(arrays[0].shape, shape)))
    value = operator.attributes.get("value")
    filled = value.values().ravel()[:1] if isinstance(value, Array) else np.zeros(1, np.float32)
    return Array.of(np.full(shape, filled[0]))


def _zeros(operator: Operator, inputs: Sequence[Known | None]) -> Zeros | None:
    """Zeros of a shape with open sizes; None where something else is repeated."""
    filling: Any = operator.attributes.get("value")
    if operator.kind == "Expand":
        filling = inputs[0]
    elif operator.kind != "ConstantOfShape":
        return None
    if filling is None or (isinstance(filling, Array) and not filling.values().any()):
        return Zeros()
    return None
