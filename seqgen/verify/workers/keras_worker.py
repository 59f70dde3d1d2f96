"""Runs Keras: the spec built straight from keras.layers (the oracle), and the generated program."""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
from protocol import (
    NotHere,
    Request,
    load_program,
    load_training,
    noting,
    read_batches,
    read_steps,
    serve,
    write_arrays,
)
from safetensors.numpy import load_file

# As it is, while the trace of a program puts another in its place.
Sequential = keras.Sequential


def activation(function: Any, arguments: dict[str, Any]) -> Any:
    """A function with arguments as one that Keras can write down, since wrappers copy layers so."""
    if not arguments:
        return function

    def called(x: Any) -> Any:
        return function(x, **arguments)

    called.__name__ = f"{function.__name__}{sorted(arguments.items())}"
    return keras.saving.register_keras_serializable("worker", called.__name__)(called)


@keras.saving.register_keras_serializable("worker")
def hard_sigmoid_keras_2(x: Any) -> Any:
    """What Keras 2 called hard_sigmoid (tensorflow/python/keras/backend.py), for imports."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def value(plain: Any) -> Any:
    """An argument as Keras takes it."""
    if isinstance(plain, dict) and "function" in plain:
        if plain["function"] == hard_sigmoid_keras_2.__name__:
            return hard_sigmoid_keras_2
        module = getattr(keras, plain["module"])
        function = getattr(module, plain["function"])
        arguments = {name: value(item) for name, item in plain["arguments"].items()}
        if plain["module"] == "activations":
            return activation(function, arguments)
        return function(**arguments)
    if isinstance(plain, dict) and "class" in plain:
        return layer(plain)
    if isinstance(plain, list):
        return tuple(value(item) for item in plain)
    return plain


class Operation:
    """A function of keras.ops with all its arguments but the tensors.

    Args:
        name: Its name.
        arguments: The arguments.
        ports: Names of the tensors, where a number may stand in the place of one.
    """

    weights: tuple[Any, ...] = ()

    def __init__(self, name: str, arguments: dict[str, Any], ports: list[str]) -> None:
        self._function = getattr(keras.ops, name)
        self._arguments = {k: v for k, v in arguments.items() if k != "name"}
        self._ports = ports
        if "key" in arguments:
            self._arguments["key"] = eval(f"np.index_exp[{arguments['key']}]")

    def __call__(self, *tensors: Any, training: bool = False) -> Any:
        """The result; it is the same in every mode."""
        if self._ports:
            named = dict(zip(self._ports, tensors, strict=True))
            return self._function(**named, **self._arguments)
        return self._function(*tensors, **self._arguments)

    def _flatten_layers(self) -> list[Any]:
        return []


def layer(plain: dict[str, Any]) -> Any:
    """A layer of the spec, made by Keras itself."""
    arguments = {name: value(item) for name, item in plain["arguments"].items()}
    module, _, name = plain["class"].rpartition(":")
    if name.startswith("ops."):
        return Operation(name.removeprefix("ops."), arguments, plain["ports"])
    home = importlib.import_module(module) if module else keras.layers
    return getattr(home, name)(**arguments)


def forget() -> None:
    """Have Keras forget its models, so that it counts names from the start.

    TensorFlow keeps the kernels of its operations, which Keras would have it make anew each time.
    """
    if keras.backend.backend() != "tensorflow":
        keras.backend.clear_session()
        return
    # Where Keras itself finds it.
    from tensorflow.python.eager import context

    with mock.patch.object(context.context(), "clear_kernel_cache"):
        keras.backend.clear_session()


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


def to_numpy(tensor: Any) -> np.ndarray:
    """An array that NumPy can save; bfloat16 widens to float32 without a change of value."""
    array = keras.ops.convert_to_numpy(tensor)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)


def states_of(part: Any) -> list[Any]:
    """The states that the recurrent layers of a model or layer keep between batches."""
    layers = [item for item in part._flatten_layers() if isinstance(item, keras.layers.RNN)]
    # Those of stacked cells are nested.
    return keras.tree.flatten([item.states for item in layers if item.stateful])


def reset(states: list[Any]) -> None:
    """Set states to zero; Keras itself cannot where they are nested."""
    for state in states:
        state.assign(keras.ops.zeros_like(state))


def single(values: list[Any]) -> Any:
    """The only one of several values, or all of them."""
    return values[0] if len(values) == 1 else values


def as_list(made: Any) -> list[Any]:
    """The results of a model, which hands out a list of one as its only item."""
    return list(made) if isinstance(made, (list, tuple)) else [made]


def runnable(part: Any, x: Any) -> Any:
    """A model or layer as it can be called on `x` here, its states zero.

    TensorFlow has no CPU kernels for convolutions with channels first, for dilated transposed
    ones and some more. XLA has, and compiles just what Keras calls.
    """
    if keras.backend.backend() != "tensorflow":
        return part
    import tensorflow as tf

    states = states_of(part)
    try:
        # Where there are states, the batch is of their size.
        part(x if states else keras.tree.map_structure(lambda t: t[:1], x), training=False)
    except tf.errors.OpError:
        return tf.function(part, jit_compile=True, autograph=False)
    finally:
        reset(states)
    return part


def results(model: Any, request: Request) -> list[np.ndarray]:
    """Outputs for each batch; in training mode also all variables after that."""
    batches = tensors_of(request)
    with on_device(request["device"]):
        run = runnable(model, batches[0])
        made = [as_list(run(x, training=request["training"])) for x in batches]
        arrays = [to_numpy(tensor) for batch in made for tensor in batch]
        if request["training"]:
            arrays += [to_numpy(w) for w in model.weights]
    return arrays


def called(made: Any, plain: dict[str, Any], values: dict[str, Any]) -> Any:
    """What a layer of the spec gives for what it reads."""
    read = [values[name] for name in plain["inputs"]]
    if plain["as_list"]:
        return made(read, **plain["call"])
    ports = plain["ports"][: len(read)]
    named = {port: read[ports.index(port)] for port in ports if port in plain["by_name"]}
    return made(*read[: len(read) - len(named)], **named, **plain["call"])


def masks_of_call(made: Any) -> dict[str, Any]:
    """The masks with which Keras called a layer last, as it writes them into its own graphs."""
    if not isinstance(made, keras.Layer):
        return {}
    given = made._inbound_nodes[-1].arguments.kwargs
    names = ("mask", "query_mask", "value_mask", "key_mask")
    return {name: given[name] for name in names if given.get(name) is not None}


@contextlib.contextmanager
def without_masks(plain: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """Hide the masks of tensors from other models: a graph of Keras knows only its own."""
    scope = plain["name"].rpartition("/")[0]
    others = [values[name] for name in plain["inputs"] if name.rpartition("/")[0] != scope]
    masks = [getattr(tensor, "_keras_mask", None) for tensor in others]
    for tensor in others:
        tensor._keras_mask = None
    yield
    for tensor, mask in zip(others, masks, strict=True):
        tensor._keras_mask = mask


def computed(tensor: Any, known: dict[int, Any]) -> Any:
    """The value of a symbolic tensor, found from those that are known by their identity."""
    if tensor is None:
        return None
    if id(tensor) not in known:
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        for read in node.input_tensors:
            computed(read, known)
        args, kwargs = node.arguments.fill_in(known)
        made = keras.tree.flatten(operation(*args, **kwargs))
        known |= {id(output): value for output, value in zip(node.outputs, made, strict=True)}
    return known[id(tensor)]


class Graph:
    """The spec as layers of Keras, built by Keras itself, with the weights of a file.

    Each layer is given the masks that Keras writes into its own graph for it. The layers are called
    one by one: where one is called twice in training mode, the order counts, and Keras's own order
    hangs on which models stand within others.
    """

    def __init__(self, request: Request) -> None:
        forget()
        graph, values, layers = request["graph"], {}, {}
        for plain in graph["entries"]:
            values[plain["name"]] = keras.Input(batch_shape=plain["shape"], dtype=plain["dtype"])
        self._names = list(values)
        self._masks: dict[str, Any] = {}
        for plain in graph["layers"]:
            first = plain["same_as"] or plain["name"]
            made = layers[first] if first in layers else layer(plain)
            layers[first] = made
            with without_masks(plain, values):
                values[plain["name"]] = called(made, plain, values)
            self._masks[plain["name"]] = masks_of_call(made)
        self._symbols = values
        weights = load_file(request["weights"])
        self.variables: dict[str, Any] = {}
        for plain in graph["layers"]:
            made = layers[plain["same_as"] or plain["name"]]
            self.variables |= dict(zip(plain["weights"], made.weights, strict=True))
        for key, variable in self.variables.items():
            variable.assign(weights[key])
        for made in layers.values():
            if isinstance(made, keras.layers.Normalization):
                # It computes with what it made of the variables before.
                made.finalize_state()
            if isinstance(made, keras.Layer) and not made.trainable:
                # Not all that a layer makes when it is built is frozen with it.
                for weight in made.weights:
                    weight.trainable = False
        self._graph, self._layers = graph, layers
        self.outputs = list(graph["outputs"])

    @property
    def weights(self) -> list[Any]:
        """The variables, in the order of the spec."""
        return list(self.variables.values())

    def _flatten_layers(self) -> Any:
        return (part for layer in self._layers.values() for part in layer._flatten_layers())

    def __call__(self, x: Any, training: bool) -> Any:
        """The values asked for, each layer run in the order of the spec."""
        values = dict(zip(self._names, as_list(x), strict=True))
        known = {id(self._symbols[name]): tensor for name, tensor in values.items()}
        for plain in self._graph["layers"]:
            made = self._layers[plain["same_as"] or plain["name"]]
            masks = keras.tree.map_structure(
                lambda mask: computed(mask, known), self._masks[plain["name"]]
            )
            mode = {**plain, "call": {**plain["call"], "training": training, **masks}}
            values[plain["name"]] = called(made, mode, values)
            known[id(self._symbols[plain["name"]])] = values[plain["name"]]
        return [values[name] for name in self.outputs]


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
        run = runnable(graph, inputs[0])
        made = [run(x, training=request["training"]) for x in inputs][-1]
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


def names_of(program: Any, model: Any) -> list[str]:
    """The name of each variable of a model, as the program or else Keras has it."""
    if hasattr(program, "variables"):
        names = {id(variable): name for name, variable in program.variables(model)}
        return [names[id(w)] for w in model.weights]
    return [w.path.removeprefix(f"{model.name}/") for w in model.weights]


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
    if keras.backend.backend() != "tensorflow":
        return function()
    import tensorflow as tf

    try:
        return function()
    except tf.errors.OpError:
        return tf.function(function, jit_compile=True, autograph=False)()


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


class Trained(keras.Model):
    """The spec's own layers as a model that Keras trains."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.parts = [part for part in graph._layers.values() if isinstance(part, keras.Layer)]
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """The result of the spec."""
        return single(self.graph(x, bool(training)))


