"""A separable convolution becomes the two convolutions that it is."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
from seqgen.layers import LAYERS
from seqgen.layers.base import Weight
from seqgen.layers.convolution import _SeparableConv

SHARED = ("data_format", "dtype", "trainable")


def _weight(node: Node, name: str, role: str) -> Weight:
    """A variable of the node in the role that it has in a plain convolution; it keeps its key."""
    weight = node.weight(name)
    assert weight is not None
    return replace(weight, name=role)


def _depthwise(node: Node, source: Node) -> Node:
    """The convolution of each channel on its own."""
    layer, rank = node.layer, node.layer.rank
    kernel = _weight(node, "depthwise_kernel", "kernel")
    alone = LAYERS[f"DepthwiseConv{rank}D"](
        **{name: getattr(layer, name) for name in SHARED},
        kernel_size=layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        depth_multiplier=layer.depth_multiplier,
        dilation_rate=layer.dilation_rate,
        use_bias=False,
    )
    channels = kernel.shape[-2] * kernel.shape[-1]
    return replace(
        node,
        name=f"{node.name}.depthwise",
        layer=alone,
        type=layer.resized(source.type, layer.spatial_sizes(node.type), channels),
        weights=(kernel,),
        part="depthwise",
    )


def _pointwise(node: Node, before: Node) -> Node:
    """The convolution of each place on its own, with the bias and the activation."""
    layer, rank = node.layer, node.layer.rank
    mixing = LAYERS[f"Conv{rank}D"](
        **{name: getattr(layer, name) for name in SHARED},
        filters=layer.filters,
        kernel_size=1,
        activation=layer.activation,
        use_bias=layer.use_bias,
    )
    biases = tuple(weight for weight in node.weights if weight.name == "bias")
    weights = (_weight(node, "pointwise_kernel", "kernel"), *biases)
    return replace(node, layer=mixing, inputs=(before.name,), weights=weights, part="pointwise")


def split_separable(model: Model) -> Model:
    """`SeparableConv2D` becomes `DepthwiseConv2D` without a bias and `Conv2D` of size 1."""

    def split(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, _SeparableConv):
            return None
        depthwise = _depthwise(node, model.input_of(node))
        return [depthwise, _pointwise(node, depthwise)]

    return model.rewrite(split)
