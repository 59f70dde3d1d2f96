"""Keras: the spec itself, so nothing is rewritten and every layer is spelled alike."""

import dataclasses
from typing import Any

from seqgen.errors import SpecError
from seqgen.ir.graph import Model, Node
from seqgen.layers.base import LAYERS, Layer
from seqgen.layers.objects import (
    ACTIVATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    KERAS_2_HARD_SIGMOID,
    REGULARIZERS,
    Named,
    to_snake_case,
)
from seqgen.naming import class_name
from seqgen.passes.dtype import spell_dtype
from seqgen.passes.layout import LAYOUTS
from seqgen.passes.names import name_inputs
from seqgen.passes.spectral import freeze_wrapped
from seqgen.render import Macros
from seqgen.targets.base import Target
from seqgen.targets.keras_models import Parts

MODULES = {
    "activations": ACTIVATIONS,
    "initializers": INITIALIZERS,
    "regularizers": REGULARIZERS,
    "constraints": CONSTRAINTS,
}
# Keras takes a layer as an activation, and can save it with its arguments; a function with
# arguments it can not.
FUNCTION_LAYERS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "softmax": "Softmax",
}


def module_of(named: Named) -> str:
    """The module of Keras that has the function."""
    return next(module for module, table in MODULES.items() if named.name in table)


def is_written(named: Named) -> bool:
    """Whether the program says the activation itself, since Keras has no function for it."""
    return named.name == KERAS_2_HARD_SIGMOID


def layer_for(named: Named) -> str | None:
    """The layer that applies an activation with these arguments; None if there is none."""
    name = FUNCTION_LAYERS.get(named.name)
    if name is None:
        return None
    try:
        LAYERS[name](**named.kwargs)
    except SpecError:
        # Of some arguments the layer allows less than the function.
        return None
    return name


def is_adapted(node: Node) -> bool:
    """Whether the layer computes with what it makes of its variables when it is told to."""
    return node.kind == "Normalization" and bool(node.weights)


def call_arguments(layer: Layer) -> tuple[list[Any], list[tuple[str, Any]]]:
    """Arguments of a layer as a call gives them: what it needs by place, the rest by name."""
    fields = {field.name: field for field in dataclasses.fields(layer)}
    required = [name for name, f in fields.items() if f.default is dataclasses.MISSING]
    given = {name: layer.kinds[name].brief(value) for name, value in layer.arguments().items()}
    return [given.pop(name) for name in required], list(given.items())


def page(target: Target, model: Model, macros: Macros) -> dict[str, Any]:
    """What the page of the program is given."""
    functions: dict[Named, str] = {}

    def function(named: Named) -> str:
        """Name of the function of the program that calls an activation with its arguments."""
        name = named.name if is_written(named) else f"{named.name}_{len(functions) + 1}"
        return functions.setdefault(named, name)

    masked = any(node.mask for node in model.nodes)

    def plain_layer_for(named: Named) -> str | None:
        """The layer that applies an activation, and does not see a mask, which a Softmax does."""
        return None if masked and named.name == "softmax" else layer_for(named)

    imports: dict[str, str] = {}

    def class_of(layer: Layer) -> str:
        """Name of the layer's class; one of another package is imported by the program."""
        name = type(layer).__name__
        if not layer.keras_path:
            return f"layers.{name}"
        module, _, name = layer.keras_path.partition(":")
        if module == "keras":
            return f"keras.{name}"
        imports[name] = module
        return name

    parts = Parts(model)
    plain = model.sequential and not parts.functions
    return {
        "imports": imports,
        "class_of": class_of,
        "class_name": class_name(model.name),
        "main": parts.main,
        "plain": plain,
        "functions_of_models": parts.functions,
        "weight_names": {
            weight.key: f"{node.name}/{weight.name}" if plain else weight.key
            for node in model.nodes
            for weight in node.weights
            if model.owners[weight.key] is node
        },
        "functions": functions,
        "function": function,
        "layer_for": plain_layer_for,
        "adapted": [
            node.name.split("/") for node in model.layers if is_adapted(node) and not node.same_as
        ],
    }


KERAS = Target(
    name="keras",
    files={"model.py.j2": "keras_model.py"},
    passes=dict.fromkeys(LAYOUTS, (freeze_wrapped, spell_dtype, name_inputs)),
    functions={
        "is_written": is_written,
        "module_of": module_of,
        "snake_case": to_snake_case,
        "call_arguments": call_arguments,
    },
    page=page,
)
