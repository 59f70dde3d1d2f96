"""Adaptive pooling for a target that has none: its windows follow from the sizes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node, Op
from seqgen.layers import LAYERS
from seqgen.layers.base import Layer
from seqgen.layers.core import Identity
from seqgen.layers.pooling import _AdaptivePooling

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class UnevenPooling(Op):
    """Pools windows along one spatial axis of a channels-first tensor that keep no even step.

    Attributes:
        reduce: `Max` or `Average`.
        windows: The window of each length that there is, over all spatial axes; all places of
            one are pooled, then all places of the next.
        axis: Along which the results stand in a row.
        places: Which of them are asked for.
    """

    family = "pooling"

    reduce: str
    windows: tuple[Sizes, ...]
    axis: int
    places: Sizes


def windows(size: int, count: int) -> list[tuple[int, int]]:
    """Start and length of each of `count` windows over an axis, as Keras and PyTorch have them."""
    starts = [i * size // count for i in range(count)]
    ends = [-(-(i + 1) * size // count) for i in range(count)]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def even_step(size: int, count: int) -> tuple[int, int] | None:
    """Length and step of the windows, if one of each describes them all."""
    found = windows(size, count)
    if count == 1:
        return size, size
    length, step = found[0][1], found[1][0]
    even = step and found == [(i * step, length) for i in range(count)]
    return (length, step) if even else None


def uneven(reduce: str, rank: int, spatial: int, size: int, count: int) -> UnevenPooling:
    """The pooling of windows that keep no even step; their lengths are one or two."""
    found = windows(size, count)
    lengths = sorted({length for _, length in found})
    offsets = dict(zip(lengths, (0, size - lengths[0] + 1), strict=False))
    return UnevenPooling(
        reduce,
        tuple(
            tuple(length if axis == spatial else 1 for axis in range(rank)) for length in lengths
        ),
        spatial + 2,
        tuple(start + offsets[length] for start, length in found),
    )


def steps(layer: _AdaptivePooling, sizes: Sizes, reduce: str) -> Iterator[tuple[Layer | Op, Sizes]]:
    """What to do one after the other, each with the spatial sizes after it.

    Plain pooling goes first, along all axes where the windows keep an even step.
    """
    pairs = list(zip(sizes, layer.output_size, strict=True))
    even = [even_step(*pair) for pair in pairs]
    plain = [step or (1, 1) for step in even]
    now = [count if step else size for step, (size, count) in zip(even, pairs, strict=True)]
    if any(step != (1, 1) for step in plain):
        lengths, strides = zip(*plain, strict=True)
        pooling = LAYERS[f"{reduce}Pooling{layer.rank}D"]
        yield pooling(lengths, strides, data_format=layer.data_format), tuple(now)
    for spatial, (size, count) in enumerate(pairs):
        if not even[spatial]:
            now[spatial] = count
            yield uneven(reduce, layer.rank, spatial, size, count), tuple(now)


def plan(node: Node, source: Node) -> list[tuple[Layer | Op, Sizes]]:
    """The steps of one adaptive pooling.

    Raises:
        UnsupportedError: A size is open that the windows hang on.
    """
    layer = node.layer
    reduce = "Max" if "Max" in node.kind else "Average"
    if set(layer.output_size) == {1}:
        everything = LAYERS[f"Global{reduce}Pooling{layer.rank}D"]
        return [(everything("channels_first", keepdims=True), layer.output_size)]
    sizes = tuple(size for size in layer.spatial_sizes(source.type) if isinstance(size, int))
    if len(sizes) < layer.rank:
        raise UnsupportedError(
            f"{layer.label}: target 'onnx' cannot say output_size={layer.output_size} for open "
            f"sizes {source.type.keras_shape}; give the input a fixed size, or use an "
            "output_size of 1"
        )
    return list(steps(layer, sizes, reduce)) or [(Identity(), sizes)]


def place_windows(model: Model) -> Model:
    """Turn adaptive pooling into plain pooling, where windows keep no even step one axis a time."""

    def placed(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, _AdaptivePooling):
            return None
        source = model.input_of(node)
        chain: list[Node] = []
        for index, (step, sizes) in enumerate(plan(node, source)):
            made = replace(
                node,
                name=f"{node.name}.{index}",
                layer=step,
                inputs=(chain[-1].name,) if chain else node.inputs,
                type=node.layer.resized(source.type, sizes),
                pads=((0, 0),) * node.layer.rank,
            )
            chain.append(made)
        return [*chain[:-1], replace(chain[-1], name=node.name)]

    return model.rewrite(placed)
