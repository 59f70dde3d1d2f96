"""An activation that is an argument becomes a node of its own."""

from dataclasses import replace

from seqgen.ir.build import infer
from seqgen.ir.graph import Model, Node
from seqgen.layers.activation import Activation
from seqgen.layers.core import Identity


def split_activations(model: Model) -> Model:
    """`Dense(activation="relu")` becomes `Dense` and `Activation("relu")`.

    The activation takes the name of the layer it ends: that is the layer's output. A layer that
    applies none is an Identity.
    """

    def split(node: Node) -> list[Node] | None:
        activation = getattr(node.layer, "activation", None)
        if isinstance(node.layer, Activation):
            linear = activation is None or activation.name == "linear"
            return [replace(node, layer=Identity())] if linear else None
        if activation is None:
            return None
        layer = replace(node.layer, activation=None)
        if activation.name == "linear":
            return [replace(node, layer=layer)]
        name = f"{node.name}.linear"
        before, _ = infer(layer, tuple(x.type for x in model.sources_of(node)), name)
        return [
            replace(node, name=name, layer=layer, type=before),
            replace(
                node,
                layer=Activation(activation),
                inputs=(name,),
                weights=(),
                part="",
                wrapper=None,
                state=(),
            ),
        ]

    return model.rewrite(split)
