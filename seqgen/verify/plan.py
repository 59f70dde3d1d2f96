"""What is fed to the programs: inputs of several sizes, seeds, and the spec for the oracle."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from seqgen.errors import SpecError
from seqgen.ir.build import infer
from seqgen.ir.graph import Model, Node
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer
from seqgen.layers.core import Embedding
from seqgen.layers.objects import Named
from seqgen.layers.within import keeps_states, within
from seqgen.passes.dtype import typed_layer
from seqgen.targets.keras import module_of
from seqgen.verify import masks

BATCHES = (3, 2)
# Batches after one another that show what becomes of states.
CONSECUTIVE = 3
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
# The same of recurrent layers and cells.
RECURRENT_NOISE = ("dropout", "recurrent_dropout")
# Layers that hand on the values they get, besides those of noise.
KEEPING = ("Identity", "ActivityRegularization")
# Layers that a training step runs differently, besides drawing random numbers.
TRAINED_DIFFERENTLY = ("BatchNormalization", "SpectralNormalization")


def plain(value: Any) -> Any:
    """An argument as the oracle's worker reads it."""
    if isinstance(value, Named):
        arguments = {name: plain(item) for name, item in value.arguments}
        return {"function": value.name, "module": module_of(value), "arguments": arguments}
    if isinstance(value, Layer):
        name = value.name or value.auto_name
        arguments = {**plain_arguments(value), "name": name}
        return {"class": value.keras_path or type(value).__name__, "arguments": arguments}
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


def quiet(layer: Layer) -> Layer:
    """The layer with nothing random in training, nor in any layer within."""
    layer = layer.with_parts(quiet)
    names = (NOISE.get(type(layer).__name__), *RECURRENT_NOISE)
    return replace(layer, **{name: 0.0 for name in names if name in layer.kinds})


def without_noise(graph: Model) -> Model:
    """The model with nothing random in training, so that training mode can be compared."""

    def silenced(node: Node) -> list[Node] | None:
        is_layer = isinstance(node.layer, Layer)
        return [replace(node, layer=quiet(node.layer))] if is_layer else None

    return graph.rewrite(silenced)


def all_layers(graph: Model) -> Iterator[Layer]:
    """The layers of a model, and all within them."""
    return (part for node in graph.layers for part in within(node.layer))


def has_training_mode(graph: Model) -> bool:
    """Whether training mode differs from inference by more than random numbers."""
    return any(type(layer).__name__ in TRAINED_DIFFERENTLY for layer in all_layers(graph))


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


def mask_maker(graph: Model) -> Layer | None:
    """The layer that makes a mask of the very input of the model, if one does."""
    for node in graph.layers:
        if node.mask == node.name:
            return node.layer
        if node.kind not in (*KEEPING, *NOISE):
            break
    return None


def batch_sizes(graph: Model) -> tuple[int, ...]:
    """The size of each batch to run."""
    masked = mask_maker(graph) is not None
    size = graph.by_name[graph.inputs[0]].type.shape[0]
    if not isinstance(size, int):
        return masks.BATCHES if masked else BATCHES
    stateful = keeps_states(node.layer for node in graph.layers)
    least = CONSECUTIVE if stateful else len(BATCHES)
    return (size,) * max(least, masks.count(size) if masked else 0)


def input_sizes(graph: Model) -> Iterator[tuple[int, ...]]:
    """Sizes without the batch that fit the model, those of open axes another each time."""
    shape = graph.by_name[graph.inputs[0]].type.shape
    opened = [axis for axis, size in enumerate(shape) if axis and not isinstance(size, int)]
    for start in range(len(OPEN_SIZES)):
        # Axes get different sizes, so that swapped ones show.
        sizes = itertools.islice(itertools.cycle(OPEN_SIZES[start:]), len(opened))
        concrete = list(shape)
        concrete[0] = batch_sizes(graph)[0]
        for axis, size in zip(opened, sizes, strict=True):
            concrete[axis] = size
        candidate = tuple(int(size) for size in concrete)
        if fits(graph, candidate):
            yield candidate[1:]


def input_shapes(graph: Model) -> list[tuple[int, ...]]:
    """Shapes to run, the batch included: two sizes for every open axis.

    Raises:
        SpecError: No sizes that were tried fit the model.
    """
    found = list(itertools.islice(input_sizes(graph), 2))
    if len(found) < 2:
        shape = graph.by_name[graph.inputs[0]].type.shape
        message = f"no sizes up to {OPEN_SIZES[-1]} for the open axes of {shape} fit the layers"
        raise SpecError(message)
    return [(batch, *sizes) for batch, sizes in zip(batch_sizes(graph), itertools.cycle(found))]


def integer_limit(graph: Model) -> int:
    """One more than the largest integer to feed: an Embedding takes no more than its size."""
    sizes = [layer.input_dim for layer in all_layers(graph) if isinstance(layer, Embedding)]
    return min(sizes, default=10)


def spreads_nan(graph: Model) -> bool:
    """Whether one row without any step makes all results NaN.

    The mean over no steps is NaN, and training mode mixes it with those of other rows.
    """
    means = any(node.kind == "GlobalAveragePooling1D" for node in graph.layers)
    return means and has_training_mode(graph)


def inputs(graph: Model, seed: int, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """An input for each shape: normal values, or integers where the model takes them.

    Where a layer makes a mask of them, they have steps to be masked.
    """
    rng = np.random.default_rng([seed, 1])
    entry, maker = graph.by_name[graph.inputs[0]].type, mask_maker(graph)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        if entry.dtype.startswith("int") or isinstance(maker, Embedding):
            return rng.integers(0, integer_limit(graph), shape).astype(entry.dtype)
        # Values of float32 in every dtype, so that all dtypes compute the same thing.
        values = rng.normal(size=shape).astype(np.float32)
        return values.astype("float64") if entry.dtype == "float64" else values

    drawn = [draw(shape) for shape in shapes]
    if maker is None:
        return drawn
    some = spreads_nan(graph)
    return [masks.masked(maker, x, index, some) for index, x in enumerate(drawn)]
