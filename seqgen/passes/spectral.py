"""A layer with a normalized kernel becomes the layer inside, marked for training."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
from seqgen.layers.base import Layer
from seqgen.layers.normalization import SpectralNormalization


def unwrap_spectral(model: Model) -> Model:
    """`SpectralNormalization(Dense)` becomes `Dense`: inference changes nothing of it.

    What training needs stays on the node: the layer around it, and the vector.
    """

    def unwrapped(node: Node) -> list[Node] | None:
        layer = node.layer
        if not isinstance(layer, SpectralNormalization):
            return None
        vector = node.weight("vector_u")
        assert vector is not None
        weights = tuple(
            replace(weight, name=weight.name.partition("/")[2])
            for weight in node.weights
            if weight is not vector
        )
        return [
            replace(
                node,
                layer=layer.layer,
                weights=weights,
                trainable=node.trainable and layer.layer.trainable,
                wrapper=layer,
                state=(vector,),
            )
        ]

    return model.rewrite(unwrapped)


def _frozen(layer: Layer, trainable: bool) -> Layer:
    """The layer with all layers inside frozen that stand in a frozen one."""
    trainable = trainable and bool(layer.trainable)
    layer = layer.with_parts(lambda part: _frozen(part, trainable))
    return layer if trainable or "trainable" not in layer.kinds else replace(layer, trainable=False)


def freeze_wrapped(model: Model) -> Model:
    """Say of layers in a frozen one that they are frozen too: Keras's constructors do not."""

    def frozen(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, Layer) or not node.layer.parts:
            return None
        return [replace(node, layer=_frozen(node.layer, node.trainable))]

    return model.rewrite(frozen)
