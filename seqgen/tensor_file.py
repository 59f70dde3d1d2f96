"""The safetensors format, read with suspicion: nothing is allocated that the file does not hold.

A file is the length of its header (8 bytes, little end first), the header (JSON: dtype, shape and
offsets of every array), and the arrays one after the other. The format is described at
https://huggingface.co/docs/safetensors.
"""

import dataclasses
import functools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from seqgen import initializers
from seqgen.errors import MismatchError
from seqgen.layers.arguments import short

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
# The longest header that the safetensors package reads, in bytes.
LONGEST_HEADER = 100_000_000
MOST_AXES = 64
# Elements that are read at a time: so few that what is done with them finds them in the cache.
BLOCK = 2**16

# Fills a flat array with the elements of another one from an index on.
Read = Callable[[int, np.ndarray], None]


@dataclasses.dataclass(frozen=True)
class Lazy:
    """An array that is made each time it is asked for, and not kept.

    Attributes:
        shape: Its shape.
        dtype: Name of its dtype.
        load: Makes it.
        read: Reads a part of it, where a file holds it as it is. What `load` makes is then an array
            that nobody else has.
    """

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], np.ndarray]
    read: Read | None = None

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return math.prod(self.shape) * initializers.array_dtype(self.dtype).itemsize


def in_file(shape: tuple[int, ...], dtype: str, read: Read) -> Lazy:
    """An array that a file holds as it is.

    Args:
        shape: Its shape.
        dtype: Name of its dtype.
        read: Reads a part of it.
    """

    def load() -> np.ndarray:
        array = np.empty(shape, initializers.array_dtype(dtype))
        flat = array.reshape(-1)
        for start in range(0, flat.size, BLOCK):
            read(start, flat[start : start + BLOCK])
        return array

    return Lazy(shape, dtype, load, read)


def blocks(entry: Lazy) -> Iterator[np.ndarray]:
    """The elements of what a file holds, in flat arrays, each good until the next one is made."""
    assert entry.read is not None
    size = math.prod(entry.shape)
    block = np.empty(min(BLOCK, size), initializers.array_dtype(entry.dtype))
    for start in range(0, size, BLOCK):
        part = block[: size - start]
        entry.read(start, part)
        yield part


def little(array: np.ndarray) -> np.ndarray:
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


def entries(path: Path, file: BinaryIO) -> dict[str, Lazy]:
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
        key: in_file(shape, dtype, functools.partial(_read, path, state, start + begin))
        for key, (dtype, shape, begin, _) in described.items()
    }


def _read(path: Path, state: tuple[int, ...], begin: int, index: int, array: np.ndarray) -> None:
    """Read a part of an array of a file that has not changed since it was opened."""
    try:
        with path.open("rb", buffering=0) as file:
            if _state(file) != state:
                raise MismatchError(f"{path}: has changed since it was opened")
            file.seek(begin + index * array.itemsize)
            if file.readinto(array.view(np.uint8).data) != array.nbytes:
                raise MismatchError(f"{path}: has changed since it was opened")
    except OSError as error:
        raise MismatchError(f"{path}: cannot be read: {error.strerror}") from None
    if sys.byteorder == "big":
        array.byteswap(inplace=True)
