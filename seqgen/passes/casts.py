"""Integers become the numbers that a layer computes with in a step of their own."""

from dataclasses import replace

from seqgen.ir.graph import Cast, Model, Node, Op
from seqgen.layers.arguments import DTYPES


def computed_dtype(node: Node, received: str) -> str:
    """The dtype in which a layer takes its input."""
    if node.kind == "Embedding":
        return "int32" if received in DTYPES else received
    return node.type.dtype if received not in DTYPES else received


def explicit_casts(model: Model) -> Model:
    """Put a Cast before every layer that computes in another dtype than it is given."""

    def cast(node: Node) -> list[Node] | None:
        if isinstance(node.layer, Op):
            return None
        source = model.input_of(node)
        dtype = computed_dtype(node, source.type.dtype)
        if dtype == source.type.dtype:
            return None
        name = f"{node.name}.cast"
        step = Node(name, Cast(dtype), node.inputs, replace(source.type, dtype=dtype), node.source)
        return [step, replace(node, inputs=(name, *node.inputs[1:]))]

    return model.rewrite(cast)
