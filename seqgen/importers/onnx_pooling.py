"""Pooling of ONNX in Keras's words, and reductions along axes."""

import math
from collections.abc import Sequence
from dataclasses import replace

from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Value
from seqgen.importers.onnx_walk import Converter, Walk
from seqgen.importers.onnx_windows import Sliding, back, padded, sliding
from seqgen.importers.torch_windows import Window, padding_of


def _pooled(walk: Walk, operator: Operator) -> tuple[Sliding, list[Window], int]:
    window = operator.integers("kernel_shape")
    if not window:
        operator.refuse("expected sizes of a window, and there are none", "kernel_shape")
    windows = sliding(walk, operator, walk.value(operator), window)
    if set(windows.dilations) != {1}:
        operator.refuse(
            f"expected 1, received {windows.dilations}; Keras has no other", "dilations"
        )
    ceil = bool(operator.integer("ceil_mode"))
    # Padding that hangs on open sizes is a word of Keras, or refused before it is asked for.
    pads = windows.pads or [(0, 0)] * windows.rank
    axes = zip(windows.window, windows.strides, pads, strict=True)
    made = [Window(size, stride, before, ceil, after) for size, stride, (before, after) in axes]
    if windows.pads is None:
        operator.refuse("SAME_LOWER of open sizes, which Keras does not pad so", "auto_pad")
    return windows, made, len(window)


def _emit(walk: Walk, kind: str, windows: Sliding, x: Value, padding: str, rank: int) -> Value:
    arguments = {"pool_size": windows.window, "strides": windows.strides, "padding": padding}
    return back(windows, walk.layer(f"{kind}{windows.rank}D", x, **arguments), rank)


def max_pooling(walk: Walk, operator: Operator) -> Value:
    """A MaxPooling. ONNX pads with minus infinity: zeros will do where nothing is below 0."""
    windows, axes, rank = _pooled(walk, operator)
    if windows.same:
        return _emit(walk, "MaxPooling", windows, windows.x, "same", rank)
    padding = padding_of(axes, windows.sizes)
    if padding is not None:
        return _emit(walk, "MaxPooling", windows, windows.x, padding, rank)
    pairs = zip(axes, windows.sizes, strict=True)
    margins = [window.margins(size) for window, size in pairs]
    if None in margins:
        message = f"Keras cannot round up the open sizes of {windows.x.shown} so; fix them"
        operator.refuse(message, "ceil_mode")
    if not windows.x.positive:
        attribute = "pads" if any(sum(window.pads) for window in axes) else "ceil_mode"
        message = f"Keras has no such windows over {windows.sizes}, and zeros around the input"
        hint = "would change the maximum of values below 0; put the pooling behind a Relu"
        operator.refuse(f"{message} {hint}", attribute)
    x = padded(walk, windows, [margin for margin in margins if margin])
    return _emit(walk, "MaxPooling", windows, x, "valid", rank)


def average_pooling(walk: Walk, operator: Operator) -> Value:
    """An AveragePooling, behind zeros if the padding counts."""
    windows, axes, rank = _pooled(walk, operator)
    include = bool(operator.integer("count_include_pad"))
    if windows.same:
        if include and math.prod(windows.window) > 1:
            hint = "Keras leaves padding out of the count; export it with explicit pads"
            operator.refuse(f"1 with SAME_UPPER: {hint}", "count_include_pad")
        return _emit(walk, "AveragePooling", windows, windows.x, "same", rank)
    counted = include and any(sum(window.pads) for window in axes)
    padding = padding_of(axes, windows.sizes, padded=counted)
    if padding is None:
        pads = any(sum(window.pads) for window in axes)
        attribute = "count_include_pad" if pads and not counted else "ceil_mode"
        operator.refuse(f"Keras has no such windows over {windows.sizes}", attribute)
    x = padded(walk, windows, [window.pads for window in axes]) if counted else windows.x
    return _emit(walk, "AveragePooling", windows, x, padding, rank)


def global_pooling(reduce: str) -> Converter:
    """A GlobalPooling over all axes behind the channels."""

    def convert(walk: Walk, operator: Operator) -> Value:
        x = walk.value(operator)
        return reduced(walk, operator, x, tuple(range(2, x.rank)), keep=True, reduce=reduce)

    return convert


