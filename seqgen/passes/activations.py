"""An activation that is an argument becomes a node of its own."""

from dataclasses import replace

from seqgen.ir.build import infer
from seqgen.ir.graph import Model, Node
from seqgen.layers.activation import Activation


def split_activations(model: Model) -> Model:
    """`Dense(activation="relu")` becomes `Dense` and `Activation("relu")`.

    The activation takes the name of the layer it ends: that is the layer's output.
    """

    def split(node: Node) -> list[Node] | None:
        activation = getattr(node.layer, "activation", None)
        if activation is None or isinstance(node.layer, Activation):
            return None
        layer = replace(node.layer, activation=None)
        if activation.name == "linear":
            return [replace(node, layer=layer)]
        name = f"{node.name}.linear"
        before, _ = infer(layer, model.input_of(node).type, name)
        return [
            replace(node, name=name, layer=layer, type=before),
            replace(node, layer=Activation(activation), inputs=(name,), weights=(), part=""),
        ]

    return model.rewrite(split)
