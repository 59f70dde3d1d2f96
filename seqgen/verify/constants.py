"""What the oracle computes with in float32 even in a model of float64."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from seqgen.ir.graph import Model, Node
from seqgen.layers.within import within

# Keras's TensorFlow back end makes tensors of Python numbers before it casts them (tf.cast), and
# hands the slope of LeakyReLU over as an attribute of its operator, which is a float32. The
# programs say the numbers as the spec has them.
ROUNDED_ARGUMENTS = {
    "LeakyReLU": ("negative_slope",),
    "ReLU": ("negative_slope", "max_value", "threshold"),
    "Rescaling": ("scale", "offset"),
    "Normalization": ("mean", "variance"),
}
ROUNDED_ACTIVATIONS = {
    "leaky_relu": {"negative_slope": 0.2},
    "relu": {"negative_slope": 0.0, "max_value": None, "threshold": 0.0},
    # The square root of 2, and the factor of the cube in the approximation (tf.nn.gelu).
    "gelu": {"": 2**0.5},
}


def numbers(values: Any) -> Iterator[float]:
    """The numbers of nested tuples."""
    if isinstance(values, tuple):
        for item in values:
            yield from numbers(item)
    elif values is not None:
        yield values


def held(node: Node) -> Iterator[float]:
    """The constants of a layer that the oracle holds in float32."""
    for layer in within(node.layer):
        for name in ROUNDED_ARGUMENTS.get(type(layer).__name__, ()):
            yield from numbers(getattr(layer, name))
        for name in ("activation", "recurrent_activation"):
            activation = getattr(layer, name, None)
            defaults = ROUNDED_ACTIVATIONS.get(activation.name, {}) if activation else {}
            yield from numbers(tuple({**defaults, **activation.kwargs}[key] for key in defaults))


def computes_in_single(model: Model) -> bool:
    """Whether the oracle computes a layer in float32 in every dtype: tf.image.resize does."""
    layers = (layer for node in model.layers for layer in within(node.layer))
    methods = {getattr(layer, "interpolation", "nearest") for layer in layers}
    return bool(methods - {"nearest"})


def rounds_constants(model: Model) -> int:
    """How many layers compute with constants that the oracle rounds."""
    return sum(any(float(np.float32(x)) != x for x in held(node)) for node in model.layers)
