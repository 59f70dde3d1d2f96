"""The weight store: arrays by key, made or read when they are asked for.

Weights travel in a `weights.safetensors` file, every array in Keras layout, under the path of its
variable below the model with dots for slashes. The format is described at
https://huggingface.co/docs/safetensors; it is read and written here tensor by tensor, so that a
model never stands in memory at once, and files are checked before anything is allocated for them.
"""

import dataclasses
import functools
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from seqgen import initializers
from seqgen.errors import MismatchError, SeqgenError, SpecError
from seqgen.layers.arguments import near_miss, short
from seqgen.layers.base import Weight

# The dtypes of the store and their names in a file, in the order in which a file holds them: that
# of the safetensors package, which puts larger items first and so aligns them all.
CODES = {
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "int32": "I32",
    "bfloat16": "BF16",
    "float16": "F16",
}
NAMES = {code: name for name, code in CODES.items()}
INTEGERS = ("int64", "int32")
FLOATS = ("float64", "float32", "bfloat16", "float16")
# The longest header that the safetensors package reads, in bytes.
LONGEST_HEADER = 100_000_000
MOST_AXES = 64
MOST_HINTS = 20


@dataclasses.dataclass(frozen=True)
class Lazy:
    """An array that is made each time it is asked for, and not kept.

    Attributes:
        shape: Its shape.
        dtype: Name of its dtype.
        load: Makes it.
    """

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return math.prod(self.shape) * initializers.array_dtype(self.dtype).itemsize


def _held(array: np.ndarray) -> Lazy:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return Lazy(array.shape, array.dtype.name, lambda: native)


