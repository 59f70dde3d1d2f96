"""Keras models into specs: a live one, a `.keras` file, or a config as JSON."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import MismatchError, SeqgenError, UnsupportedError
from seqgen.importers.archive import LONGEST_JSON, Archive, Store, parse_json
from seqgen.importers.config import spec_of
from seqgen.ir.graph import Node
from seqgen.layers.objects import to_snake_case
from seqgen.spec.sequential import Sequential
from seqgen.weights import Lazy, Weights

if TYPE_CHECKING:
    from seqgen.layers.base import Layer


def from_keras(model: Any) -> Sequential:
    """A spec with the weights of a Keras model.

    Args:
        model: A live `keras.Sequential`, or the path of a `.keras` file or of a config as JSON
            (which has no weights). Keras is not imported for a path.

    Raises:
        UnsupportedError: The model, or a part of it, cannot be imported; all parts are named.
        SeqgenError: The file is broken.
    """
    if isinstance(model, (str, os.PathLike)):
        return _from_path(Path(model))
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        raise UnsupportedError(
            f"expected a Keras model or the path of one, received {type(model).__name__}"
        )
    return _from_live(keras, model)


def _from_path(path: Path) -> Sequential:
    if path.suffix == ".keras":
        archive = Archive(path)
        _check_version(archive.metadata, path)
        model = Sequential.from_dict(spec_of(archive.config))
        model.set_store(Weights(dict(_stored(model, archive.weights()))))
        return model
    if path.suffix == ".json":
        return Sequential.from_dict(spec_of(parse_json(_read(path), str(path))))
    raise UnsupportedError(f"{path}: expected a .keras file, or a config that ends in .json")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LONGEST_JSON:
            raise SeqgenError(f"{path} is too large for the config of a model")
        return path.read_bytes()
    except OSError as error:
        raise SeqgenError(f"cannot read {path}: {error.strerror or error}") from None


def _check_version(metadata: Any, path: Path) -> None:
    version = metadata.get("keras_version", "") if isinstance(metadata, dict) else ""
    if not str(version).startswith("3."):
        raise UnsupportedError(f"{path} was written by Keras '{version}', not by Keras 3")


def _from_live(keras: Any, model: Any) -> Sequential:
    made = Sequential.from_dict(spec_of(keras.saving.serialize_keras_object(model)))
    specs, variables = made.graph().weights, model.weights
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [spec.shape for spec in specs]:
        raise MismatchError(f"expected weights of shapes {[s.shape for s in specs]}, got {shapes}")

    def entry(variable: Any) -> Lazy:
        dtype = keras.backend.standardize_dtype(variable.dtype)
        load = lambda: np.asarray(keras.ops.convert_to_numpy(variable.value))  # noqa: E731
        return Lazy(tuple(variable.shape), dtype, load)

    pairs = zip(specs, variables, strict=True)
    made.set_store(Weights({spec.key: entry(variable) for spec, variable in pairs}))
    return made


def _groups(model: Sequential, prefix: str = "") -> "Iterator[tuple[Layer, str]]":
    """Every layer with the group of the HDF5 file that holds its variables.

    Keras numbers the layers of a container by class, whatever they are called.
    """
    used: dict[str, int] = {}
    for layer in model.layers:
        name = to_snake_case(type(layer).__name__)
        used[name] = used.get(name, -1) + 1
        group = f"{prefix}layers/{name}_{used[name]}" if used[name] else f"{prefix}layers/{name}"
        if isinstance(layer, Sequential):
            yield from _groups(layer, f"{group}/")
        else:
            yield layer, group


def _stored(model: Sequential, store: Store) -> Iterator[tuple[str, Lazy]]:
    """Every variable of a model with its array in the file."""
    nodes: tuple[Node, ...] = model.graph().layers
    for node, (_, group) in zip(nodes, _groups(model), strict=True):
        for index, weight in enumerate(node.weights):
            entry = store.entry(f"{group}/{weight.place or f'vars/{index}'}")
            if entry.shape != weight.shape:
                raise MismatchError(
                    f"{weight.key}: expected shape {weight.shape}, the file has {entry.shape}"
                )
            yield weight.key, entry
