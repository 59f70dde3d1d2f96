"""The layers that a layer has within, and what these keep and draw."""

from collections.abc import Iterable, Iterator

from seqgen.layers.base import Layer

# Layers whose training mode draws random numbers, and the argument that says how much.
NOISE = {
    "Dropout": "rate",
    "SpatialDropout1D": "rate",
    "SpatialDropout2D": "rate",
    "SpatialDropout3D": "rate",
    "GaussianDropout": "rate",
    "GaussianNoise": "stddev",
    "AlphaDropout": "rate",
    "StochasticDepth": "drop_path_rate",
}
# The same of recurrent layers, cells and attention.
RECURRENT_NOISE = ("dropout", "recurrent_dropout")


def within(layer: Layer) -> Iterator[Layer]:
    """The layer itself, and then all that its arguments hold, at any depth."""
    yield layer
    for part in layer.parts:
        yield from within(part)


def noise_of(layer: Layer) -> list[str]:
    """The arguments that say how much noise the layer itself draws in training."""
    names = (NOISE.get(type(layer).__name__), *RECURRENT_NOISE)
    return [name for name in names if name in layer.kinds]


def keeps_states(layers: Iterable[Layer]) -> bool:
    """Whether a layer, or one within, goes on with a batch where the batch before ended."""
    return any(getattr(part, "stateful", False) for layer in layers for part in within(layer))