class Weights(Mapping[str, np.ndarray]):
    """Arrays by key. Reading an entry makes or reads its array; nothing is kept.

    Args:
        entries: An array, or a `Lazy` one, for each key.

    Raises:
        MismatchError: An array has a dtype that the store does not know.
    """

    def __init__(self, entries: Mapping[str, np.ndarray | Lazy]) -> None:
        self._entries = {
            key: value if isinstance(value, Lazy) else _held(np.asarray(value))
            for key, value in entries.items()
        }
        for key, entry in self._entries.items():
            if entry.dtype not in CODES:
                message = (
                    f"weight '{key}': expected one of {', '.join(CODES)}; received {entry.dtype}"
                )
                raise MismatchError(message)

    @classmethod
    def initialize(cls, specs: Iterable[Weight], dtype: str = "float32", seed: int = 0) -> Self:
        """Fresh weights. Each depends on the seed and its own key only.

        Raises:
            SpecError: An initializer cannot make values of the shape of its weight.
        """
        specs = tuple(specs)
        for spec in specs:
            try:
                initializers.require(spec.initializer, spec.shape)
            except SpecError as error:
                raise error.at(layer=f"weight '{spec.key}'") from None
        return cls(_drawn(specs, dtype, seed, _draw_fresh))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The weights of a safetensors file, which must stay as it is while they are used.

        Raises:
            MismatchError: The file cannot be read, is broken, or holds other dtypes.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                return cls(_entries(path, file))
        except OSError as error:
            raise MismatchError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise MismatchError(f"{path}: not a valid safetensors file: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, one array at a time. Equal weights give equal bytes.

        The file appears when it is complete; after an error, what was there before is untouched.

        Raises:
            SeqgenError: The file cannot be written.
        """
        path = Path(os.path.realpath(path))
        partial = path.with_name(f".{os.urandom(8).hex()}.tmp")
        try:
            with partial.open("xb") as file:
                self._write(file)
            os.replace(partial, path)
        except OSError as error:
            raise SeqgenError(f"{path}: cannot be written: {error.strerror or error}") from None
        finally:
            partial.unlink(missing_ok=True)

    def _write(self, file: BinaryIO) -> None:
        order = list(CODES)
        keys = sorted(self, key=lambda key: (order.index(self.dtype(key)), key.encode()))
        header, end = {}, 0
        for key in keys:
            begin, end = end, end + self._entries[key].nbytes
            code = CODES[self.dtype(key)]
            header[key] = {"dtype": code, "shape": self.shape(key), "data_offsets": [begin, end]}
        if "__metadata__" in header:
            raise MismatchError("weight '__metadata__': the format keeps this name for itself")
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        for key in keys:
            file.write(_little(np.ascontiguousarray(self[key])).reshape(-1).view(np.uint8).data)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of an entry, without making it."""
        return self._entries[key].shape

    def dtype(self, key: str) -> str:
        """The name of the dtype of an entry, without making it."""
        return self._entries[key].dtype

    @property
    def nbytes(self) -> int:
        """The size of all arrays together."""
        return sum(entry.nbytes for entry in self._entries.values())

    def astype(self, dtype: str) -> "Weights":
        """The same weights with every float in another dtype; integers stay as they are."""
        kind = initializers.array_dtype(dtype)

        def converted(entry: Lazy) -> Lazy:
            if entry.dtype not in FLOATS:
                return entry
            return Lazy(entry.shape, dtype, lambda: entry.load().astype(kind, copy=False))

        return Weights({key: converted(entry) for key, entry in self._entries.items()})

    def __getitem__(self, key: str) -> np.ndarray:
        entry = self._entries[key]
        array = entry.load()
        if (array.shape, array.dtype.name) != (entry.shape, entry.dtype):
            raise MismatchError(
                f"weight '{key}': expected {entry.dtype} of shape {entry.shape}; "
                f"received {array.dtype.name} of shape {array.shape}"
            )
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    # A mapping compares its values, and arrays have no single truth value.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"Weights({len(self)} arrays, {self.nbytes} bytes)"


def _little(array: np.ndarray) -> np.ndarray:
    """The array with its bytes as a file holds them, little end first; and back again."""
    return array if sys.byteorder == "little" else array.byteswap()


def _state(file: BinaryIO) -> tuple[int, ...]:
    """What changes when a file is written to or replaced."""
    stat = os.fstat(file.fileno())
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must be different and valid Unicode."""
    items: dict[str, Any] = {}
    for key, value in pairs:
        if key in items:
            raise ValueError(f"its header has {short(key)} twice")
        key.encode()
        items[key] = value
    return items


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header of a file of `size` bytes, and where its data begins."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, LONGEST_HEADER):
        raise ValueError(f"its header claims {length} bytes, the file has {size}")
    header = json.loads(file.read(length).decode(), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are not strings by name")
    return header, 8 + length


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _described(key: str, record: Any) -> tuple[str, tuple[int, ...], int, int]:
    """The dtype, the shape, the begin and the end that a header gives for an array."""
    label = f"array {short(key)}"
    if not isinstance(record, dict) or record.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{label}: expected a dtype, a shape and data offsets")
    code, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(code, str) or code not in NAMES:
        raise ValueError(f"{label}: expected one of {', '.join(NAMES)}; received {short(code)}")
    if not _are_sizes(shape) or len(shape) > MOST_AXES:
        raise ValueError(f"{label}: {short(shape)} is not a shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{label}: {short(offsets)} are not data offsets")
    itemsize = initializers.array_dtype(NAMES[code]).itemsize
    fits = math.prod(size or 1 for size in shape) * itemsize < 2**63
    if not fits or offsets[1] - offsets[0] != math.prod(shape) * itemsize:
        raise ValueError(f"{label}: {code} of shape {short(shape)} does not fill {offsets}")
    return NAMES[code], tuple(shape), *offsets


def _entries(path: Path, file: BinaryIO) -> dict[str, Lazy]:
    """The arrays of a safetensors file, after a check that they fill it without gap or overlap."""
    state = _state(file)
    header, start = _header(file, state[0])
    described = {key: _described(key, record) for key, record in header.items()}
    position = 0
    for key, (_, _, begin, end) in sorted(described.items(), key=lambda item: item[1][2:]):
        if begin != position:
            raise ValueError(f"array {short(key)} begins at {begin}, not at {position}")
        position = end
    if start + position != state[0]:
        raise ValueError(f"its arrays end at {start + position} bytes, the file has {state[0]}")
    return {
        key: Lazy(shape, dtype, functools.partial(_read, path, state, start + begin, shape, dtype))
        for key, (dtype, shape, begin, _) in described.items()
    }


def _read(
    path: Path, state: tuple[int, ...], offset: int, shape: tuple[int, ...], dtype: str
) -> np.ndarray:
    """One array of a file that has not changed since it was opened."""
    try:
        with path.open("rb") as file:
            if _state(file) != state:
                raise MismatchError(f"{path}: has changed since it was opened")
            array = np.empty(shape, initializers.array_dtype(dtype))
            file.seek(offset)
            if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
                raise MismatchError(f"{path}: has changed since it was opened")
    except OSError as error:
        raise MismatchError(f"{path}: cannot be read: {error.strerror}") from None
    return _little(array)


Draw = Callable[[Weight, np.random.Generator, str], np.ndarray]


def _draw_fresh(spec: Weight, rng: np.random.Generator, dtype: str) -> np.ndarray:
    return initializers.draw(spec.initializer, spec.shape, rng, dtype)


def _drawn(specs: Iterable[Weight], dtype: str, seed: int, draw: Draw) -> dict[str, Lazy]:
    """Arrays to be drawn, each by a generator that depends on the seed and its key only."""
    entries: dict[str, Lazy] = {}
    for spec in specs:
        kind = spec.dtype or dtype

        def load(spec: Weight = spec, kind: str = kind) -> np.ndarray:
            return draw(spec, initializers.generator(seed, spec.key), kind)

        known = entries.setdefault(spec.key, Lazy(spec.shape, kind, load))
        if known.shape != spec.shape:
            message = f"weight '{spec.key}' has two shapes: {known.shape} and {spec.shape}"
            raise MismatchError(message)
    return entries


def random_weights(specs: Iterable[Weight], seed: int = 0, dtype: str = "float32") -> Weights:
    """Weights for a comparison, drawn such that every term of every layer changes the result."""
    return Weights(_drawn(specs, dtype, seed, initializers.draw_telling))


def _misfits(weights: Weights, spec: Weight, dtype: str | None) -> Iterator[str]:
    """What is wrong with an entry that should hold the values of `spec`."""
    shape, received = weights.shape(spec.key), weights.dtype(spec.key)
    if shape != spec.shape:
        yield f"'{spec.key}': expected shape {spec.shape}, received {shape}"
    floats = FLOATS if dtype is None else (dtype,)
    expected = INTEGERS if spec.dtype in INTEGERS else floats
    if received not in expected:
        yield f"'{spec.key}': expected {' or '.join(expected)}, received {received}"


def check(weights: Weights, specs: Iterable[Weight], dtype: str | None = None) -> None:
    """Check that the weights are exactly those of a model; no array is made for it.

    Args:
        weights: The weights.
        specs: What the model expects.
        dtype: Name of the dtype of all floats; None takes any.

    Raises:
        MismatchError: Lists all that are missing, unexpected or of another shape or dtype.
    """
    expected = {spec.key: spec for spec in specs}
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    hints = [near_miss(key, missing) for key in unexpected[:MOST_HINTS]]
    hints += [""] * (len(unexpected) - len(hints))
    faults = [f"'{key}': missing, of shape {expected[key].shape}" for key in missing]
    faults += [f"'{key}': unexpected{hint}" for key, hint in zip(unexpected, hints, strict=True)]
    known = (spec for key, spec in expected.items() if key in weights)
    faults += [fault for spec in known for fault in _misfits(weights, spec, dtype)]
    if faults:
        raise MismatchError("\n  ".join(("the weights do not fit the model:", *faults)))


def check_finite(weights: Weights) -> None:
    """Raise a `MismatchError` that lists the arrays with a NaN or an infinity. Reads them all."""
    broken = [key for key, array in weights.items() if not np.isfinite(array).all()]
    if broken:
        listed = ", ".join(f"'{key}'" for key in broken)
        raise MismatchError(f"expected finite weights; these hold NaN or infinity: {listed}")
