"""Layers whose arguments ask for nothing."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
from seqgen.layers.base import Layer
from seqgen.layers.core import Identity
from seqgen.layers.reshaping import _Cropping, _UpSampling, _ZeroPadding


def changes_nothing(layer: Layer) -> bool:
    """Whether a layer cuts, pads or repeats by amounts that leave the input as it is."""
    if isinstance(layer, _UpSampling):
        return layer.size == 1 or layer.size == (1,) * layer.rank
    amounts = layer.cropping if isinstance(layer, _Cropping) else None
    amounts = layer.padding if isinstance(layer, _ZeroPadding) else amounts
    return amounts is not None and not any(map(any, amounts))


def say_unchanged(model: Model) -> Model:
    """`ZeroPadding2D(0)` becomes `Identity`, which has a name and no cost."""

    def same(node: Node) -> list[Node] | None:
        if not changes_nothing(node.layer):
            return None
        return [replace(node, layer=Identity(name=node.layer.name))]

    return model.rewrite(same)
