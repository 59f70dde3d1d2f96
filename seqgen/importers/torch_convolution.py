"""Convolutions and pooling of PyTorch in Keras's words, with layers that pad and crop beside."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from seqgen.importers.torch_walk import Value, Walk, unchanged
from seqgen.importers.torch_windows import Window, is_same_convolution, padding_of, transposed

Converter = Callable[[Walk, Any], None]


def _each(value: Any, rank: int) -> tuple[int, ...]:
    """One value for each spatial axis."""
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    return values * rank if len(values) == 1 else values


def _pad(walk: Walk, rank: int, margins: Sequence[tuple[int, int]], label: str = "pad") -> None:
    if any(margin != (0, 0) for margin in margins):
        walk.emit(f"ZeroPadding{rank}D", padding=tuple(margins), label=label)


def _spans(module: Any) -> list[int]:
    pairs = zip(module.kernel_size, module.dilation, strict=True)
    return [(size - 1) * dilation + 1 for size, dilation in pairs]


def _dilation(module: Any) -> tuple[int, ...]:
    """The dilation, which is nothing to a window of one value."""
    pairs = zip(module.kernel_size, module.dilation, strict=True)
    return tuple(dilation if size > 1 else 1 for size, dilation in pairs)


def _check_convolution(walk: Walk, module: Any, rank: int) -> None:
    walk.require_rank(rank)
    walk.to_last()
    walk.require_channels(module.in_channels, "in_channels")
    padded = module.padding not in ("valid", (0,) * rank)
    if module.padding_mode != "zeros" and padded:
        walk.refuse(f"'{module.padding_mode}': Keras pads with zeros only", "padding_mode")


def convolution(rank: int) -> Converter:
    """A Conv or DepthwiseConv, behind a ZeroPadding where it pads as Keras does not."""

    def convert(walk: Walk, module: Any) -> None:
        _check_convolution(walk, module, rank)
        padding = module.padding
        if not isinstance(padding, str):
            amounts = [(amount, amount) for amount in padding]
            same = is_same_convolution(walk.spatial, _spans(module), module.stride, amounts)
            if any(padding) and not same:
                _pad(walk, rank, amounts)
            padding = "same" if any(padding) and same else "valid"
        shared = {
            "kernel_size": module.kernel_size,
            "strides": module.stride,
            "padding": padding,
            "dilation_rate": _dilation(module),
            "use_bias": module.bias is not None,
        }
        bias = [] if module.bias is None else [Value(module.bias, unchanged)]
        if _is_depthwise(module, rank):
            multiplier = module.out_channels // module.in_channels
            kernel = Value(module.weight, _depthwise(module.in_channels, multiplier))
            kind = f"DepthwiseConv{rank}D"
            walk.emit(kind, kernel, *bias, depth_multiplier=multiplier, **shared)
        else:
            kernel = Value(module.weight, lambda weight: weight.movedim((1, 0), (-2, -1)))
            filters, groups = module.out_channels, module.groups
            walk.emit(f"Conv{rank}D", kernel, *bias, filters=filters, groups=groups, **shared)

    return convert


def _is_depthwise(module: Any, rank: int) -> bool:
    # TensorFlow takes one stride for all axes, and none beside a dilation.
    plain = len(set(module.stride)) == 1 and 1 in (module.stride[0], max(_dilation(module)))
    return rank < 3 and plain and module.groups == module.in_channels > 1


def _depthwise(channels: int, multiplier: int) -> Callable[[Any], Any]:
    """(channels * multiplier, 1, *window) to (*window, channels, multiplier)."""
    return (
        lambda weight: weight.squeeze(1)
        .unflatten(0, (channels, multiplier))
        .movedim((0, 1), (-2, -1))
    )


def transposed_convolution(rank: int) -> Converter:
    """A ConvTranspose, with a Cropping behind where Keras would crop something else."""

    def convert(walk: Walk, module: Any) -> None:
        _check_convolution(walk, module, rank)
        if module.groups != 1:
            message = f"{module.groups}: Keras's transposed convolutions have no groups"
            walk.refuse(message, "groups")
        amounts = zip(module.padding, module.output_padding, strict=True)
        wanted = [(pad, pad - extra) for pad, extra in amounts]
        found = transposed(_spans(module), module.stride, wanted)
        if found is None:
            message = f"{module.output_padding} adds more than Keras can with strides"
            walk.refuse(f"{message} {module.stride}", "output_padding")
        kernel = Value(module.weight, lambda weight: weight.movedim((1, 0), (-2, -1)))
        bias = [] if module.bias is None else [Value(module.bias, unchanged)]
        walk.emit(
            f"Conv{rank}DTranspose",
            kernel,
            *bias,
            filters=module.out_channels,
            kernel_size=module.kernel_size,
            strides=module.stride,
            padding=found.padding,
            output_padding=found.output_padding,
            dilation_rate=_dilation(module),
            use_bias=module.bias is not None,
        )
        if found.cropping:
            walk.emit(f"Cropping{rank}D", cropping=found.cropping, label="crop")

    return convert


# Pooling


def _windows(walk: Walk, module: Any, rank: int) -> list[Window]:
    walk.require_rank(rank)
    walk.to_last()
    values = (module.kernel_size, module.stride, module.padding)
    axes = zip(*(_each(value, rank) for value in values), strict=True)
    return [Window(*axis, bool(module.ceil_mode)) for axis in axes]


def _emit_pooling(walk: Walk, kind: str, windows: list[Window], padding: str) -> None:
    sizes = tuple(window.size for window in windows)
    strides = tuple(window.stride for window in windows)
    walk.emit(kind, pool_size=sizes, strides=strides, padding=padding)


def max_pooling(rank: int) -> Converter:
    """A MaxPooling. PyTorch pads with minus infinity: zeros will do where nothing is below 0."""

    def convert(walk: Walk, module: Any) -> None:
        windows = _windows(walk, module, rank)
        if set(_each(module.dilation, rank)) != {1}:
            walk.refuse(f"expected 1, received {module.dilation}; Keras has no other", "dilation")
        if module.return_indices:
            walk.refuse("true, so that it returns a tuple; Keras has no indices", "return_indices")
        padding = padding_of(windows, walk.spatial)
        if padding is None:
            pairs = zip(windows, walk.spatial, strict=True)
            margins = [window.margins(size) for window, size in pairs]
            _check_padded_maximum(walk, windows, margins)
            _pad(walk, rank, margins)
            padding = "valid"
        _emit_pooling(walk, f"MaxPooling{rank}D", windows, padding)

    return convert


def _check_padded_maximum(
    walk: Walk, windows: list[Window], margins: list[tuple[int, int] | None]
) -> None:
    argument = "padding" if any(window.pad for window in windows) else "ceil_mode"
    if None in margins:
        message = f"Keras cannot round up the open sizes of {walk.shown} so; fix them"
        walk.refuse(message, "ceil_mode")
    if not walk.positive:
        message = f"Keras has no such windows over {walk.spatial}, and zeros around the input"
        hint = "would change the maximum of values below 0; put the pooling behind a ReLU"
        walk.refuse(f"{message} {hint}", argument)


def average_pooling(rank: int) -> Converter:
    """An AveragePooling, behind zeros if the padding counts."""

    def convert(walk: Walk, module: Any) -> None:
        windows = _windows(walk, module, rank)
        size = math.prod(window.size for window in windows)
        divisor = getattr(module, "divisor_override", None)
        # An axis along which windows hang over counts what lies inside, and so divides by less.
        if divisor is not None and not (divisor == size and not module.ceil_mode):
            message = f"expected {size}, the size of the window, received {divisor}"
            walk.refuse(f"{message}; Keras has no other", "divisor_override")
        amounts = [window.pad for window in windows]
        counted = bool(any(amounts) and (module.count_include_pad or divisor is not None))
        padding = padding_of(windows, walk.spatial, padded=counted)
        if padding is None:
            argument = "ceil_mode" if counted or not any(amounts) else "count_include_pad"
            walk.refuse(f"Keras has no such windows over {walk.spatial}", argument)
        if counted:
            _pad(walk, rank, [(amount, amount) for amount in amounts])
        _emit_pooling(walk, f"AveragePooling{rank}D", windows, padding)

    return convert


def adaptive_pooling(reduce: str, rank: int) -> Converter:
    """A GlobalPooling that keeps the axes, or an AdaptivePooling, whose windows are the same."""

    def convert(walk: Walk, module: Any) -> None:
        walk.require_rank(rank)
        walk.to_last()
        if getattr(module, "return_indices", False):
            walk.refuse("true, so that it returns a tuple; Keras has no indices", "return_indices")
        given = _each(module.output_size, rank)
        sizes = tuple(
            own if size is None else size for size, own in zip(given, walk.spatial, strict=True)
        )
        if None in sizes:
            message = f"null keeps an open size of {walk.shown}, which Keras cannot; fix it"
            walk.refuse(message, "output_size")
        if set(sizes) == {1}:
            walk.emit(f"Global{reduce}Pooling{rank}D", keepdims=True)
        else:
            walk.emit(f"Adaptive{reduce}Pooling{rank}D", output_size=sizes)

    return convert


CONVERTERS: dict[str, Converter] = {
    name: make
    for rank in (1, 2, 3)
    for name, make in (
        (f"Conv{rank}d", convolution(rank)),
        (f"ConvTranspose{rank}d", transposed_convolution(rank)),
        (f"MaxPool{rank}d", max_pooling(rank)),
        (f"AvgPool{rank}d", average_pooling(rank)),
        (f"AdaptiveAvgPool{rank}d", adaptive_pooling("Average", rank)),
        (f"AdaptiveMaxPool{rank}d", adaptive_pooling("Max", rank)),
    )
}
