"""Runs Keras: the spec built straight from keras.layers (the oracle), and the generated program."""

import contextlib
import functools
from typing import Any
from unittest import mock

import keras
import numpy as np
from keras_graph import Graph, as_list, forget, names_of, single, to_numpy
from keras_training import train, train_oracle
from protocol import NotHere, Request, load_program, noting, read_batches, serve, write_arrays

# As it is, while the trace of a program puts another in its place.
Sequential = keras.Sequential


def has_gpu() -> bool:
    """Whether Keras's back end sees a GPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)
        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    return any(name.startswith("gpu") for name in keras.distribution.list_devices())


def on_device(device: str) -> Any:
    """A scope in which Keras computes on the device."""
    if device == "cpu":
        return keras.device("cpu:0")
    if not has_gpu():
        raise NotHere(f"Keras sees no GPU with {keras.backend.backend()}")
    return keras.device("gpu:0")


def counts(weights: list[Any]) -> dict[str, int]:
    """Number of parameters: in total and trainable."""
    size = lambda part: int(sum(np.prod(w.shape, dtype=int) for w in part))  # noqa: E731
    return {"total": size(weights), "trainable": size([w for w in weights if w.trainable])}


def states_of(part: Any) -> list[Any]:
    """The states that the recurrent layers of a model or layer keep between batches."""
    layers = [item for item in part._flatten_layers() if isinstance(item, keras.layers.RNN)]
    # Those of stacked cells are nested.
    return keras.tree.flatten([item.states for item in layers if item.stateful])


def reset(states: list[Any]) -> None:
    """Set states to zero; Keras itself cannot where they are nested."""
    for state in states:
        state.assign(keras.ops.zeros_like(state))


def compiled(part: Any) -> Any:
    """A model or layer that XLA compiles."""
    import tensorflow as tf

    return tf.function(part, jit_compile=True, autograph=False)


def without_kernel() -> tuple[type[Exception], ...]:
    """The errors of operations that the back end has no kernels for, where XLA has.

    TensorFlow has no CPU kernels for convolutions with channels first, for dilated transposed
    ones and some more. XLA has, and compiles just what Keras calls.
    """
    if keras.backend.backend() != "tensorflow":
        return ()
    import tensorflow as tf

    return (tf.errors.OpError,)


def made_of(model: Any, batches: list[Any], training: bool) -> list[Any]:
    """What a model makes of each batch."""
    kept = [to_numpy(w) for w in model.weights] if training else []
    try:
        return [model(x, training=training) for x in batches]
    except without_kernel():
        # The layers before the one that did not run have gone on.
        reset(states_of(model))
        for variable, value in zip(model.weights, kept, strict=training):
            variable.assign(value)
        run = compiled(model)
        return [run(x, training=training) for x in batches]


def results(model: Any, request: Request) -> list[np.ndarray]:
    """Outputs for each batch; in training mode also all variables after that."""
    batches, training = tensors_of(request), request["training"]
    with on_device(request["device"]):
        made = made_of(model, batches, training)
    arrays = [to_numpy(tensor) for batch in made for tensor in as_list(batch)]
    return arrays + [to_numpy(w) for w in model.weights] if training else arrays


def oracle(request: Request) -> dict[str, Any]:
    """What the spec gives, with the weights of a file."""
    graph = Graph(request)
    write_arrays(request["output"], results(graph, request))
    return {"counts": counts(graph.weights), "state": list(graph.variables)}


def tensors_of(request: Request) -> list[Any]:
    """The inputs of each batch."""
    return [single([keras.ops.convert_to_tensor(x) for x in b]) for b in read_batches(request)]


def traced_inputs(request: Request) -> list[Any]:
    """The batch to watch, after those before it, which may change variables and states."""
    return tensors_of(request)[: request["index"] + 1]


def oracle_trace(request: Request) -> dict[str, Any]:
    """What every layer of the spec gives."""
    graph = Graph(request)
    graph.outputs = [plain["name"] for plain in request["graph"]["layers"]]
    inputs = traced_inputs(request)
    with on_device(request["device"]):
        made = made_of(graph, inputs, request["training"])[-1]
    write_arrays(request["output"], [to_numpy(tensor) for tensor in as_list(made)])
    return {}


def leaves(model: Any, path: str = "") -> list[tuple[str, Any]]:
    """The layers and operations of a model with their paths, those of nested models too."""
    found = []
    for item in getattr(model, "operations", model.layers):
        if isinstance(item, keras.Model):
            found += leaves(item, f"{path}{item.name}/")
        elif not isinstance(item, keras.layers.InputLayer):
            found.append((path + item.name, item))
    return found


def built(request: Request) -> tuple[Any, Any]:
    """The generated program and its model, with weights."""
    forget()
    program = load_program(request["file"])
    model = program.build_model()
    program.load_weights(model, request["weights"])
    return program, model


def run_program(request: Request) -> dict[str, Any]:
    """Run the generated program."""
    program, model = built(request)
    write_arrays(request["output"], results(model, request))
    variables = dict(zip(names_of(program, model), model.weights, strict=True))
    sizes = {path: int(np.prod(w.shape, dtype=int)) for path, w in variables.items()}
    trainable = [path for path, w in variables.items() if w.trainable]
    said = {"counts": counts(model.weights), "trainable": trainable}
    return {**said, "variables": sizes, "state": list(sizes)}


def longest(layers: list[Any], **arguments: Any) -> Any:
    """A Sequential of as many of the layers as can be built one after the other."""
    for count in range(len(layers), 1, -1):
        with contextlib.suppress(Exception):
            return Sequential(layers[:count], **arguments)
    return Sequential(layers[:1], **arguments)


class Watch:
    """Keeps what the layers of a model give, with their paths, in the order of their calls."""

    def __init__(self, model: Any) -> None:
        self._paths = {id(item): path for path, item in leaves(model)}
        self._inside = False
        self.records: list[tuple[str, np.ndarray]] = []

    def __call__(self, original: Any) -> Any:
        """A method `__call__` of layers that is watched."""

        def call(item: Any, *args: Any, **kwargs: Any) -> Any:
            path = self._paths.get(id(item))
            if path is None or self._inside:
                return original(item, *args, **kwargs)
            self._inside = True
            try:
                made = somehow(functools.partial(original, item, *args, **kwargs))
            finally:
                self._inside = False
            self.records.append((path, to_numpy(made)))
            return made

        return call

    def __enter__(self) -> "Watch":
        self._patches = [
            mock.patch.object(kind, "__call__", self(kind.__call__))
            for kind in (keras.Layer, keras.Operation)
        ]
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *error: object) -> None:
        for patch in self._patches:
            patch.stop()


def somehow(function: Any) -> Any:
    """What a function gives, compiled by XLA where TensorFlow has no kernel for it."""
    try:
        return function()
    except without_kernel():
        return compiled(function)()


def trace(request: Request) -> dict[str, Any]:
    """What every layer of the program gives, as far as it comes, and what goes wrong."""
    evidence: list[str] = []
    records: list[tuple[str, np.ndarray]] = []
    model = None
    forget()
    with noting(evidence, request["file"]):
        program = load_program(request["file"])
        with mock.patch.object(keras, "Sequential", longest):
            model = program.build_model()
        with noting(evidence, request["file"]):
            program.load_weights(model, request["weights"])
        with on_device(request["device"]), Watch(model) as watch:
            for tensors in traced_inputs(request):
                # What was computed before an error still tells where it came from.
                records = watch.records = []
                model(tensors, training=request["training"])
    write_arrays(request["output"], [array for _, array in records])
    names = [name for name, _ in records]
    # The calls of a layer have one name.
    said = {"names": names, "names_of_layers": True}
    return {**said, "evidence": evidence, "loaded": model is not None}


def export(request: Request) -> dict[str, Any]:
    """Let Keras export the program's model to ONNX."""
    _, model = built(request)
    # Keras exports what it has seen called.
    model(tensors_of(request)[0])
    reset(states_of(model))
    model.export(request["output"], format="onnx", verbose=False)
    return {}


def hello(request: Request) -> dict[str, Any]:
    """Who answers."""
    backend = keras.backend.backend()
    # With torch Keras has no list of devices.
    devices = [] if backend == "torch" else keras.distribution.list_devices()
    return {"version": keras.__version__, "devices": [*devices, backend]}


if __name__ == "__main__":
    handlers = {"oracle": oracle, "oracle_trace": oracle_trace, "program": run_program}
    handlers |= {"train_oracle": train_oracle, "train": train}
    serve({"hello": hello, "trace": trace, "export": export, **handlers})
