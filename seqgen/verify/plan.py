"""What is fed to the programs: inputs of several sizes, seeds, and the spec for the oracle."""

import itertools
from collections.abc import Callable, Iterator, Sequence
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
from seqgen.layers.within import NOISE, keeps_states, noise_of, within
from seqgen.passes.dtype import typed_layer
from seqgen.targets.keras import module_of
from seqgen.verify import masks

BATCHES = (3, 2)
# Batches after one another that show what becomes of states.
CONSECUTIVE = 3
# Sizes tried for open axes, smallest first; windows and croppings need some room.
OPEN_SIZES = (5, 8, 13, 21, 34, 55, 89, 144, 233)
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


def oracle_graph(graph: Model) -> dict[str, Any]:
    """The graph for the oracle: inputs, outputs, and layers with the keys of their weights."""
    entries = [graph.by_name[name] for name in graph.inputs]
    return {
        "entries": [
            {"name": entry.name, "shape": entry.type.keras_shape, "dtype": entry.type.dtype}
            for entry in entries
        ],
        "layers": [
            {
                "name": node.name,
                "same_as": node.same_as,
                "class": node.layer.keras_path or node.kind,
                "arguments": plain_arguments(typed_layer(node.layer, graph.dtype)),
                "weights": [weight.key for weight in node.weights],
                "inputs": list(node.inputs),
                "as_list": node.layer.takes_list,
                "ports": node.layer.ports,
                "by_name": node.layer.keyword_ports,
                "call": dict(node.arguments),
            }
            for node in graph.layers
        ],
        "outputs": list(graph.outputs),
    }


def quiet(layer: Layer) -> Layer:
    """The layer with nothing random in training, nor in any layer within."""
    layer = layer.with_parts(quiet)
    return replace(layer, **dict.fromkeys(noise_of(layer), 0.0))


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


