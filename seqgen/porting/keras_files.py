"""Keras's own files: `.keras` and `.h5` are read, Keras 3's `.weights.h5` is written too."""

from pathlib import Path
from typing import TYPE_CHECKING

from seqgen.importers.archive import Archive
from seqgen.importers.hdf5 import groups_of, hdf5_weights, places_of, stored
from seqgen.importers.keras import from_keras
from seqgen.porting.content import Content, Names, checked
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

# A SpectralNormalization keeps the kernel of the layer inside once more, in front of its vector.
VECTOR, OWN_KERNEL, KERNEL = "vars/1", "vars/0", "layer/vars/0"


def places(model: "Sequential", layout: str = "") -> Names:
    """Where a Keras 3 file has each variable; twice where Keras writes it twice."""
    own = places_of(model)
    wrappers = [
        place.removesuffix(VECTOR) for key, place in own.items() if key.endswith(".vector_u")
    ]
    twice = {f"{wrapper}{KERNEL}": f"{wrapper}{OWN_KERNEL}" for wrapper in wrappers}
    return {
        key: (place, twice[place]) if place in twice else (place,) for key, place in own.items()
    }


def keys(model: "Sequential", layout: str = "") -> Names:
    """The keys themselves, for files in which they say best what is where."""
    return {weight.key: (weight.key,) for weight in model.graph().weights}


def read_archive(path: Path, model: "Sequential", layout: str) -> Content:
    """The weights of a `.keras` file, whose own layers must be those of the model."""
    graph, own = model.graph(), from_keras(path)
    weights = Weights(stored(own, Archive(path).weights()))
    return Content(checked(path, weights, graph.weights, graph.dtype))


def read_hdf5(path: Path, model: "Sequential", layout: str) -> Content:
    """The weights of a `.weights.h5` of Keras 3, or of an `.h5` of Keras 2."""
    graph = model.graph()
    return Content(checked(path, hdf5_weights(path, model), graph.weights, graph.dtype))


def write_hdf5(path: Path, weights: Weights, model: "Sequential", layout: str) -> None:
    """Write a `.weights.h5`, which Keras 3 loads, one array at a time."""
    import h5py

    with h5py.File(path, "x") as file:
        for layer, group in (*groups_of(model), (model, "")):
            # Keras notes the name of each layer, also of those without variables.
            file.require_group(f"{group}/vars").attrs["name"] = layer.name or ""
        for key, found in places(model).items():
            array = weights[key]
            for place in found:
                if array.dtype.name == "bfloat16":
                    # HDF5 does not know it: Keras writes the bytes, and says what they are.
                    file.create_dataset(place, data=array.view("V2")).attrs["dtype"] = "bfloat16"
                else:
                    file.create_dataset(place, data=array)
