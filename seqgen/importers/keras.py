"""Keras models into specs: a live one, a file of Keras 3 or 2, or a config as JSON."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from seqgen.errors import MismatchError, SeqgenError, UnsupportedError
from seqgen.importers.archive import LONGEST_JSON, Archive, parse_json
from seqgen.importers.config import spec_of
from seqgen.importers.hdf5 import hdf5_model, numbers_only, stored
from seqgen.spec.files import is_hdf5
from seqgen.spec.sequential import Sequential
from seqgen.weights import Lazy, Weights


def from_keras(model: Any) -> Sequential:
    """A spec with the weights of a Keras model.

    Args:
        model: A live `keras.Sequential`, or the path of a `.keras` file, of a model that Keras 2
            saved as `.h5` or `.hdf5`, or of a config as JSON (which has no weights). Keras is not
            imported for a path.

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
        model.set_store(numbers_only(Weights(stored(model, archive.weights()))))
        return model
    if is_hdf5(path):
        return hdf5_model(path)
    if path.suffix == ".json":
        return Sequential.from_dict(spec_of(parse_json(_read(path), str(path))))
    raise UnsupportedError(
        f"{path}: expected a .keras, .h5 or .hdf5 file, or a config that ends in .json"
    )


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
