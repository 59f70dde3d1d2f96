"""Runs Keras: the spec built straight from keras.layers (the oracle), and the generated program."""

import functools
import importlib
from typing import Any

import keras
import numpy as np
from protocol import NotHere, Request, load_program, read_arrays, serve, write_arrays
from safetensors.numpy import load_file

MODULES = ("activations", "initializers", "regularizers", "constraints")


def value(plain: Any) -> Any:
    """An argument as Keras takes it."""
    if isinstance(plain, dict) and "function" in plain:
        module = getattr(keras, plain["module"])
        function = getattr(module, plain["function"])
        if plain["module"] == "activations":
            return functools.partial(function, **plain["arguments"])
        return function(**plain["arguments"])
    if isinstance(plain, dict) and "class" in plain:
        return layer(plain)
    if isinstance(plain, list):
        return tuple(value(item) for item in plain)
    return plain


def layer(plain: dict[str, Any]) -> keras.Layer:
    """A layer of the spec, made by Keras itself."""
    arguments = {name: value(item) for name, item in plain["arguments"].items()}
    module, _, name = plain["class"].rpartition(":")
    home = importlib.import_module(module) if module else keras.layers
    return getattr(home, name)(**arguments)


def on_device(device: str) -> Any:
    """A scope in which Keras computes on the device."""
    if device == "cuda":
        import tensorflow as tf

        if keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU"):
            raise NotHere("TensorFlow sees no GPU")
        tf.config.experimental.enable_tensor_float_32_execution(False)
        return keras.device("gpu:0")
    return keras.device("cpu:0")


def counts(weights: list[Any]) -> dict[str, int]:
    """Number of parameters: in total and trainable."""
    size = lambda part: int(sum(np.prod(w.shape, dtype=int) for w in part))  # noqa: E731
    return {"total": size(weights), "trainable": size([w for w in weights if w.trainable])}


def to_numpy(tensor: Any) -> np.ndarray:
    """An array that NumPy can save; bfloat16 widens to float32 without a change of value."""
    array = keras.ops.convert_to_numpy(tensor)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)


def results(model: Any, request: Request) -> list[np.ndarray]:
    """Outputs for each input; in training mode also all variables after that."""
    inputs = read_arrays(request["inputs"])
    with on_device(request["device"]):
        arrays = [to_numpy(model(x, training=False)) for x in inputs]
        if request["training"]:
            arrays = [to_numpy(model(x, training=True)) for x in inputs]
            arrays += [to_numpy(w) for w in model.weights]
    return arrays


def oracle(request: Request) -> dict[str, Any]:
    """The spec as a chain of Keras layers, with the weights of a file in their order."""
    keras.backend.clear_session()
    entry = keras.Input(request["shape"], dtype=request["dtype"])
    x, layers, outputs = entry, [], []
    for plain in request["layers"]:
        made = layer(plain)
        x = made(x)
        layers.append(made)
        outputs.append(x)
    values = load_file(request["weights"])
    for made, plain in zip(layers, request["layers"], strict=True):
        for variable, key in zip(made.weights, plain["weights"], strict=True):
            variable.assign(values[key])
    model = keras.Model(entry, outputs[-1])
    if request["intermediate"]:
        model = keras.Model(entry, outputs)
        x = read_arrays(request["inputs"])[0]
        with on_device(request["device"]):
            made = model(x, training=False)
        write_arrays(request["output"], [to_numpy(t) for t in made])
        return {}
    write_arrays(request["output"], results(model, request))
    keys = [key for plain in request["layers"] for key in plain["weights"]]
    return {"counts": counts(model.weights), "state": keys}


def leaves(model: Any) -> list[Any]:
    """The layers of a model, those of nested models in their place."""
    found = []
    for item in model.layers:
        if isinstance(item, keras.Model):
            found += leaves(item)
        elif not isinstance(item, keras.layers.InputLayer):
            found.append(item)
    return found


def built(request: Request) -> Any:
    """The model of the generated program, with its weights."""
    keras.backend.clear_session()
    program = load_program(request["file"])
    model = program.build_model()
    program.load_weights(model, request["weights"])
    return model


def run_program(request: Request) -> dict[str, Any]:
    """Run the generated program."""
    model = built(request)
    if request["intermediate"]:
        x = read_arrays(request["inputs"])[0]
        tensor, arrays = keras.ops.convert_to_tensor(x), []
        with on_device(request["device"]):
            for item in leaves(model):
                tensor = item(tensor)
                arrays.append(to_numpy(tensor))
        write_arrays(request["output"], arrays)
        return {"names": [item.name for item in leaves(model)]}
    write_arrays(request["output"], results(model, request))
    variables = {w.path.removeprefix(f"{model.name}/"): w for w in model.weights}
    sizes = {path: int(np.prod(w.shape, dtype=int)) for path, w in variables.items()}
    return {"counts": counts(model.weights), "variables": sizes, "state": list(sizes)}


def export(request: Request) -> dict[str, Any]:
    """Let Keras export the program's model to ONNX."""
    model = built(request)
    # Keras exports what it has seen called.
    model(read_arrays(request["inputs"])[0])
    model.export(request["output"], format="onnx", verbose=False)
    return {}


def hello(request: Request) -> dict[str, Any]:
    """Who answers."""
    backend = keras.backend.backend()
    return {"version": keras.__version__, "devices": [*keras.distribution.list_devices(), backend]}


if __name__ == "__main__":
    serve({"hello": hello, "oracle": oracle, "program": run_program, "export": export})
