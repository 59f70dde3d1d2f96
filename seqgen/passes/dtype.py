"""The dtype of the model as every layer has to say it."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node, Op
from seqgen.layers.arguments import DTYPES
from seqgen.layers.base import Layer


def with_dtype(model: Model, dtype: str) -> Model:
    """The model with weights and computations in another dtype; integer inputs stay integer."""

    def typed(node: Node) -> list[Node]:
        if node.type.dtype not in DTYPES:
            return [node]
        return [replace(node, type=replace(node.type, dtype=dtype))]

    nested = tuple(
        replace(call, entries=tuple(one for entry in call.entries for one in typed(entry)))
        for call in model.nested
    )
    return replace(model.rewrite(typed), dtype=dtype, nested=nested)


def typed_layer(layer: Layer, dtype: str) -> Layer:
    """The layer with its dtype said, and that of all layers inside, which Keras asks each."""
    layer = layer.with_parts(lambda part: typed_layer(part, dtype))
    return replace(layer, dtype=dtype) if "dtype" in layer.kinds and not layer.dtype else layer


def spell_dtype(model: Model) -> Model:
    """Give every layer the model's dtype as its argument, where it is not Keras's default."""
    if model.dtype == "float32":
        return model

    def typed(node: Node) -> list[Node] | None:
        if isinstance(node.layer, Op):
            return None
        return [replace(node, layer=typed_layer(node.layer, model.dtype))]

    return model.rewrite(typed)
