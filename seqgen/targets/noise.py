"""Noise in training as PyTorch has it."""

from seqgen.ir.graph import Node
from seqgen.layers.within import within

# Keras divides by 1 - rate; the argument that says it.
DIVIDED = {"GaussianDropout": "rate", "AlphaDropout": "rate", "StochasticDepth": "drop_path_rate"}


def drops_channels(node: Node) -> bool:
    """Whether a dropout draws once for each sample and channel of a channels-first tensor."""
    shape = node.layer.noise_shape or ()
    return 3 <= len(shape) <= 5 and shape == (None, None, *(1,) * (len(shape) - 2))


def whole_drop(node: Node) -> str | None:
    """Why a target that trains cannot say a rate of a recurrent layer."""
    for part in within(node.layer):
        gated = hasattr(part, "recurrent_activation") and not hasattr(part, "filters")
        if gated and 1.0 in (part.dropout, part.recurrent_dropout):
            return (
                "cannot say a dropout of 1.0: Keras drops nothing in a loop and everything on "
                "cuDNN; use a rate below 1"
            )
    return None


def endless_noise(node: Node) -> str | None:
    """Why a target that trains cannot say a rate."""
    argument = DIVIDED.get(node.kind)
    if argument is None or getattr(node.layer, argument) < 1:
        return None
    return (
        f"cannot say {argument}=1.0, by which Keras divides by zero in training; use a rate below "
        "1, or Dropout"
    )
