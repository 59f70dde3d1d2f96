"""A `.keras` file: a zip archive of JSON and HDF5, read without Keras and without trust.

The format is that of keras/src/saving/saving_lib.py: `metadata.json` (the version), `config.json`
(the model) and `model.weights.h5`, in which a layer's variables are numbered below
`layers/<class name in snake case>[_count]/vars`.
"""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np

from seqgen.errors import MismatchError, SeqgenError, UnsupportedError
from seqgen.weights import Lazy

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# A config is text about layers; one of this size describes millions of them.
LONGEST_JSON = 64 * 2**20
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

        self._label = label
        try:
            self._file = h5py.File(file, "r")
        except (OSError, RuntimeError) as error:
            raise SeqgenError(f"{label} is no HDF5 file, or it is broken: {error}") from None

    def entry(self, path: str) -> Lazy:
        """The dataset at a path, not read yet.

        Raises:
            MismatchError: There is none, or it is stored elsewhere than in this file.
        """
        import h5py

        node: Any = self._file
        for part in path.split("/"):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if not isinstance(link, h5py.HardLink):
                raise MismatchError(f"{self._label} holds no array at '{path}'")
            node = node[part]
        if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual:
            raise MismatchError(f"{self._label}: '{path}' is no array stored in the file itself")
        dtype = "bfloat16" if node.attrs.get("dtype") == "bfloat16" else node.dtype.name
        # Only what is really in the file is read: a claimed shape costs nothing.
        if node.id.get_storage_size() < node.size * node.dtype.itemsize and node.chunks is None:
            raise MismatchError(
                f"{self._label}: '{path}' claims shape {node.shape}, but is cut off"
            )
        return Lazy(tuple(node.shape), dtype, lambda: self._read(node, path, dtype))

    def _read(self, node: Any, path: str, dtype: str) -> np.ndarray:
        try:
            values = node[()]
        except (OSError, RuntimeError) as error:
            raise SeqgenError(f"{self._label}: '{path}' cannot be read: {error}") from None
        if dtype == "bfloat16":
            import ml_dtypes

            return np.asarray(values).view(ml_dtypes.bfloat16)
        return np.asarray(values)

    def arrays(self) -> set[str]:
        """Paths of all arrays in the file."""
        import h5py

        found: set[str] = set()

        def visit(path: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                found.add(path)

        self._file.visititems(visit)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
