"""Normalization of ONNX in Keras's words: axes of the spec, weights in the order of those."""

from typing import Any

import numpy as np

from seqgen.importers.onnx_arrays import LARGEST, Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Value
from seqgen.importers.onnx_walk import Converter, Walk


def _channels(walk: Walk, operator: Operator) -> tuple[Value, int]:
    """The input, and the axis of the spec that holds its channels."""
    x = walk.value(operator)
    if x.rank < 2:
        operator.refuse(f"expected an input with at least 2 axes, received {x.shown}")
    if len(x.axes[1]) != 1 or x.axes[1] == (0,):
        x = walk.in_order(x)
    (axis,) = x.axes[1]
    return x, -1 if axis == len(x.dims) - 1 else axis


def _epsilon(walk: Walk, operator: Operator) -> float:
    return walk.number(operator.real("epsilon", 1e-5))


def batch_norm(walk: Walk, operator: Operator) -> Value:
    """A BatchNormalization; its statistics are those of the file."""
    if operator.integer("training_mode"):
        operator.refuse("1: it normalizes batches in inference too; Keras cannot", "training_mode")
    if operator.integer("spatial", 1) != 1:
        operator.refuse("expected 1, received 0; Keras has one mean for each channel", "spatial")
    x, axis = _channels(walk, operator)
    weights = [walk.weight(operator, place, 1) for place in (1, 2, 3, 4)]
    momentum = walk.number(operator.real("momentum", 0.9))
    return walk.layer(
        "BatchNormalization",
        x,
        weights=weights,
        axis=axis,
        momentum=momentum,
        epsilon=_epsilon(walk, operator),
    )


def instance_norm(walk: Walk, operator: Operator) -> Value:
    """A GroupNormalization with a group of each channel."""
    x, axis = _channels(walk, operator)
    weights = [walk.weight(operator, place, 1) for place in (1, 2)]
    return _grouped(walk, operator, x, axis, -1, weights)


def group_norm(walk: Walk, operator: Operator) -> Value:
    """A GroupNormalization; older versions scale groups instead of channels."""
    x, axis = _channels(walk, operator)
    groups, channels = operator.integer("num_groups"), x.shape[1]
    weights = [walk.weight(operator, place, 1) for place in (1, 2)]
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        message = f"expected a divisor of the channels of {x.shown}, received {groups}"
        operator.refuse(message, "num_groups")
    if operator.opset < 21:
        _check_groups(operator, weights, groups, channels)
        places = np.repeat(np.arange(groups), channels // groups)
        weights = [weight.taken(0, places) for weight in weights]
    return _grouped(walk, operator, x, axis, groups, weights)


def _check_groups(operator: Operator, weights: list[Array], groups: int, channels: int) -> None:
    if any(weight.shape != (groups,) for weight in weights) or channels > LARGEST:
        received = weights[0].shape
        operator.refuse(f"expected scales of {groups} groups, received shape {received}")


def _grouped(
    walk: Walk, operator: Operator, x: Value, axis: int, groups: int, weights: list[Array]
) -> Value:
    epsilon = _epsilon(walk, operator)
    return walk.layer(
        "GroupNormalization", x, weights=weights, groups=groups, axis=axis, epsilon=epsilon
    )


def _last_axes(
    walk: Walk, operator: Operator, x: Value
) -> tuple[int | tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The axes of the spec from an axis of the file on, their sizes there, and their order here."""
    first = walk.axis(operator, x, operator.integer("axis", -1))
    atoms = [axis for group in x.axes[first:] for axis in group]
    if not atoms or 0 in atoms:
        operator.refuse(f"expected an axis behind the batch of {x.shown}, received {first}", "axis")
    sizes = tuple(x.dims[axis] for axis in atoms)
    if not all(isinstance(size, int) for size in sizes):
        operator.refuse(f"expected known sizes, received an input {x.shown}", "axis")
    order = tuple(int(place) for place in np.argsort(atoms))
    places = tuple(sorted(atoms))
    axis = -1 if places == (len(x.dims) - 1,) else places[0] if len(places) == 1 else places
    return axis, sizes, order


def _scale(operator: Operator, array: Array, sizes: tuple[int, ...], order: Any) -> Array:
    """A scale or an offset over the last axes of the file, in the order of the spec."""
    if array.size != int(np.prod(sizes)):
        operator.refuse(f"expected a scale of shape {sizes}, received {array.shape}")
    return array.reshaped(sizes).transposed(order)


def layer_norm(walk: Walk, operator: Operator) -> Value:
    """A LayerNormalization over the last axes of the file."""
    x = walk.value(operator)
    axis, sizes, order = _last_axes(walk, operator, x)
    given = (walk.weight(operator, 1), walk.array(operator, 2))
    weights = [_scale(operator, array, sizes, order) for array in given if array is not None]
    return walk.layer(
        "LayerNormalization",
        x,
        weights=weights,
        axis=axis,
        epsilon=_epsilon(walk, operator),
        center=given[1] is not None,
    )


def rms_norm(walk: Walk, operator: Operator) -> Value:
    """An RMSNormalization over the last axes of the file."""
    x = walk.value(operator)
    axis, sizes, order = _last_axes(walk, operator, x)
    if order != tuple(range(len(order))) or len(sizes) > 1:
        x = walk.in_order(x)
        axis, sizes, order = _last_axes(walk, operator, x)
    scale = _scale(operator, walk.weight(operator, 1), sizes, order)
    epsilon = _epsilon(walk, operator)
    return walk.layer("RMSNormalization", x, weights=[scale], axis=axis, epsilon=epsilon)


CONVERTERS: dict[str, Converter] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
}
