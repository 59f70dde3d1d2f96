"""The weight store: arrays by key, made or read when they are asked for.

Weights travel in a `weights.safetensors` file, every array in Keras layout, under the path of its
variable below the model with dots for slashes. The format is described at
https://huggingface.co/docs/safetensors; it is read and written here tensor by tensor, so that a
model never stands in memory at once, and files are checked before anything is allocated for them.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from seqgen import initializers
from seqgen.errors import MismatchError, SeqgenError, SpecError
from seqgen.layers.arguments import near_miss
from seqgen.layers.base import Weight
from seqgen.tensor_file import CODES, Lazy, blocks, entries, little

INTEGERS = ("int64", "int32")
FLOATS = ("float64", "float32", "bfloat16", "float16")
MOST_HINTS = 20


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
                return cls(entries(path, file))
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
            for part in self._parts(key):
                file.write(little(part).view(np.uint8).data)

    def _parts(self, key: str) -> Iterator[np.ndarray]:
        """The elements of an entry in flat arrays, each good until the next one is made."""
        if self._entries[key].read is None:
            yield np.ascontiguousarray(self[key]).reshape(-1)
        else:
            yield from blocks(self._entries[key])

    def entry(self, key: str) -> Lazy:
        """The array of an entry, not made yet."""
        return self._entries[key]

    def own(self, key: str) -> np.ndarray:
        """An entry, as an array that nobody else has."""
        return self[key] if self._entries[key].read else np.array(self[key])

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
