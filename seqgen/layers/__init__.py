"""The layers of the Keras vocabulary, by name: `seqgen.layers.Dense(10)`."""

from seqgen.layers import (  # noqa: F401  (defining a layer registers it)
    activation,
    convolution,
    core,
    normalization,
    pooling,
    preprocessing,
    regularization,
    reshaping,
)
from seqgen.layers.base import LAYERS, Layer, Weight


def __getattr__(name: str) -> type[Layer]:
    try:
        return LAYERS[name]
    except KeyError:
        raise AttributeError(f"seqgen has no layer '{name}'") from None


def __dir__() -> list[str]:
    return sorted(LAYERS)


__all__ = ["LAYERS", "Layer", "Weight"]
