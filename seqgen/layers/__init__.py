"""The layers of the Keras vocabulary, by name: `seqgen.layers.Dense(10)`."""

import functools

from seqgen import plugins
from seqgen.layers import (  # noqa: F401  (defining a layer registers it)
    activation,
    applications,
    attention,
    axis_operations,
    conv_lstm,
    convolution,
    core,
    merging,
    normalization,
    operations,
    pooling,
    preprocessing,
    recurrent,
    regularization,
    reshaping,
    wrappers,
)
from seqgen.layers.base import LAYERS, Layer, Weight
from seqgen.layers.merging import (
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)

# Second names that Keras 3.15 gives to layers.
ALIASES = {
    alias.format(rank): name.format(rank)
    for rank in (1, 2, 3)
    for alias, name in (
        ("MaxPool{}D", "MaxPooling{}D"),
        ("AvgPool{}D", "AveragePooling{}D"),
        ("GlobalMaxPool{}D", "GlobalMaxPooling{}D"),
        ("GlobalAvgPool{}D", "GlobalAveragePooling{}D"),
        ("Convolution{}D", "Conv{}D"),
        ("Convolution{}DTranspose", "Conv{}DTranspose"),
        ("SeparableConvolution{}D", "SeparableConv{}D"),
    )
    if name.format(rank) in LAYERS
} | {
    "ops.abs": "ops.absolute",
    "ops.hard_swish": "ops.hard_silu",
    "ops.swish": "ops.silu",
}


@functools.cache
def all_layers() -> dict[str, type[Layer]]:
    """Every layer by name, those of other packages included."""
    plugins.load("seqgen.layers", Layer)
    return LAYERS


def find_layer(name: str) -> type[Layer] | None:
    """The layer of this name. Other packages are looked through only for a name not known yet."""
    name = ALIASES.get(name, name)
    return LAYERS.get(name) or all_layers().get(name)


def __getattr__(name: str) -> type[Layer]:
    layer = None if name.startswith("_") else find_layer(name)
    if layer is None or layer.is_operation:
        raise AttributeError(f"seqgen has no layer '{name}'")
    return layer


def __dir__() -> list[str]:
    return sorted(name for name, layer in all_layers().items() if not layer.is_operation)


__all__ = [
    "LAYERS",
    "Layer",
    "Weight",
    "add",
    "all_layers",
    "average",
    "concatenate",
    "dot",
    "find_layer",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
