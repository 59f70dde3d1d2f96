"""Constants of an ONNX file: checked before they are read, and read when they are asked for."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seqgen.errors import SeqgenError, UnsupportedError
from seqgen.tensor_file import Lazy, little

# The numbers of TensorProto.DataType, the names of the dtypes, and the fields that hold values.
DTYPES = {
    1: ("float32", "float_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),
    11: ("float64", "double_data"),
}
FLOATS = ("float16", "float32", "float64")
EXTERNAL = 1
# What is computed while a file is read holds at most this many numbers.
LARGEST = 2**22
# How often a constant may be moved before a layer takes it.
MOST_STEPS = 100


@dataclass(frozen=True)
class Array:
    """A constant.

    Attributes:
        shape: Its shape.
        dtype: Name of its dtype.
        key: The constant and what was done to it: equal for arrays that are made alike.
        load: Makes it.
    """

    shape: tuple[int, ...]
    dtype: str
    key: tuple[Hashable, ...]
    load: Callable[[], np.ndarray] = field(compare=False)

    @classmethod
    def of(cls, values: Any) -> "Array":
        """An array of values that are known."""
        array = np.asarray(values)
        key = ((array.shape, array.dtype.name, array.tobytes()),)
        return cls(array.shape, array.dtype.name, key, lambda: array)

    @classmethod
    def joined(cls, arrays: "Sequence[Array]", axis: int) -> "Array":
        """Arrays of one dtype behind each other.

        Raises:
            ValueError: Their shapes do not go together.
        """
        first = arrays[0]
        rank = len(first.shape)
        at = axis % rank if -rank <= axis < rank else rank
        around = {(*array.shape[:at], *array.shape[at + 1 :]) for array in arrays}
        if at == rank or len(around) != 1 or any(len(array.shape) != rank for array in arrays):
            raise ValueError(f"shapes {[array.shape for array in arrays]} along axis {axis}")
        shape = (*first.shape[:at], sum(a.shape[at] for a in arrays), *first.shape[at + 1 :])
        key = ("joined", at, *(array.key for array in arrays))
        return cls(
            shape, first.dtype, (key,), lambda: np.concatenate([a.load() for a in arrays], at)
        )

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def values(self) -> np.ndarray:
        """The numbers, to compute with while a file is read.

        Raises:
            UnsupportedError: They are too many for that.
        """
        if self.size > LARGEST:
            raise UnsupportedError(f"computes with a constant of {self.size} numbers")
        return self.load()

    def _made(
        self, how: Hashable, shape: tuple[int, ...], make: Callable[[np.ndarray], np.ndarray]
    ) -> "Array":
        if len(self.key) > MOST_STEPS:
            raise UnsupportedError(f"moves the numbers of a constant more than {MOST_STEPS} times")
        return Array(shape, self.dtype, (*self.key, how), lambda: make(self.load()))

    def transposed(self, axes: tuple[int, ...]) -> "Array":
        """The array with its axes in another order."""
        if axes == tuple(range(len(self.shape))):
            return self
        shape = tuple(self.shape[axis] for axis in axes)
        return self._made(("transposed", axes), shape, lambda values: values.transpose(axes))

    def reshaped(self, shape: tuple[int, ...]) -> "Array":
        """The same numbers in another shape."""
        if shape == self.shape:
            return self
        return self._made(("reshaped", shape), shape, lambda values: values.reshape(shape))

    def taken(self, axis: int, places: np.ndarray) -> "Array":
        """The array with an axis in another order."""
        how = ("taken", axis, places.tobytes())
        shape = (*self.shape[:axis], len(places), *self.shape[axis + 1 :])
        return self._made(how, shape, lambda values: values.take(places, axis))

    def spread(self, shape: tuple[int, ...]) -> "Array":
        """The array repeated to a shape."""
        if shape == self.shape:
            return self
        return self._made(("spread", shape), shape, lambda a: np.broadcast_to(a, shape).copy())

    def times(self, factor: float) -> "Array":
        """The array times a number."""
        if factor == 1:
            return self
        return self._made(("times", factor), self.shape, lambda a: a * a.dtype.type(factor))

    def inverted(self) -> "Array":
        """One over each number."""
        return self._made("inverted", self.shape, lambda a: (1 / a.astype(float)).astype(a.dtype))

    def summed(self) -> "Array":
        """The sum along the first axis."""
        return self._made("summed", self.shape[1:], lambda a: a.sum(0, dtype=a.dtype))

    def lazy(self) -> Lazy:
        """The array for a store of weights."""
        return Lazy(self.shape, self.dtype, lambda: np.ascontiguousarray(self.load()))


def array_of(tensor: Any, name: str, folder: Path) -> Array:
    """A constant of a file, which must be just as long as its shape says.

    Args:
        tensor: The `TensorProto`.
        name: What the graph calls it.
        folder: Of the file; data outside of the file must lie in there.

    Raises:
        SeqgenError: It is broken, or its data lie somewhere else.
    """
    label, shape = f"constant '{name}'", tuple(tensor.dims)
    if tensor.data_type not in DTYPES:
        known = ", ".join(name for name, _ in DTYPES.values())
        raise UnsupportedError(f"{label}: expected one of {known}; received {type_name(tensor)}")
    dtype, values = DTYPES[tensor.data_type]
    if any(size < 0 for size in shape):
        raise SeqgenError(f"{label}: {shape} is no shape")
    if tensor.data_location == EXTERNAL:
        load = _external(tensor, label, shape, dtype, folder)
    else:
        load = _within(tensor, label, shape, dtype, values)
    return Array(shape, dtype, (name,), load)


def type_name(tensor: Any) -> str:
    """The name of the type of a tensor."""
    import onnx

    known = onnx.TensorProto.DataType.items()
    return next((name for name, number in known if number == tensor.data_type), "no type")


def _within(
    tensor: Any, label: str, shape: tuple[int, ...], dtype: str, values: str
) -> Callable[[], np.ndarray]:
    from onnx import numpy_helper

    count = math.prod(shape)
    if tensor.HasField("raw_data"):
        given, expected = len(tensor.raw_data), count * np.dtype(dtype).itemsize
        unit = "bytes"
    else:
        given, expected, unit = len(getattr(tensor, values)), count, "values"
    if given != expected:
        message = f"{label}: {dtype} of shape {shape} needs {expected} {unit}"
        raise SeqgenError(f"{message}, and the file has {given}")
    return lambda: np.asarray(numpy_helper.to_array(tensor))


def _external(
    tensor: Any, label: str, shape: tuple[int, ...], dtype: str, folder: Path
) -> Callable[[], np.ndarray]:
    said = {str(entry.key): str(entry.value) for entry in tensor.external_data}
    path = _inside(said.get("location", ""), label, folder)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        offset, length = int(said.get("offset", 0)), int(said.get("length", size))
        held = path.stat().st_size
    except (OSError, ValueError) as error:
        raise SeqgenError(f"{label}: its data in {path} cannot be read: {error}") from None
    if length != size or offset < 0 or offset + length > held:
        message = f"{label}: {dtype} of shape {shape} needs {size} bytes; it has {length} bytes at"
        raise SeqgenError(f"{message} {offset} of {path}, which holds {held}")

    def load() -> np.ndarray:
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise SeqgenError(f"{label}: {path} cannot be read: {error.strerror}") from None
        if len(data) != size:
            raise SeqgenError(f"{label}: {path} has become shorter since it was opened")
        return little(np.frombuffer(data, dtype).reshape(shape))

    return load


def _inside(location: str, label: str, folder: Path) -> Path:
    """The file of external data, which must not lead out of the folder."""
    home = folder.resolve()
    strange = not location or "\0" in location or "\\" in location or Path(location).is_absolute()
    path = home if strange else (home / location).resolve()
    if strange or ".." in Path(location).parts or not path.is_relative_to(home):
        message = f"{label}: expected its data in a file below {folder}"
        raise SeqgenError(f"{message}, received the location {location[:200]!r}")
    if not path.is_file():
        raise SeqgenError(f"{label}: there is no file {path}, which should hold its data")
    return path