def reduction(reduce: str, operation: str) -> Converter:
    """What reduces the axes that an operator names: a GlobalPooling over images and steps with
    their channels last, else an operation."""

    def convert(walk: Walk, operator: Operator) -> Value:
        x = walk.value(operator)
        axes: Sequence[int] | None = walk.integers(operator, 1, "axes")
        if not axes and operator.integer("noop_with_empty_axes"):
            return x
        places = {walk.axis(operator, x, axis, "axes") for axis in axes or range(x.rank)}
        keep = bool(operator.integer("keepdims", 1))
        if reduce and _leaves_channels(x, places):
            return reduced(walk, operator, x, tuple(sorted(places)), keep, reduce)
        return _by_operation(walk, operator, x, places, keep, operation)

    return convert


def _leaves_channels(x: Value, places: set[int]) -> bool:
    """Whether all is reduced but the batch and the channels: the last axis of the spec, or that
    behind the batch of the file."""
    owned = [at for at in range(x.rank) if x.axes[at] and at not in places]
    channels = owned[1:] == [1] or (len(owned) == 2 and x.axes[owned[1]] == (len(x.dims) - 1,))
    return owned[:1] == [0] and channels and 3 <= len(x.dims) <= 5


def _by_operation(
    walk: Walk, operator: Operator, x: Value, places: set[int], keep: bool, operation: str
) -> Value:
    gone = sorted(axis for at in places for axis in x.axes[at])
    if 0 in gone:
        operator.refuse(f"it takes samples of a batch together, of {x.shown}", "axes")
    rest = [() if at in places else x.axes[at] for at in range(x.rank) if keep or at not in places]
    left = [axis for axis in range(len(x.dims)) if axis not in gone]
    axes = tuple(tuple(left.index(axis) for axis in group) for group in rest)
    if not gone:
        return replace(x, axes=axes)
    return walk.layer(f"ops.{operation}", x, axis=gone[0] if len(gone) == 1 else gone, axes=axes)


def reduced(
    walk: Walk, operator: Operator, x: Value, axes: tuple[int, ...], keep: bool, reduce: str
) -> Value:
    """A GlobalPooling over some axes; those that the spec does not have stay as they are."""
    rest = [at for at in range(x.rank) if at not in axes]
    over = [at for at in axes if x.axes[at]]
    owned = [at for at in rest if x.axes[at]]
    if len(owned) != 2 or owned[0] != 0 or not 1 <= len(over) <= 3:
        message = f"expected one to three axes behind the channels, received an input {x.shown}"
        operator.refuse(message)
    known = replace(x, axes=tuple(x.axes[at] for at in (0, *over, owned[1])))
    channels_first = known.axes == ((0,), *((at,) for at in range(2, len(over) + 2)), (1,))
    moved = known if channels_first else walk.arranged(known, range(known.rank))
    arguments = {"data_format": "channels_first"} if channels_first else {}
    kind = f"Global{reduce}Pooling{len(over)}D"
    places = range(x.rank) if keep else rest
    if _kept_whole(walk, operator, keep):
        y = walk.layer(kind, moved, keepdims=True, axes=moved.axes, **arguments)
        kept = dict(zip((0, *over, owned[1]), y.axes, strict=True))
    else:
        y = walk.layer(kind, moved, axes=((0,), (1,)), **arguments)
        kept = {owned[0]: (0,), owned[1]: (1,)}
    return replace(y, axes=tuple(kept.get(at, ()) for at in places))


def _kept_whole(walk: Walk, operator: Operator, keep: bool) -> bool:
    """Whether what follows needs the reduced axes, and does not take them off again."""
    followers = walk.followers(operator.outputs[0])
    return keep and not any(kind in ("Flatten", "Reshape", "Squeeze") for kind in followers)


CONVERTERS: dict[str, Converter] = {
    "AveragePool": average_pooling,
    "GlobalAveragePool": global_pooling("Average"),
    "GlobalMaxPool": global_pooling("Max"),
    "MaxPool": max_pooling,
    "ReduceMax": reduction("Max", "max"),
    "ReduceMean": reduction("Average", "mean"),
    "ReduceMin": reduction("", "min"),
    "ReduceSum": reduction("", "sum"),
}
