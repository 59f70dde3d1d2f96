"""HDF5 files of Keras: weights onto a spec, and whole models of Keras 2. Keras is not imported.

Three kinds are told apart by what they hold. A `.weights.h5` file of Keras 3 has the variables
under the places of the layers (keras/src/saving/saving_lib.py), as the archive of a `.keras` file
has them. The two older kinds have a group for each layer, with the names of its variables as an
attribute, and a whole model has its config beside them (keras/src/legacy/saving).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqgen.errors import MismatchError, SeqgenError, UnsupportedError
from seqgen.importers.archive import Archive, Slice, Store, parse_json
from seqgen.importers.config import spec_of
from seqgen.importers.legacy_config import spec_of_legacy
from seqgen.importers.legacy_weights import LAYER_NAMES, legacy_weights
from seqgen.importers.objects import OWN_NAMES
from seqgen.layers.base import Layer
from seqgen.layers.objects import to_snake_case
from seqgen.spec.container import Container, Item
from seqgen.spec.files import from_plain, is_hdf5
from seqgen.spec.flatten import flatten
from seqgen.tensor_file import Lazy, in_file
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.whole import Whole

MODEL_CONFIG, MODEL_WEIGHTS = "model_config", "model_weights"
# Where Keras 2.12 to 2.14 had the layers in the format that became that of Keras 3.
CHECKPOINT_LAYERS = "_layer_checkpoint_dependencies"
# Variables of a layer that are no weights: the states of its random numbers.
NO_WEIGHT = re.compile(r"(^|/)(seed_generator|_?seed_generators|optimizer)/")


def open_store(path: Path) -> Store:
    """An HDF5 file, opened.

    Raises:
        SeqgenError: It cannot be read, is no HDF5 file, or is broken.
    """
    try:
        return Store(str(path), Slice(path, 0, path.stat().st_size))
    except OSError as error:
        raise SeqgenError(f"cannot read {path}: {error.strerror or error}") from None


def hdf5_weights(path: Path, model: "Whole") -> Weights:
    """The weights of an HDF5 file for a model, by key; each is read when it is asked for.

    Args:
        path: Weights of Keras 3 (`.weights.h5`), weights of Keras 2, or a whole model of the
            format of Keras 2, of which only the weights are taken.
        model: The model they belong to.

    Raises:
        MismatchError: They are not exactly the weights of the model.
        SeqgenError: The file is broken, or of another kind.
    """
    path = Path(path)
    store = open_store(path)
    if store.has_attribute("", LAYER_NAMES):
        return Weights(legacy_weights(store, "", model))
    if store.has_group(MODEL_WEIGHTS):
        return Weights(legacy_weights(store, MODEL_WEIGHTS, model))
    if store.has_group(CHECKPOINT_LAYERS):
        raise UnsupportedError(
            f"{path} has the layout that only Keras 2.12 to 2.14 wrote for .weights.h5; "
            "save the model there as .h5, which is read"
        )
    if store.has_group("layers"):
        return Weights(stored(model, store))
    raise SeqgenError(f"{path} holds no weights as Keras writes them: no layers, no layer names")


def hdf5_model(path: Path) -> "Whole":
    """The model of an HDF5 file with its config and weights, as Keras 2 wrote it and Keras 3 can.

    Raises:
        UnsupportedError: The model, or a part of it, cannot be imported; all parts are named.
        SeqgenError: The file is broken, or holds weights only.
    """
    store = open_store(path)
    text = store.text(MODEL_CONFIG)
    if text is None or not store.has_group(MODEL_WEIGHTS):
        raise SeqgenError(
            f"{path} holds no model, only weights at most; write the spec of its model, and name "
            "the file as its weights"
        )
    config = parse_json(text.encode(), f"{path}: {MODEL_CONFIG}")
    version = store.text("keras_version") or store.text("keras_version", MODEL_WEIGHTS) or ""
    backend = store.text("backend") or store.text("backend", MODEL_WEIGHTS)
    if version.startswith("3."):
        spec = spec_of(config)
    elif version.startswith("2."):
        spec = spec_of_legacy(config, version, backend)
    else:
        raise UnsupportedError(
            f"{path} was written by Keras '{version}'; files of Keras 2 and 3 are read"
        )
    model = from_plain(spec)
    model.set_store(numbers_only(Weights(legacy_weights(store, MODEL_WEIGHTS, model))))
    return model


def open_weights(path: Path, model: "Whole") -> Weights:
    """The weights of a file for a model, not checked against it yet.

    Args:
        path: A safetensors, HDF5 or `.keras` file.
        model: Whose weights they are.
    """
    if path.suffix == ".keras":
        return numbers_only(Weights(stored(model, Archive(path).weights())))
    return numbers_only(hdf5_weights(path, model)) if is_hdf5(path) else Weights.open(path)


def numbers_only(weights: Weights) -> Weights:
    """The same weights, each of which raises a `MismatchError` when it is read and holds NaN."""

    def checked(key: str) -> Lazy:
        def check(array: np.ndarray) -> None:
            # The least of numbers is NaN where one of them is; no second array is made for it.
            if array.size and np.isnan(array.min()):
                raise MismatchError(f"weight '{key}' holds NaN, of which a model computes NaN only")

        def load() -> np.ndarray:
            array = weights[key]
            check(array)
            return array

        def read(index: int, array: np.ndarray) -> None:
            assert stored is not None
            stored(index, array)
            check(array)

        shape, dtype, stored = weights.shape(key), weights.dtype(key), weights.entry(key).read
        return in_file(shape, dtype, read) if stored else Lazy(shape, dtype, load)

    return Weights({key: checked(key) for key in weights})


def _class_name(item: Item) -> str:
    """The class of a layer or model as files of Keras 3 have it."""
    is_graph = isinstance(item, Container) and not hasattr(item, "add")
    name = type(item).__name__
    return "functional" if is_graph else to_snake_case(OWN_NAMES.get(name, name))


def groups_of(model: Container, prefix: str = "") -> Iterator[tuple[Layer, str]]:
    """Every layer with the group of the HDF5 file that holds its variables.

    Keras numbers the layers of a container by class, whatever they are called.
    """
    used: dict[str, int] = {}
    for layer in model.items:
        name = _class_name(layer)
        used[name] = used.get(name, -1) + 1
        group = f"{prefix}layers/{name}_{used[name]}" if used[name] else f"{prefix}layers/{name}"
        if isinstance(layer, Layer):
            yield layer, group
        else:
            yield from groups_of(layer, f"{group}/")


def places_of(model: "Whole") -> dict[str, str]:
    """Where a file of Keras 3 has each variable of a model."""
    groups: dict[int, str] = {}
    for layer, group in groups_of(model):
        # A layer that stands at several places is saved where Keras meets it first.
        groups.setdefault(id(layer), group)
    return {
        ".".join((*leaf.path.split("/"), *variable.parts)): (
            f"{groups[id(leaf.layer)]}/{variable.weight.place or f'vars/{index}'}"
        )
        for leaf in flatten(model)
        for index, variable in enumerate(leaf.layer.variables)
    }


def _copies(places: dict[str, str]) -> set[str]:
    """Where SpectralNormalization has the kernel of the layer within, which it holds too."""
    vectors = [place for key, place in places.items() if key.endswith(".vector_u")]
    return {f"{place.removesuffix('1')}0" for place in vectors}


def stored(model: "Whole", store: Store) -> dict[str, Lazy]:
    """Every variable of a model with its array in a file of Keras 3.

    Raises:
        MismatchError: The file has other variables, or one of another shape.
    """
    places, shapes = places_of(model), {w.key: w.shape for w in model.graph().weights}
    known = set(places.values()) | _copies(places)
    extra = [
        path
        for path in sorted(store.arrays())
        if path.startswith("layers/") and path not in known and not NO_WEIGHT.search(path)
    ]
    if extra:
        raise MismatchError(
            f"{store.label} holds {len(extra)} arrays that are no weights of this model, such as "
            f"'{extra[0]}'"
        )
    entries = {key: store.entry(place) for key, place in places.items()}
    for key, entry in entries.items():
        if entry.shape != shapes[key]:
            raise MismatchError(f"{key}: expected shape {shapes[key]}, the file has {entry.shape}")
    return entries
