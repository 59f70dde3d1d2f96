"""Operations that a layer of the spec says as well."""

from dataclasses import replace
from typing import Any

from seqgen.ir.graph import Model, Node
from seqgen.layers import axis_operations, merging, operations
from seqgen.layers.activation import Activation
from seqgen.layers.base import Layer
from seqgen.layers.operations import Function
from seqgen.layers.preprocessing import Rescaling
from seqgen.layers.reshaping import Permute, Reshape


def _negative(values: Any) -> Any:
    return tuple(map(_negative, values)) if isinstance(values, tuple) else -values


def _of_array(layer: Any) -> Layer:
    """The Rescaling that does what an operation with an array does."""
    array = getattr(layer, layer.array)
    if isinstance(layer, operations.Multiply):
        return Rescaling(array, name=layer.name)
    if isinstance(layer, operations.Subtract) and layer.array == "x2":
        return Rescaling(1.0, _negative(array), name=layer.name)
    scale = -1.0 if isinstance(layer, operations.Subtract) else 1.0
    return Rescaling(scale, array, name=layer.name)


def _layer_of(model: Model, node: Node) -> Layer | None:
    """The layer that computes what an operation does; None if there is none."""
    layer = node.layer
    if isinstance(layer, Function):
        return Activation(layer.activation, name=layer.name)
    if isinstance(layer, operations.Add | operations.Subtract | operations.Multiply):
        return _of_array(layer) if layer.array else None
    if isinstance(layer, axis_operations.Concatenate):
        return merging.Concatenate(layer.axis, name=layer.name)
    if isinstance(layer, axis_operations.Reshape):
        return Reshape(layer.newshape[1:], name=layer.name)
    if isinstance(layer, axis_operations.Transpose):
        return Permute(layer.dims(model.input_of(node).type), name=layer.name)
    return None


def operations_as_layers(model: Model) -> Model:
    """`ops.relu` becomes `Activation("relu")`, and so on."""

    def said(node: Node) -> list[Node] | None:
        layer = _layer_of(model, node)
        return None if layer is None else [replace(node, layer=layer)]

    return model.rewrite(said)
