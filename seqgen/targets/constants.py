"""Numbers and arrays that stand in a program, laid out as the program has its tensors."""

from typing import Any

import numpy as np

from seqgen.ir.graph import Node
from seqgen.layers.arguments import shape_of
from seqgen.layers.preprocessing import Normalization, Rescaling
from seqgen.render import Source, literal
from seqgen.targets.base import Row

# Keras takes no deviation to be smaller.
SMALLEST_DEVIATION = 1e-7
# A number with more characters is tried as a fraction.
SHORT = 8


def of_numbers(layer: Rescaling | Normalization) -> bool:
    """Whether all constants of the layer are numbers, and none of them is an array."""
    names = ("scale", "offset") if isinstance(layer, Rescaling) else ("mean", "variance")
    return not any(shape_of(getattr(layer, name)) for name in names)


def listed(values: Any) -> Any:
    """Nested tuples as nested lists; a number stays one."""
    return [listed(item) for item in values] if isinstance(values, tuple) else values


def fraction(value: Any) -> str:
    """A number as a person writes it, `1 / 255`; an array as nested lists."""
    if shape_of(value) or not value or len(repr(value)) <= SHORT:
        return Source(literal(listed(value)))
    divisor = float(f"{1 / value:.6g}")
    whole = int(divisor) if divisor.is_integer() else divisor
    return Source(f"1 / {whole}" if 1 / divisor == value else literal(value))


def signed(value: float) -> str:
    """A number that is added: `+ 0.5` or `- 0.5`."""
    return Source(f"{'-' if value < 0 else '+'} {fraction(abs(value))}")


def _layout(node: Node) -> tuple[int, ...]:
    return node.perm or tuple(range(node.type.rank))


def _aligned(node: Node, values: Any) -> Any:
    """Statistics with the axes of the node's tensor, those of size 1 in front left out."""
    if not shape_of(values):
        return values
    # Arrays lie along the last of the kept axes.
    kept = list(node.layer.kept(node.type))[-len(shape_of(values)) :]
    sizes = dict(zip(kept, shape_of(values), strict=True))
    array = np.array(values, float).reshape([sizes.get(i, 1) for i in range(node.type.rank)])
    array = array.transpose(_layout(node))
    return array.reshape(_without_ones(array.shape)).tolist()


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape) - 1)
    return shape[first:]


def mean_of(node: Node) -> Any:
    """The mean that a Normalization was given."""
    return _aligned(node, node.layer.mean)


def deviation_of(node: Node) -> Any:
    """The standard deviation of the variance that a Normalization was given."""
    deviation = np.maximum(np.sqrt(node.layer.variance), SMALLEST_DEVIATION)
    return _aligned(node, tuple_of(deviation.tolist()))


def tuple_of(values: Any) -> Any:
    """Nested lists as nested tuples."""
    return tuple(map(tuple_of, values)) if isinstance(values, list) else values


def statistics_shape(node: Node) -> tuple[int, ...]:
    """Shape of the statistics of a Normalization as they are broadcast to the node's tensor."""
    shape = node.layer.statistics_shape(node.type)
    if not node.layer.axis:
        return ()
    return _without_ones(tuple(shape[axis] for axis in _layout(node)))


def statistics_perm(node: Node) -> tuple[int, ...]:
    """Which of the kept axes stands at each place of the statistics."""
    kept = list(node.layer.kept(node.type))
    return tuple(kept.index(axis) for axis in _layout(node) if axis in kept)


def slopes_shape(node: Node) -> tuple[int, ...]:
    """Shape of the slopes of a PReLU, laid out as its input."""
    shape = (1, *node.weight("alpha").shape)
    return tuple(shape[axis] for axis in _layout(node)[1:])


def channel_slopes(node: Node) -> int | tuple[int, ...]:
    """The number of slopes of a PReLU if each is a channel's or there is one; else their shape."""
    channels, *rest = slopes_shape(node)
    return channels if all(size == 1 for size in rest) else (channels, *rest)


# Where the statistics of an adapted Normalization go, in every target.
STATISTICS = {
    "mean": Row("mean", statistics_perm, statistics_shape, ("in",)),
    "variance": Row("variance", statistics_perm, statistics_shape, ("in",)),
    "count": Row("count"),
}

CONSTANTS = {
    "of_numbers": of_numbers,
    "array": listed,
    "fraction": fraction,
    "signed": signed,
    "mean_of": mean_of,
    "deviation_of": deviation_of,
    "statistics_shape": statistics_shape,
    "channel_slopes": channel_slopes,
}
