"""Keras: the spec itself, so nothing is rewritten and every layer is spelled alike."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from seqgen.errors import SpecError
from seqgen.ir.graph import Model, Node
from seqgen.layers.activation import FUNCTION_LAYERS
from seqgen.layers.arguments import shape_of
from seqgen.layers.base import LAYERS, Layer
from seqgen.layers.merging import Concatenate
from seqgen.layers.objects import (
    ACTIVATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    KERAS_2_HARD_SIGMOID,
    PACKAGE,
    REGULARIZERS,
    Named,
    to_snake_case,
)
from seqgen.layers.operations import Operation
from seqgen.naming import class_name
from seqgen.passes.dtype import spell_dtype
from seqgen.passes.layout import LAYOUTS
from seqgen.passes.names import name_inputs
from seqgen.passes.spectral import freeze_wrapped
from seqgen.render import Macros, Source, literal
from seqgen.targets import keras_training
from seqgen.targets.base import Target
from seqgen.targets.constants import listed
from seqgen.targets.freezing import frozen_later, is_frozen_later
from seqgen.targets.keras_models import Parts, Statement, is_operation

MODULES = {
    "activations": ACTIVATIONS,
    "initializers": INITIALIZERS,
    "regularizers": REGULARIZERS,
    "constraints": CONSTRAINTS,
}
# What is no public API may move: programs have such classes themselves.
PRIVATE = "keras.src."


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
    if is_frozen_later(layer):
        del given["trainable"]
    return [given.pop(name) for name in required], list(given.items())


def operation_arguments(node: Node, reads: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Arguments of an operation as a call gives them: by place, and those that need their name.

    Args:
        node: The operation.
        reads: The variables that it takes.
    """
    layer: Operation = node.layer
    positional, named = call_arguments(layer)
    left = [f"[{', '.join(reads)}]"] if layer.takes_list else list(reads)
    numbers = (getattr(layer, name, None) for name in layer.tensors)
    dtype = node.type.dtype
    operands = [Source(left.pop(0)) if n is None else _constant(n, dtype) for n in numbers]
    return operands + positional, [(k, v) for k, v in named if k not in layer.tensors]


def _constant(value: Any, dtype: str) -> Any:
    """A number, or an array of the dtype of what stands beside it, which Keras has to be told."""
    if not shape_of(value):
        return value
    return Source(f"keras.ops.array({literal(listed(value))}, dtype={literal(dtype)})")


def may_clash(model: Model) -> bool:
    """Whether Keras may give an operation, whose name it counts, that of a layer or an input."""
    counted = "|".join({n.layer.auto_name for n in model.layers if n.layer.is_operation})
    names = (n.name.rpartition("/")[2] for n in model.nodes if not is_operation(n))
    return bool(counted) and any(re.fullmatch(rf"({counted})(_\d+)?", name) for name in names)


def counts_masks(model: Model, node: Node | None) -> bool:
    """Whether Keras joins masks by an operation that it may call as a layer is called."""
    if node is None or not isinstance(node.layer, Concatenate):
        return False
    # A graph does not know the masks that models within make.
    scope = node.name.rpartition("/")[0]
    masks = (source.mask for source in model.sources_of(node) if source.mask)
    masked = any(mask.rpartition("/")[0] == scope for mask in masks)
    beside = (n.name.rpartition("/")[2] for n in model.nodes if n.scope == node.scope)
    return masked and any(re.fullmatch(r"concatenate(_\d+)?", name) for name in beside)


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
    written: dict[str, None] = {}

    def class_of(layer: Layer) -> str:
        """Name of the layer's class; one of another package is imported by the program."""
        name = type(layer).__name__
        if not layer.keras_path:
            return f"layers.{name}"
        module, _, name = layer.keras_path.partition(":")
        if module == "keras":
            return f"keras.{name}"
        if module.startswith(PRIVATE):
            written[name] = None
        else:
            imports[name] = module
        return name

    clash = may_clash(model)

    def operation(call: Statement) -> str:
        """The text of a call of an operation."""
        assert call.node is not None
        own = macros.find(call.node.layer.family, call.node.kind)
        text = (own or macros.find("any_layer", "operation"))(call.node, call.reads).strip()
        if not clash:
            return text
        written["named"] = None
        return f"named({text}, {literal(call.node.name.rpartition('/')[2])})"

    def applied(call: Statement, text: str) -> str:
        """The text of a call of a layer or model."""
        if not counts_masks(model, call.node):
            return Source(text)
        written["with_masks_named"] = None
        name = f"{call.node.name.rpartition('/')[2]}_masks"
        return Source(f"with_masks_named({text}, {literal(name)})")

    parts = Parts(model)
    plain = model.sequential and not parts.functions
    return {
        "imports": imports,
        "written": written,
        "operation": operation,
        "applied": applied,
        "class_of": class_of,
        "class_name": class_name(model.name),
        "package": PACKAGE,
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
        "frozen": frozen_later(model),
        "adapted": [
            node.name.split("/") for node in model.layers if is_adapted(node) and not node.same_as
        ],
    }


KERAS = Target(
    name="keras",
    files={"model.py.j2": "keras_model.py"},
    training=("train.py.j2", "keras_train.py"),
    training_page=keras_training.page,
    passes=dict.fromkeys(LAYOUTS, (freeze_wrapped, spell_dtype, name_inputs)),
    functions={
        "is_written": is_written,
        "module_of": module_of,
        "snake_case": to_snake_case,
        "call_arguments": call_arguments,
        "is_operation": is_operation,
        "operation_arguments": operation_arguments,
    },
    page=page,
)
