"""Initializers of the graph that the generated ONNX program writes; they are only read."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import MismatchError, SeqgenError
from seqgen.initializers import array_dtype
from seqgen.layers.arguments import short
from seqgen.porting.content import Content, checked, refused
from seqgen.porting.programs import Placing, placing
from seqgen.targets.onnx import ELEM_TYPES
from seqgen.tensor_file import Lazy, little
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

WRITTEN = (
    "expected the graph that onnx_model.py of this spec writes (`seqgen import` makes a spec of "
    "another one, with its weights)"
)
DTYPES = {name: dtype for dtype, name in ELEM_TYPES.items()}


class Fault(Exception):
    """What is wrong with one initializer."""


def _graph(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise SeqgenError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (DecodeError, ValueError, RecursionError, MemoryError) as error:
        raise SeqgenError(f"{path} is no ONNX file, or it is broken: {error}") from None
    return proto.graph


def _entry(tensor: Any, folder: Path) -> Lazy:
    """An initializer as an entry of a store, its values not read yet."""
    from onnx import TensorProto

    kind = tensor.data_type
    name = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else str(kind)
    if name not in DTYPES:
        raise Fault(f"expected one of {', '.join(DTYPES)}; received {name}")
    empty = Lazy(tuple(tensor.dims), DTYPES[name], lambda: np.empty(0))
    if any(size < 0 for size in empty.shape):
        raise Fault(f"{short(list(empty.shape))} is not a shape")
    if tensor.data_location == TensorProto.EXTERNAL:
        file, offset = _external(tensor, folder, empty.nbytes)
        load = partial(_read, file, offset, empty)
    else:
        if tensor.HasField("raw_data") and len(tensor.raw_data) != empty.nbytes:
            raise Fault(f"claims shape {empty.shape}, but has {len(tensor.raw_data)} bytes")
        load = partial(_embedded, tensor, empty)
    return Lazy(empty.shape, empty.dtype, load)


def _external(tensor: Any, folder: Path, nbytes: int) -> tuple[Path, int]:
    """The file outside that holds an initializer, which must be in the folder, and where."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    try:
        offset, length = int(said.get("offset", 0)), int(said.get("length", nbytes))
        file = Path(os.path.realpath(folder / location))
        within = file.is_relative_to(os.path.realpath(folder)) and not os.path.isabs(location)
        size = file.stat().st_size if within and file.is_file() else None
    except (ValueError, OSError):
        raise Fault(f"its place in a file outside is broken: {short(said)}") from None
    if not within:
        raise Fault(f"lies at {short(location)}, outside the folder of the model")
    if size is None:
        raise Fault(f"lies in {short(location)}, which is not there")
    if offset < 0 or length != nbytes or offset + length > size:
        raise Fault(f"{nbytes} bytes are not at {offset} in {short(location)} of {size} bytes")
    return file, offset


def _read(file: Path, offset: int, entry: Lazy) -> np.ndarray:
    array = np.empty(entry.shape, array_dtype(entry.dtype))
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            count = opened.readinto(array.reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise SeqgenError(f"{file}: cannot be read: {error.strerror or error}") from None
    if count != array.nbytes:
        raise MismatchError(f"{file}: has changed since it was opened")
    return little(array)


def _embedded(tensor: Any, entry: Lazy) -> np.ndarray:
    if tensor.HasField("raw_data"):
        values = np.frombuffer(tensor.raw_data, array_dtype(entry.dtype)).reshape(entry.shape)
        return little(values)
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise MismatchError(f"initializer '{tensor.name}' is broken: {error}") from None


def _entries(path: Path, graph: Any) -> dict[str, Lazy]:
    entries: dict[str, Lazy] = {}
    faults = [f"'{t.values.name}': it is sparse" for t in graph.sparse_initializer]
    for tensor in graph.initializer:
        try:
            if tensor.name in entries:
                raise Fault("is there twice")
            entries[tensor.name] = _entry(tensor, path.parent)
        except Fault as fault:
            faults.append(f"'{tensor.name}': {fault}")
    refused(path, "initializers cannot be read", faults)
    return entries


def _strange_inputs(graph: Any, places: Placing) -> Iterator[str]:
    """How the inputs differ from those of the program: then weights may lie otherwise too."""
    known = {entry.name: entry.type.tensor_type.shape.dim for entry in graph.input}
    for name in places.lowered.inputs:
        shape = places.lowered.by_name[name].physical.shape
        if name not in known:
            yield f"there is no input '{name}'"
            continue
        dims = tuple(dim.dim_value or None for dim in known[name])
        sizes = tuple(size if isinstance(size, int) else None for size in shape)
        if dims != sizes:
            yield f"input '{name}': expected {sizes}, received {dims}; see --layout"


def read(path: Path, model: "Sequential", layout: str) -> Content:
    """The weights of the graph that the generated ONNX program writes.

    Raises:
        SeqgenError: The file is broken.
        MismatchError: Its inputs and initializers are not those of the program, or data lie outside
            the folder of the file.
    """
    places, graph = placing(model, "onnx", layout), _graph(path)
    refused(path, WRITTEN, list(_strange_inputs(graph, places)))
    stored = Weights(_entries(path, graph))
    checked(path, stored, places.specs, places.lowered.dtype, WRITTEN)
    return Content(places.restored(stored))