def config(plain: Any) -> Any:
    """An optimizer, loss or schedule as `get` of Keras takes it."""
    if isinstance(plain, dict) and "name" in plain:
        settings = {name: config(item) for name, item in plain["arguments"].items()}
        return {"class_name": plain["name"], "config": settings}
    return plain


def compile_oracle(model: Any, settings: dict[str, Any]) -> None:
    """Compile the oracle from the settings alone."""
    given = dict(settings["optimizer"]["arguments"])
    rate = given.get("learning_rate")
    if isinstance(rate, dict):
        given["learning_rate"] = getattr(keras.optimizers.schedules, rate["name"])(
            **rate["arguments"]
        )
    optimizer = getattr(keras.optimizers, settings["optimizer"]["name"])(**given)
    loss = getattr(keras.losses, settings["loss"]["name"])(**settings["loss"]["arguments"])
    for layer in model.parts:
        if layer.name in settings["embeddings"]:
            # As in the generated program, which tells why.
            layer.embeddings.regularizer = keras.regularizers.L2(0.0)
    model.compile(optimizer=optimizer, loss=loss)


def first_gradients(model: Any, step: dict[str, np.ndarray], trained: list[Any]) -> list[Any]:
    """The gradients of the loss of a step, which changes nothing."""
    import tensorflow as tf

    before = [to_numpy(w).copy() for w in model.weights]
    with tf.GradientTape() as tape:
        results = model(step["x"], training=True)
        weight = step.get("sample_weight")
        weight = None if weight is None else keras.ops.convert_to_tensor(weight)
        loss = model.compute_loss(step["x"], step["y"], results, weight, training=True)
    found = tape.gradient(loss, [w.value for w in trained])
    for variable, value in zip(model.weights, before, strict=True):
        variable.assign(value)
    return [
        np.zeros(w.shape) if g is None else to_numpy(keras.ops.convert_to_tensor(g))
        for g, w in zip(found, trained, strict=True)
    ]


