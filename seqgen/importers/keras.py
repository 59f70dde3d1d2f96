"""Keras models into specs: a live one, a file of Keras 3 or 2, or a config as JSON."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seqgen.errors import MismatchError, SeqgenError, UnsupportedError
from seqgen.importers.archive import LONGEST_JSON, Archive, parse_json
from seqgen.importers.config import SHARED, spec_of
from seqgen.importers.hdf5 import hdf5_model, numbers_only, stored
from seqgen.layers.base import Layer
from seqgen.layers.state import Variable
from seqgen.spec.container import Container
from seqgen.spec.files import from_plain, is_hdf5
from seqgen.spec.flatten import flatten
from seqgen.spec.whole import Whole
from seqgen.weights import Lazy, Weights


def from_keras(model: Any) -> Whole:
    """A spec with the weights of a Keras model.

    Args:
        model: A live `keras.Model`, Sequential or functional, or the path of a `.keras` file, of a
            model that Keras 2 saved as `.h5` or `.hdf5`, or of a config as JSON (which has no
            weights). Keras is not imported for a path.

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


def _from_path(path: Path) -> Whole:
    if path.suffix == ".keras":
        archive = Archive(path)
        _check_version(archive.metadata, path)
        model = from_plain(spec_of(archive.config))
        model.set_store(numbers_only(Weights(stored(model, archive.weights()))))
        return model
    if is_hdf5(path):
        return hdf5_model(path)
    if path.suffix == ".json":
        return from_plain(spec_of(parse_json(_read(path), str(path))))
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


def _from_live(keras: Any, model: Any) -> Whole:
    made = from_plain(spec_of(keras.saving.serialize_keras_object(model)))
    found = {id(own): variable for own, variable in _pairs(made, model)}
    _check_apart(made, found)

    def entry(variable: Any) -> Lazy:
        dtype = keras.backend.standardize_dtype(variable.dtype)
        load = lambda: np.asarray(keras.ops.convert_to_numpy(variable.value))  # noqa: E731
        return Lazy(tuple(variable.shape), dtype, load)

    keyed = made.keyed_variables
    made.set_store(Weights({key: entry(found[id(own)]) for key, own in keyed.items()}))
    return made


def _check_apart(made: Whole, found: dict[int, Any]) -> None:
    """Refuse layers that the spec has twice, while the live model has them once."""
    owners: dict[int, str] = {}
    for leaf in flatten(made):
        for variable in leaf.layer.variables:
            own = leaf.path.replace("/", " / ")
            if owners.setdefault(id(found[id(variable)]), own) != own:
                raise UnsupportedError(
                    f"this model cannot be imported:\n{leaf.layer.label}: {SHARED}"
                )


def _check_trained(layer: Layer, weights: list[Any]) -> None:
    """Refuse a layer of which Keras trains something else than its config says."""
    for own, variable in zip(layer.variables, weights, strict=True):
        if own.trainable != variable.trainable:
            said, does = ("trains", "does not") if own.trainable else ("freezes", "trains it")
            raise UnsupportedError(
                f"{layer.label}: the layer {said} its weights, but '{own.path}' {does}; set "
                "`trainable` of the whole layer, once it is built, or of none of its parts"
            )


def _pairs(made: Container, model: Any) -> Iterator[tuple[Variable, Any]]:
    """The variables of a spec, each with that of the live model."""
    layers = {layer.name: layer for layer in model.layers}
    for item in made.items:
        if isinstance(item, Container):
            yield from _pairs(item, layers[item.name])
        elif item.variables:
            weights = layers[item.name].weights
            shapes = [tuple(weight.shape) for weight in weights]
            expected = [variable.shape for variable in item.variables]
            if shapes != expected:
                message = f"expected weights of shapes {expected}, received {shapes}"
                raise MismatchError(f"{item.label}: {message}")
            _check_trained(item, weights)
            yield from zip(item.variables, weights, strict=True)
