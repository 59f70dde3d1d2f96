"""Trains by Keras: the spec's own layers (the oracle), and the generated program."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras_graph import Graph, names_of, single, to_numpy
from protocol import Request, load_training, read_steps, write_arrays


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
    for variable in model.trainable_variables:
        if isinstance(variable.regularizer, keras.regularizers.OrthogonalRegularizer):
            # So does the generated program.
            variable.regularizer.factor = float(variable.regularizer.factor)
    model.compile(optimizer=optimizer, loss=loss)
    if settings["optimizer"]["name"] == "ScheduleFreeAdamW":
        # So does the generated program.
        optimizer.build(model.trainable_variables)


def first_gradients(
    model: Any, step: dict[str, np.ndarray], weights: dict[int, float] | None, trained: list[Any]
) -> list[Any]:
    """The gradients of the loss of a step, which changes nothing."""
    import tensorflow as tf
    from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

    before = [to_numpy(w).copy() for w in model.weights]
    weight = step.get("sample_weight")
    if weights:
        weight = class_weight_to_sample_weights(step["y"], weights)
    with tf.GradientTape() as tape:
        results = model(step["x"], training=True)
        weight = None if weight is None else keras.ops.convert_to_tensor(weight)
        loss = model.compute_loss(step["x"], step["y"], results, weight, training=True)
    found = tape.gradient(loss, [w.value for w in trained])
    for variable, value in zip(model.weights, before, strict=True):
        variable.assign(value)
    return [
        np.zeros(w.shape) if g is None else to_numpy(keras.ops.convert_to_tensor(g))
        for g, w in zip(found, trained, strict=True)
    ]


def slots(optimizer: Any, named: dict[str, Any]) -> dict[tuple[str, str], np.ndarray]:
    """What an optimizer keeps of each variable, by the optimizer's name of it and the variable's.

    A list of an optimizer has an entry for each variable that it trains: a variable, or something
    of another shape in place of one that is not needed.
    """
    names = {id(variable): name for name, variable in named.items()}
    trained, found = optimizer._trainable_variables, {}
    for attribute, kept in vars(optimizer).items():
        one_each = isinstance(kept, list) and len(kept) == len(trained)
        if not one_each or attribute in ("_variables", "_trainable_variables"):
            continue
        for variable, slot in zip(trained, kept, strict=True):
            own = isinstance(slot, keras.Variable)
            if own and (len(slot.shape) or not len(variable.shape)):
                found[attribute.lstrip("_"), names[id(variable)]] = to_numpy(slot)
    return found


def trained_by(model: Any, named: dict[str, Any], request: Request) -> dict[str, Any]:
    """Losses, first gradients, variables, results and slots of a model after some steps."""
    steps, weights = read_steps(request), request["class_weight"]
    weights = {int(k): v for k, v in weights.items()} if weights else None
    trained = {name: v for name, v in named.items() if v.trainable}
    first = steps[0]
    gradients = first_gradients(model, first, weights, list(trained.values()))
    losses = []
    for step in steps:
        model.reset_metrics()
        more = {"class_weight": weights} if weights else {}
        given = (step["x"], step["y"], step.get("sample_weight"))
        losses.append(np.asarray(model.train_on_batch(*given, return_dict=True, **more)["loss"]))
    last = to_numpy(model(first["x"], training=False))
    values = [to_numpy(v) for v in named.values()]
    kept = slots(model.optimizer, named)
    write_arrays(request["output"], [np.array(losses), last, *gradients, *values, *kept.values()])
    return {"gradients": list(trained), "variables": list(named), "slots": list(kept)}


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
