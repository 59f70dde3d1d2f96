"""What layers ask about axes: where they are, how long they are, and where they go."""

from dataclasses import replace

from seqgen.ir.types import Dim, Permutation, TensorType
from seqgen.layers.arguments import DTYPES, shape_of
from seqgen.layers.base import Layer
from seqgen.layers.objects import AXIS_ACTIVATIONS, Named

Axes = int | tuple[int, ...]


def positions(layer: Layer, x: TensorType, axes: Axes, argument: str = "axis") -> tuple[int, ...]:
    """Places of one or more axes, counted from the batch; a fault if `x` does not have them."""
    given = (axes,) if isinstance(axes, int) else axes
    if any(not -x.rank <= axis < x.rank for axis in given):
        bounds = f"from {-x.rank} to {x.rank - 1} for an input {x.keras_shape}"
        raise layer.fault(f"expected axes {bounds}, received {axes}", argument)
    places = tuple(axis % x.rank for axis in given)
    if len(set(places)) != len(places):
        message = f"expected different axes, received {axes} for an input {x.keras_shape}"
        raise layer.fault(message, argument)
    return places


def known_sizes(
    layer: Layer, x: TensorType, places: tuple[int, ...], argument: str = "axis"
) -> tuple[int, ...]:
    """Sizes of some axes; a fault if one of them is open, as the batch always is."""
    sizes = tuple(x.shape[place] for place in places)
    if not all(isinstance(size, int) for size in sizes):
        message = f"expected known sizes of the axes {places}, received an input {x.keras_shape}"
        raise layer.fault(message, argument)
    return sizes


def moved(axis: int, perm: Permutation) -> int:
    """Where an axis stands after a transpose by `perm`; as it was written if it stays in place."""
    place = axis % len(perm)
    return axis if perm[place] == place else perm.index(place)


def all_moved(axes: Axes, perm: Permutation) -> Axes:
    """Where one or more axes stand after a transpose by `perm`."""
    if isinstance(axes, int):
        return moved(axes, perm)
    return tuple(moved(axis, perm) for axis in axes)


def activated(layer: Layer, y: TensorType, activation: Named | None) -> TensorType:
    """The type after an activation: `glu` halves its axis, all others keep what comes."""
    if activation is None or activation.name not in AXIS_ACTIVATIONS:
        return y
    axis, *_ = positions(layer, y, activation.kwargs.get("axis", -1), "activation")
    if activation.name != "glu":
        return y
    size = y.shape[axis]
    if axis == 0 or (isinstance(size, int) and size % 2):
        message = f"glu needs an even size to halve, received axis {axis} of {y.keras_shape}"
        raise layer.fault(message, "activation")
    half = size // 2 if isinstance(size, int) else None
    return replace(y, shape=(*y.shape[:axis], half, *y.shape[axis + 1 :]))


def computed(layer: Layer, x: TensorType) -> TensorType:
    """The input as the layer computes with it: numbers that are not floating are cast first."""
    if layer.dtype is None and x.dtype in DTYPES:
        return x
    return replace(x, dtype=layer.dtype or "float32")


def spreads(shape: tuple[int, ...], over: tuple[Dim | None, ...]) -> bool:
    """Whether an array of this shape can be repeated to another shape, aligned at the end."""
    aligned = zip(shape[::-1], over[::-1], strict=False)
    return len(shape) <= len(over) and all(size in (1, given) for size, given in aligned)


def check_spreads(layer: Layer, argument: str, x: TensorType) -> None:
    """Check that a number or an array among a layer's arguments can be repeated to its input.

    Raises:
        SpecError: It cannot.
    """
    shape = shape_of(getattr(layer, argument))
    if not spreads(shape, x.shape):
        message = f"expected an array that repeats to {x.keras_shape}, received one of {shape}"
        raise layer.fault(message, argument)
