"""What is fed to the programs: inputs of several sizes, seeds, and the spec for the oracle."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from seqgen.errors import SpecError
from seqgen.ir.build import infer
from seqgen.ir.graph import Model, Node
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer
from seqgen.layers.objects import Named
from seqgen.passes.dtype import typed_layer
from seqgen.targets.keras import module_of

BATCHES = (3, 2)
# Sizes tried for open axes, smallest first; windows and croppings need some room.
OPEN_SIZES = (5, 8, 13, 21, 34, 55, 89, 144, 233)
# Layers whose training mode draws random numbers, and the argument that says how much.
NOISE = {
    "Dropout": "rate",
    "SpatialDropout1D": "rate",
    "SpatialDropout2D": "rate",
    "SpatialDropout3D": "rate",
    "GaussianDropout": "rate",
    "GaussianNoise": "stddev",
    "AlphaDropout": "rate",
}
# Layers that a training step runs differently, besides drawing random numbers.
TRAINED_DIFFERENTLY = ("BatchNormalization", "SpectralNormalization")


def plain(value: Any) -> Any:
    """An argument as the oracle's worker reads it."""
    if isinstance(value, Named):
        arguments = {name: plain(item) for name, item in value.arguments}
        return {"function": value.name, "module": module_of(value), "arguments": arguments}
    if isinstance(value, Layer):
        return {"class": type(value).__name__, "arguments": plain_arguments(value)}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def plain_arguments(layer: Layer) -> dict[str, Any]:
    """All arguments of a layer that differ from Keras's defaults."""
    given = layer.arguments().items()
    return {name: plain(layer.kinds[name].brief(value)) for name, value in given}


def oracle_layers(graph: Model) -> list[dict[str, Any]]:
    """The chain of layers for the oracle, each with the keys of its weights in order."""
    return [
        {
            "class": node.layer.keras_path or node.kind,
            "arguments": plain_arguments(typed_layer(node.layer, graph.dtype)),
            "weights": [weight.key for weight in node.weights],
        }
        for node in graph.layers
    ]


def without_noise(graph: Model) -> Model:
    """The model with nothing random in training, so that training mode can be compared."""

    def quiet(node: Node) -> list[Node] | None:
        argument = NOISE.get(node.kind)
        return [replace(node, layer=replace(node.layer, **{argument: 0.0}))] if argument else None

    return graph.rewrite(quiet)


def has_training_mode(graph: Model) -> bool:
    """Whether training mode differs from inference by more than random numbers."""
    return any(node.kind in TRAINED_DIFFERENTLY for node in graph.layers)


def fits(graph: Model, shape: tuple[int, ...]) -> bool:
    """Whether every layer takes what an input of this shape becomes."""
    entry = graph.by_name[graph.inputs[0]].type
    types: dict[str, TensorType] = {graph.inputs[0]: replace(entry, shape=shape)}
    try:
        for node in graph.layers:
            types[node.name], _ = infer(node.layer, types[node.inputs[0]], node.name)
    except SpecError:
        return False
    return True


def input_shapes(graph: Model) -> list[tuple[int, ...]]:
    """Shapes to run, the batch included: two sizes for every open axis.

    Raises:
        SpecError: No sizes that were tried fit the model.
    """
    shape = graph.by_name[graph.inputs[0]].type.shape
    opened = [axis for axis, size in enumerate(shape) if axis and not isinstance(size, int)]
    found: list[tuple[int, ...]] = []
    for start in range(len(OPEN_SIZES)):
        # Axes get different sizes, so that swapped ones show.
        sizes = itertools.islice(itertools.cycle(OPEN_SIZES[start:]), len(opened))
        concrete = list(shape)
        concrete[0] = BATCHES[len(found)]
        for axis, size in zip(opened, sizes, strict=True):
            concrete[axis] = size
        candidate = tuple(int(size) for size in concrete)
        if fits(graph, candidate):
            found.append(candidate)
        if len(found) == len(BATCHES):
            return found
    raise SpecError(f"no sizes up to {OPEN_SIZES[-1]} for the open axes of {shape} fit the layers")


def integer_limit(graph: Model) -> int:
    """One more than the largest integer to feed: an Embedding takes no more than its size."""
    sizes = [node.layer.input_dim for node in graph.layers if node.kind == "Embedding"]
    return min(sizes, default=10)


def inputs(graph: Model, seed: int, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """An input for each shape: normal values, or integers where the model takes them."""
    rng = np.random.default_rng([seed, 1])
    entry = graph.by_name[graph.inputs[0]].type

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        if entry.dtype.startswith("int"):
            return rng.integers(0, integer_limit(graph), shape).astype(entry.dtype)
        # Values of float32 in every dtype, so that all dtypes compute the same thing.
        values = rng.normal(size=shape).astype(np.float32)
        return values.astype("float64") if entry.dtype == "float64" else values

    return [draw(shape) for shape in shapes]
