"""A `.keras` file: a zip archive of JSON and HDF5, read without Keras and without trust.

The format is that of keras/src/saving/saving_lib.py: `metadata.json` (the version), `config.json`
(the model) and `model.weights.h5`, in which a layer's variables are numbered below
`layers/<class name in snake case>[_count]/vars`.
"""

import contextlib
import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from seqgen.errors import MismatchError, SeqgenError, UnsupportedError
from seqgen.tensor_file import CODES, Lazy, in_file

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# A config is text about layers; one of this size describes millions of them.
LONGEST_JSON = 64 * 2**20
# How a heap of texts in an HDF5 file begins, and each object in it: its number and its size.
HEAP, HEAP_OBJECT = b"GCOL\x01\0\0\0", struct.Struct("<H6xQ")
BLOCK = 2**20
LOCAL_HEADER = struct.Struct("<4s5H3I2H")


class Slice(io.RawIOBase):
    """The bytes of a file from an offset on, as a file of its own."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._start, self._size, self._at = start, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Position from the beginning of the slice."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position of the slice."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what is left of the slice."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        self._file.seek(self._start + self._at)
        read = self._file.readinto(view[:count]) or 0  # type: ignore[attr-defined]
        self._at += read
        return read

    def close(self) -> None:
        """Close the file below."""
        self._file.close()
        super().close()


def parse_json(data: bytes, what: str) -> Any:
    """JSON from a file that nobody vouches for."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SeqgenError(f"{what} is not valid JSON: {error}") from None


