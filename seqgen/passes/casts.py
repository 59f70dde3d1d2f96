"""Integers become the numbers that a layer computes with in a step of their own."""

from dataclasses import replace

from seqgen.ir.graph import Cast, Model, Node, Op
from seqgen.layers.arguments import DTYPES


def computed_dtype(node: Node, received: str) -> str:
    """The dtype in which a layer takes its input."""
    if node.kind == "Embedding":
        return "int32" if received in DTYPES else received
    return node.type.dtype if received not in DTYPES else received


def takes(node: Node) -> int:
    """How many of the inputs of a layer it computes with: others are masks and sizes."""
    return 1 if node.layer.inputs == (1, 1) else len(node.inputs)


def explicit_casts(model: Model) -> Model:
    """Put a Cast before every layer that computes in another dtype than it is given."""

    def cast(node: Node) -> list[Node] | None:
        if isinstance(node.layer, Op):
            return None
        steps, inputs = [], list(node.inputs)
        for number, source in enumerate(model.sources_of(node)[: takes(node)]):
            dtype = computed_dtype(node, source.type.dtype)
            if source.type.dtype not in (dtype, "bool"):
                inputs[number] = f"{node.name}.cast" + (f"_{number}" if number else "")
                kind = replace(source.type, dtype=dtype)
                step = Node(inputs[number], Cast(dtype), (source.name,), kind, node.source)
                steps.append(step)
        return [*steps, replace(node, inputs=tuple(inputs))] if steps else None

    return model.rewrite(cast)