def fits(graph: Model, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether every layer takes what inputs of these shapes become."""
    entries = (graph.by_name[name] for name in graph.inputs)
    types: dict[str, TensorType] = {
        entry.name: replace(entry.type, shape=shape)
        for entry, shape in zip(entries, shapes, strict=True)
    }
    try:
        for node in graph.layers:
            xs = tuple(types[name] for name in node.inputs)
            types[node.name], _ = infer(node.layer, xs, node.name)
    except SpecError:
        return False
    return True


def mask_maker(graph: Model, entry: str | None = None) -> Layer | None:
    """The layer that makes a mask of the very input of the model, if one does.

    Args:
        graph: The model.
        entry: Name of the input; the first if it is not given.
    """
    reached = {entry or graph.inputs[0]}
    for node in graph.layers:
        if not reached.isdisjoint(node.inputs):
            if node.mask == node.name and len(node.inputs) == 1:
                return node.layer
            if node.kind in (*KEEPING, *NOISE):
                reached.add(node.name)
    return None


def _taken_for_bias(graph: Model) -> set[int]:
    """Sizes of batches in which Keras itself adds numbers to the wrong places.

    Where there are as many samples as features, TensorFlow's back end takes a number for each
    sample for a bias (`add` in keras/src/backend/tensorflow/numpy.py).
    """
    sizes: set[int] = set()
    for node in graph.layers:
        shapes = [graph.by_name[name].type.shape for name in node.inputs]
        if len(shapes) > 1 and any(set(shape[1:]) == {1} for shape in shapes):
            sizes.update(size for shape in shapes for size in shape[1:] if isinstance(size, int))
    return sizes


def batch_sizes(graph: Model) -> tuple[int, ...]:
    """The size of each batch to run."""
    masked = any(mask_maker(graph, entry) is not None for entry in graph.inputs)
    sizes = [graph.by_name[entry].type.shape[0] for entry in graph.inputs]
    size = next((size for size in sizes if isinstance(size, int)), None)
    if size is None:
        chosen, wrong = masks.BATCHES if masked else BATCHES, _taken_for_bias(graph)
        while not wrong.isdisjoint(chosen):
            chosen = tuple(size + len(chosen) for size in chosen)
        return chosen
    stateful = keeps_states(node.layer for node in graph.layers)
    least = CONSECUTIVE if stateful else len(BATCHES)
    return (size,) * max(least, masks.count(size) if masked else 0)


# What the open axes of several inputs have in common that have the same size: nothing, so that
# swapped ones show, or where layers want that, the name, or that they are open (a mask of steps
# has them where others have features).
ALIKE: tuple[Callable[[str, str], str], ...] = (
    lambda entry, axis: f"{entry}.{axis}",
    lambda entry, axis: axis,
    lambda entry, axis: "",
)


def _concrete(
    graph: Model, start: int, alike: Callable[[str, str], str]
) -> tuple[tuple[int, ...], ...]:
    """Shapes of the inputs in which open axes have sizes from one on, another each.

    Args:
        graph: The model.
        start: Place of the first size to take.
        alike: What the axes of an input have in common that have the same size.
    """
    sizes = itertools.cycle(OPEN_SIZES[start:])
    chosen: dict[str, int] = {}
    shapes = []
    for entry in graph.inputs:
        x = graph.by_name[entry].type
        shape = [batch_sizes(graph)[0]]
        for axis, size in zip(x.axes[1:], x.shape[1:], strict=True):
            if isinstance(size, int):
                shape.append(size)
                continue
            key = alike(entry, axis)
            if key not in chosen:
                chosen[key] = next(sizes)
            shape.append(chosen[key])
        shapes.append(tuple(shape))
    return tuple(shapes)


def input_sizes(graph: Model) -> list[tuple[tuple[int, ...], ...]]:
    """Two sets of shapes of the inputs that fit the model, those of open axes another each time."""
    for alike in ALIKE if len(graph.inputs) > 1 else ALIKE[:1]:
        candidates = (_concrete(graph, start, alike) for start in range(len(OPEN_SIZES)))
        fitting = (shapes for shapes in candidates if fits(graph, shapes))
        found = list(itertools.islice(fitting, 2))
        if len(found) == 2:
            return found
    opened = [graph.by_name[entry].type.shape for entry in graph.inputs]
    shown = ", ".join(map(str, opened))
    raise SpecError(f"no sizes up to {OPEN_SIZES[-1]} for the open axes of {shown} fit the layers")


def input_shapes(graph: Model) -> list[tuple[int, ...]]:
    """Shapes to run, the batch included: two sizes for every open axis.

    Those of all inputs stand side by side, batch after batch.

    Raises:
        SpecError: No sizes that were tried fit the model.
    """
    pairs = zip(batch_sizes(graph), itertools.cycle(input_sizes(graph)))
    return [(batch, *shape[1:]) for batch, shapes in pairs for shape in shapes]


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
    """An array for each shape: normal values, or integers or booleans where the model takes them.

    Where a layer makes a mask of them, they have steps to be masked.
    """
    rng = np.random.default_rng([seed, 1])
    some = spreads_nan(graph)
    makers = {entry: mask_maker(graph, entry) for entry in graph.inputs}

    def draw(number: int, shape: tuple[int, ...]) -> np.ndarray:
        name = graph.inputs[number % len(graph.inputs)]
        entry, maker = graph.by_name[name].type, makers[name]
        if entry.dtype == "bool":
            x = rng.integers(0, 2, shape).astype(bool)
        elif entry.dtype.startswith("int") or isinstance(maker, Embedding):
            x = rng.integers(0, integer_limit(graph), shape).astype(entry.dtype)
        else:
            # Values of float32 in every dtype, so that all dtypes compute the same thing.
            x = rng.normal(size=shape).astype(np.float32)
            x = x.astype("float64") if entry.dtype == "float64" else x
        return x if maker is None else masks.masked(maker, x, number // len(graph.inputs), some)

    return [draw(number, shape) for number, shape in enumerate(shapes)]