class Archive:
    """An open `.keras` file.

    Raises:
        SeqgenError: It is no such file, it is broken, or parts are missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {info.filename: info for info in archive.infolist()}
                if CONFIG not in self._members:
                    raise SeqgenError(f"{path} holds no {CONFIG}; it is no Keras 3 model file")
                self.config = self._json(archive, CONFIG)
                has_metadata = METADATA in self._members
                self.metadata = self._json(archive, METADATA) if has_metadata else {}
        except OSError as error:
            raise SeqgenError(f"cannot read {path}: {error.strerror or error}") from None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise SeqgenError(f"{path} is no .keras file, or it is broken: {error}") from None

    def _json(self, archive: zipfile.ZipFile, name: str) -> Any:
        if self._members[name].file_size > LONGEST_JSON:
            raise SeqgenError(f"{self._path}: {name} claims {self._members[name].file_size} bytes")
        with archive.open(name) as file:
            return parse_json(file.read(LONGEST_JSON), f"{self._path}: {name}")

    def weights(self) -> "Store":
        """The HDF5 file within."""
        info = self._members.get(WEIGHTS)
        if info is None:
            raise SeqgenError(f"{self._path} holds no {WEIGHTS}")
        if info.compress_type != zipfile.ZIP_STORED:
            raise UnsupportedError(
                f"{self._path}: {WEIGHTS} is compressed, as Keras does not write it; "
                "save the model again with Keras"
            )
        with self._path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise SeqgenError(f"{self._path} is broken: {WEIGHTS} is not where the index says")
        *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
        start = info.header_offset + LOCAL_HEADER.size + name_length + extra_length
        return Store(f"{self._path}: {WEIGHTS}", Slice(self._path, start, info.file_size))


class Store:
    """The datasets of an HDF5 file, read one at a time."""

    def __init__(self, label: str, file: io.RawIOBase) -> None:
        import h5py

        self.label = label
        self._bytes, self._checked = file, False
        self._size = file.seek(0, io.SEEK_END)
        try:
            self._file = h5py.File(file, "r")
        except (OSError, RuntimeError) as error:
            raise SeqgenError(f"{label} is no HDF5 file, or it is broken: {error}") from None

    def _node(self, path: str) -> Any:
        """The group or dataset at a path, if hard links of this very file lead there."""
        import h5py

        node: Any = self._file
        with self._reading(f"'{path}'"):
            for part in path.split("/") if path else ():
                if not isinstance(node, h5py.Group) or part in ("", ".") or part not in node:
                    return None
                if not isinstance(node.get(part, getlink=True), h5py.HardLink):
                    return None
                node = node[part]
        return node

    def has_group(self, path: str) -> bool:
        """Whether there is a group at a path."""
        import h5py

        return isinstance(self._node(path), h5py.Group)

    def has_attribute(self, path: str, name: str) -> bool:
        """Whether a group has an attribute, in one piece or in several."""
        node = self._node(path)
        return node is not None and (self._has(node, name) or self._has(node, f"{name}0"))

    def _has(self, node: Any, name: str) -> bool:
        with self._reading(f"the attribute '{name}'"):
            return name in node.attrs

    def _attribute(self, node: Any, name: str) -> Any:
        """The value of an attribute, which claims no more than the file can hold."""
        with self._reading(f"the attribute '{name}'"):
            self._check_heaps()
            found = node.attrs.get_id(name)
            claimed = math.prod(found.shape or (0,)) * found.dtype.itemsize
            if claimed > self._largest_text:
                raise SeqgenError(f"{self.label}: the attribute '{name}' is too large")
            return node.attrs[name]

    def _check_heaps(self) -> None:
        """Raise a `ValueError` if a heap of texts has an object on which HDF5 would turn for ever.

        It goes on by the size of an object, which may be nothing where space is free
        (H5HG__cache_heap_deserialize).
        """
        if self._checked:
            return
        self._checked, start = True, 0
        while start < self._size:
            self._bytes.seek(start)
            at = (self._bytes.read(BLOCK + len(HEAP)) or b"").find(HEAP)
            if at >= 0:
                self._check_heap(start + at)
            start += BLOCK if at < 0 else at + len(HEAP)

    def _check_heap(self, start: int) -> None:
        self._bytes.seek(start + len(HEAP))
        size = int.from_bytes(self._bytes.read(8) or b"", "little")
        data = self._bytes.read(max(0, min(size, self._size - start) - len(HEAP) - 8)) or b""
        at = 0
        while at + HEAP_OBJECT.size <= len(data):
            index, length = HEAP_OBJECT.unpack_from(data, at)
            step = HEAP_OBJECT.size + -(-length // 8) * 8 if index else length
            if not step:
                raise ValueError("a heap of texts is damaged")
            at += step

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn what HDF5 says of broken bytes into one clear error."""
        try:
            yield
        except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
            raise SeqgenError(f"{self.label}: {what} cannot be read: {error}") from None

    @property
    def _largest_text(self) -> int:
        return min(self._size, LONGEST_JSON)

    def text(self, name: str, path: str = "") -> str | None:
        """An attribute that is a text; None if there is none."""
        node = self._node(path)
        if node is None or not self._has(node, name):
            return None
        return self._decoded(self._attribute(node, name), name)

    def _decoded(self, value: Any, name: str) -> str:
        """A text as h5py gives it: in bytes, or with surrogates for what is no UTF-8."""
        try:
            data = value.encode() if isinstance(value, str) else value
            if isinstance(data, bytes) and len(data) <= self._largest_text:
                return data.decode()
        except UnicodeError:
            pass
        raise SeqgenError(f"{self.label}: the attribute '{name}' is no text, or too long a one")

    def names(self, path: str, name: str) -> list[str]:
        """An attribute that is a list of texts, which Keras cuts in pieces where it is long.

        Raises:
            MismatchError: There is none.
        """
        node = self._node(path)
        if node is None:
            raise MismatchError(f"{self.label} holds no group '{path}'")
        pieces = [name] if self._has(node, name) else []
        while not pieces or pieces[0] != name:
            if not self._has(node, f"{name}{len(pieces)}"):
                break
            pieces.append(f"{name}{len(pieces)}")
        if not pieces:
            raise MismatchError(f"{self.label}: the group '{path}' has no attribute '{name}'")
        found: list[str] = []
        for piece in pieces:
            value = self._attribute(node, piece)
            if np.ndim(value) != 1:
                raise SeqgenError(f"{self.label}: the attribute '{piece}' is no list of texts")
            found += [self._decoded(item, piece) for item in value.tolist()]
        return found

    def entry(self, path: str) -> Lazy:
        """The dataset at a path, not read yet.

        Raises:
            MismatchError: There is none, or it is stored elsewhere than in this file.
        """

        node = self._node(path)
        if node is None:
            raise MismatchError(f"{self.label} holds no array at '{path}'")
        with self._reading(f"'{path}'"):
            return self._entry(node, path)

    def _entry(self, node: Any, path: str) -> Lazy:
        import h5py

        if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual:
            raise MismatchError(f"{self.label}: '{path}' is no array stored in the file itself")
        is_bfloat16 = self._has(node, "dtype") and self._attribute(node, "dtype") == "bfloat16"
        dtype = "bfloat16" if is_bfloat16 else node.dtype.name
        # Only what is really in the file is read: a claimed shape costs nothing.
        stored, claimed = node.id.get_storage_size(), (node.size or 0) * node.dtype.itemsize
        if node.shape is None or min(stored, self._size) < claimed:
            raise MismatchError(
                f"{self.label}: '{path}' claims shape {node.shape}, but is cut off, or compressed "
                "as Keras does not write it"
            )
        start = self._start(node, dtype)
        if start is None:
            return Lazy(tuple(node.shape), dtype, lambda: self._read(node, path, dtype))
        return in_file(tuple(node.shape), dtype, partial(self._read_part, start, path))

    def _start(self, node: Any, dtype: str) -> int | None:
        """Where the elements of a dataset begin in the file, if they stand there as in memory."""
        plain = node.dtype.isnative and dtype in CODES and not self._file.userblock_size
        begin = node.id.get_offset() if plain and node.chunks is None else None
        inside = begin is not None and begin + node.id.get_storage_size() <= self._size
        return begin if inside else None

    def _read_part(self, start: int, path: str, index: int, array: np.ndarray) -> None:
        self._bytes.seek(start + index * array.itemsize)
        read = self._bytes.readinto(array.view(np.uint8).data)  # type: ignore[attr-defined]
        if read != array.nbytes:
            raise SeqgenError(f"{self.label}: '{path}' cannot be read: the file is cut off")

    def _read(self, node: Any, path: str, dtype: str) -> np.ndarray:
        with self._reading(f"'{path}'"):
            values = np.asarray(node[()])
            if dtype == "bfloat16":
                import ml_dtypes

                return values.view(ml_dtypes.bfloat16)
            return values.astype(values.dtype.newbyteorder("="), copy=False)

    def arrays(self) -> set[str]:
        """Paths of all arrays in the file."""
        import h5py

        found: set[str] = set()

        def visit(path: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                found.add(path)

        with self._reading("its list of arrays"):
            self._file.visititems(visit)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
