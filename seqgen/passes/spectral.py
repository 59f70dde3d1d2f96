"""A layer with a normalized kernel becomes the layer inside, marked for training."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
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


def freeze_wrapped(model: Model) -> Model:
    """Say of a layer in a frozen wrapper that it is frozen too: Keras's constructor does not."""

    def frozen(node: Node) -> list[Node] | None:
        layer = node.layer
        if not isinstance(layer, SpectralNormalization) or node.trainable:
            return None
        return [replace(node, layer=replace(layer, layer=replace(layer.layer, trainable=False)))]

    return model.rewrite(frozen)
