"""Layers that compute each step of a sequence from that step alone."""

from seqgen.ir.graph import Op
from seqgen.layers.activation import ELU, Activation, LeakyReLU, ReLU
from seqgen.layers.base import Layer
from seqgen.layers.core import Dense, Identity
from seqgen.layers.objects import AXIS_ACTIVATIONS, Named
from seqgen.layers.regularization import Dropout, GaussianDropout, GaussianNoise

# Those that do so whatever the number of axes, as far as their arguments let them.
OF_ANY_RANK = (
    Activation,
    Dense,
    Dropout,
    ELU,
    GaussianDropout,
    GaussianNoise,
    Identity,
    LeakyReLU,
    ReLU,
)


def keeps_to_steps(layer: Layer | Op, last: tuple[int, ...] = (-1,)) -> bool:
    """Whether the arguments of a layer of such a class let no step see another.

    Args:
        layer: The layer.
        last: The ways to say its input's last axis.
    """
    activation: Named | None = getattr(layer, "activation", None)
    along = activation is not None and activation.name in AXIS_ACTIVATIONS
    return getattr(layer, "noise_shape", None) is None and (
        not along or activation.kwargs.get("axis", -1) in last
    )
