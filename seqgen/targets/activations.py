"""What the frameworks' activation functions cannot do that those of Keras can."""

from collections.abc import Iterator

from seqgen.ir.graph import Node
from seqgen.layers.objects import Named
from seqgen.layers.within import within


def _arguments(node: Node, name: str, argument: str, default: float) -> Iterator[float]:
    """An argument of each activation of that name, of a layer and of those it has within."""
    for part in within(node.layer):
        for where in ("activation", "recurrent_activation"):
            activation: Named | None = getattr(part, where, None)
            if activation is not None and activation.name == name:
                yield activation.kwargs.get(argument, default)


def _soft_shrink(node: Node) -> str | None:
    least = min(_arguments(node, "soft_shrink", "threshold", 0.5), default=0.5)
    if least >= 0:
        return None
    return f"has no activation 'soft_shrink' with a negative threshold ({least}); give it >= 0"


def torch_activation(node: Node) -> str | None:
    """Why PyTorch cannot say an activation of a layer; None if it can."""
    if 0 in _arguments(node, "celu", "alpha", 1.0):
        return "has no activation 'celu' with alpha=0; give an alpha that is not 0"
    return _soft_shrink(node)


def onnx_activation(node: Node) -> str | None:
    """Why ONNX cannot say an activation of a layer; None if it can."""
    least = min(_arguments(node, "celu", "alpha", 1.0), default=1.0)
    if least <= 0:
        return f"has no activation 'celu' with alpha={least}; give an alpha above 0"
    return _soft_shrink(node)
