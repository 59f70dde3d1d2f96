"""Layers that act in training only."""

from seqgen.layers.arguments import INTEGER, PROBABILITY, arg, open_sizes, optional
from seqgen.layers.base import Layer

SEED = optional(INTEGER)


class Dropout(Layer):
    """Sets a fraction of the values to zero and scales the others up, in training."""

    rate: float = arg(PROBABILITY)
    noise_shape: tuple[int | None, ...] | None = arg(
        optional(open_sizes(1, "a sequence of sizes, null where the input's is taken")), None
    )
    seed: int | None = arg(SEED, None)
