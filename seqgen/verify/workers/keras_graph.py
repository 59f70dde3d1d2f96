"""The spec built straight from keras.layers, which is the oracle, and what its runs need."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
from protocol import Request
from safetensors.numpy import load_file


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
            arrays = {
                name: np.array(value, keras.backend.standardize_dtype(tensors[0].dtype))
                for name, value in self._arguments.items()
                if isinstance(value, tuple)
            }
            return self._function(**named, **{**self._arguments, **arrays})
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
    from tensorflow.python.framework import ops

    # It keeps each graph of a training step, too, by the gradients that the graph makes itself
    # (tensorflow/python/ops/custom_gradient.py), and every search for garbage walks over them.
    gradients = ops.gradient_registry._registry
    for name in [name for name in gradients if name.startswith("CustomGradient-")]:
        del gradients[name]
    with mock.patch.object(context.context(), "clear_kernel_cache"):
        keras.backend.clear_session()


def to_numpy(tensor: Any) -> np.ndarray:
    """An array that NumPy can save; bfloat16 widens to float32 without a change of value."""
    array = keras.ops.convert_to_numpy(tensor)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)


def single(values: list[Any]) -> Any:
    """The only one of several values, or all of them."""
    return values[0] if len(values) == 1 else values


def as_list(made: Any) -> list[Any]:
    """The results of a model, which hands out a list of one as its only item."""
    return list(made) if isinstance(made, (list, tuple)) else [made]


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


def names_of(program: Any, model: Any) -> list[str]:
    """The name of each variable of a model, as the program or else Keras has it."""
    if hasattr(program, "variables"):
        names = {id(variable): name for name, variable in program.variables(model)}
        return [names[id(w)] for w in model.weights]
    return [w.path.removeprefix(f"{model.name}/") for w in model.weights]
