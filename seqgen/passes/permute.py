"""Layers that move axes, said by a transpose and a flatten in the order of memory."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node, Transpose
from seqgen.layers.reshaping import Flatten, Permute, Reshape


def _channels_last(node: Node, source: Node) -> list[Node]:
    """A Flatten that puts the channels last first, as Keras does."""
    rank = source.type.rank
    permute = Permute((*range(2, rank), 1))
    moved = replace(
        source,
        name=f"{node.name}.permute",
        layer=permute,
        inputs=node.inputs,
        type=permute.output_type(source.type),
        source=node.source,
        weights=(),
    )
    return [moved, replace(node, layer=Flatten(name=node.layer.name), inputs=(moved.name,))]


def plain_flatten(model: Model) -> Model:
    """Give a Flatten no data format, and make one of a Reshape to a batch of vectors."""

    def plain(node: Node) -> list[Node] | None:
        source = model.input_of(node) if node.inputs else node
        rank = source.type.rank
        if isinstance(node.layer, Flatten) and rank == 1:
            return [replace(node, layer=Reshape((1,), name=node.layer.name))]
        if isinstance(node.layer, Flatten) and node.layer.data_format == "channels_first":
            return _channels_last(node, source) if rank > 2 else None
        if isinstance(node.layer, Reshape) and rank > 1 and node.type.rank == 2:
            return [replace(node, layer=Flatten(name=node.layer.name))]
        return None

    return model.rewrite(plain)


def transpose_permutes(model: Model) -> Model:
    """A Permute, which has its input in the order of the spec by now, is a transpose."""

    def transposed(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, Permute):
            return None
        return [replace(node, layer=Transpose((0, *node.layer.dims)))]

    return model.rewrite(transposed)
