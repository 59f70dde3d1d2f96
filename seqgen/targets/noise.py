"""Noise in training as PyTorch has it."""

from seqgen.ir.graph import Node

# Keras divides by 1 - rate.
DIVIDED = ("GaussianDropout", "AlphaDropout")


def drops_channels(node: Node) -> bool:
    """Whether a dropout draws once for each sample and channel of a channels-first tensor."""
    shape = node.layer.noise_shape or ()
    return 3 <= len(shape) <= 5 and shape == (None, None, *(1,) * (len(shape) - 2))


def endless_noise(node: Node) -> str | None:
    """Why a target that trains cannot say a rate."""
    if node.kind not in DIVIDED or node.layer.rate < 1:
        return None
    return (
        "cannot say rate=1.0, by which Keras divides by zero in training; use a rate below 1, "
        "or Dropout"
    )
