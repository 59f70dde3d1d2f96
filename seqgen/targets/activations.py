"""What the frameworks' activation functions cannot do that those of Keras can."""

from seqgen.ir.graph import Node
from seqgen.layers.objects import Named


def _argument(node: Node, name: str, argument: str, default: float) -> float | None:
    """An argument of the node's activation; None if it has another activation."""
    activation: Named | None = getattr(node.layer, "activation", None)
    if activation is None or activation.name != name:
        return None
    value: float = activation.kwargs.get(argument, default)
    return value


def _soft_shrink(node: Node) -> str | None:
    threshold = _argument(node, "soft_shrink", "threshold", 0.5)
    if threshold is None or threshold >= 0:
        return None
    return f"has no activation 'soft_shrink' with a negative threshold ({threshold}); give it >= 0"


def torch_activation(node: Node) -> str | None:
    """Why PyTorch cannot say the activation of a layer; None if it can."""
    if _argument(node, "celu", "alpha", 1.0) == 0:
        return "has no activation 'celu' with alpha=0; give an alpha that is not 0"
    return _soft_shrink(node)


def onnx_activation(node: Node) -> str | None:
    """Why ONNX cannot say the activation of a layer; None if it can."""
    alpha = _argument(node, "celu", "alpha", 1.0)
    if alpha is not None and alpha <= 0:
        return f"has no activation 'celu' with alpha={alpha}; give an alpha above 0"
    return _soft_shrink(node)