def trained_by(model: Any, named: dict[str, Any], request: Request) -> dict[str, Any]:
    """Losses, first gradients, variables and results of a compiled model after some steps."""
    steps, weights = read_steps(request), request["class_weight"]
    weights = {int(k): v for k, v in weights.items()} if weights else None
    trained = {name: v for name, v in named.items() if v.trainable}
    first = steps[0]
    gradients = [] if weights else first_gradients(model, first, list(trained.values()))
    losses = []
    for step in steps:
        model.reset_metrics()
        more = {"class_weight": weights} if weights else {}
        given = (step["x"], step["y"], step.get("sample_weight"))
        losses.append(np.asarray(model.train_on_batch(*given, return_dict=True, **more)["loss"]))
    last = to_numpy(model(first["x"], training=False))
    values = [to_numpy(v) for v in named.values()]
    write_arrays(request["output"], [np.array(losses), last, *gradients, *values])
    return {"gradients": list(trained) if gradients else [], "variables": list(named)}


@contextlib.contextmanager
def in_dtype(name: str) -> Iterator[None]:
    """Let Keras compute losses in a dtype."""
    before = keras.config.floatx()
    keras.config.set_floatx(name)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def train_oracle(request: Request) -> dict[str, Any]:
    """Train the spec's own layers."""
    with in_dtype(request["dtype"]):
        graph = Graph(request)
        model = Trained(graph)
        compile_oracle(model, request["settings"])
        return trained_by(model, graph.variables, request)


def train(request: Request) -> dict[str, Any]:
    """Train by the generated program."""
    keras.backend.clear_session()
    with in_dtype(request["dtype"]):
        program, made = load_training(request["file"])
        model = made.build_model()
        made.load_weights(model, request["weights"])
        program.compile_model(model)
        named = dict(zip(names_of(made, model), model.weights, strict=True))
        return trained_by(model, named, request)


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
