"""HDF5 files as Keras 2 wrote them: keras/engine/saving.py of 2.3.1, hdf5_format.py of tf.keras."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Layers = Iterable[tuple[str, Sequence[tuple[str, np.ndarray]]]]


def item(kind: str, **config: Any) -> dict[str, Any]:
    """A layer as a config of Keras 2 has it."""
    return {"class_name": kind, "config": {"trainable": True, **config}}


def called(layer: dict[str, Any], *calls: Any) -> dict[str, Any]:
    """A layer of a graph with what it is called on."""
    return {**layer, "name": layer["config"]["name"], "inbound_nodes": list(calls)}


def entry(name: str, *shape: int | None) -> dict[str, Any]:
    """An InputLayer of a graph."""
    config = {"name": name, "batch_input_shape": [None, *shape], "dtype": "float32"}
    return called({"class_name": "InputLayer", "config": {**config, "sparse": False}})


def variance_scaling(mode: str = "fan_avg", distribution: str = "uniform") -> dict[str, Any]:
    """How Keras 2 wrote `glorot_uniform` and the like."""
    config = {"scale": 1.0, "mode": mode, "distribution": distribution, "seed": None}
    return {"class_name": "VarianceScaling", "config": config}


def write_names(group: Any, name: str, names: Sequence[str], pieces: int = 1) -> None:
    """A list of names as an attribute, cut in pieces as Keras cuts what is over 64 KB."""
    data = np.asarray([text.encode() for text in names])
    if pieces == 1:
        group.attrs[name] = data
        return
    for number, part in enumerate(np.array_split(data, pieces)):
        group.attrs[f"{name}{number}"] = part


def write_weights(group: Any, layers: Layers, version: str, backend: str, pieces: int = 1) -> None:
    """`save_weights_to_hdf5_group`."""
    layers = list(layers)
    write_names(group, "layer_names", [name for name, _ in layers], pieces)
    group.attrs["backend"] = backend.encode()
    group.attrs["keras_version"] = version.encode()
    for name, variables in layers:
        inner = group.create_group(name)
        write_names(inner, "weight_names", [n for n, _ in variables], pieces if variables else 1)
        for variable, value in variables:
            inner.create_dataset(variable, value.shape, dtype=value.dtype)[...] = value


def write_model(
    path: Path,
    config: Any,
    layers: Layers,
    version: str = "2.3.1",
    backend: str = "tensorflow",
    pieces: int = 1,
    kind: str = "Sequential",
) -> Path:
    """`save_model`."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = backend.encode()
        text = json.dumps({"class_name": kind, "config": config})
        file.attrs["model_config"] = text.encode()
        file.attrs["training_config"] = json.dumps({"loss": "mse"}).encode()
        write_weights(file.create_group("model_weights"), layers, version, backend, pieces)
    return path


def write_weights_file(path: Path, layers: Layers, version: str = "2.3.1", **kw: Any) -> Path:
    """`save_weights`."""
    with h5py.File(path, "w") as file:
        write_weights(file, layers, version, kw.pop("backend", "tensorflow"), **kw)
    return path
