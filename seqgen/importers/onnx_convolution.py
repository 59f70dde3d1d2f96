"""Convolutions of ONNX in Keras's words, with layers that pad and crop beside."""

from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Value
from seqgen.importers.onnx_walk import Converter, Walk
from seqgen.importers.onnx_windows import Pairs, Sliding, back, padded, sliding
from seqgen.importers.torch_windows import is_same_convolution, transposed


def _bias(walk: Walk, operator: Operator) -> list[Array]:
    bias = walk.array(operator, 2)
    return [] if bias is None else [bias]


def _kernel(walk: Walk, operator: Operator) -> tuple[Array, tuple[int, ...]]:
    """The kernel of the file, and the sizes of its window."""
    kernel = walk.weight(operator, 1)
    window = kernel.shape[2:]
    said = operator.integers("kernel_shape", None, window)
    if said != window or not window:
        operator.refuse(f"expected {window} as in its kernel, received {said}", "kernel_shape")
    return kernel, window


def convolution(walk: Walk, operator: Operator) -> Value:
    """A Conv or DepthwiseConv, behind a ZeroPadding where it pads as Keras does not."""
    kernel, window = _kernel(walk, operator)
    windows = sliding(walk, operator, walk.value(operator), window)
    padding, x = _convolved_padding(walk, operator, windows)
    bias, groups, channels = _bias(walk, operator), operator.integer("group", 1), x.dims[-1]
    kernel = kernel.reshaped((*kernel.shape[:2], *windows.window))
    if groups < 1 or kernel.shape[1] * groups != channels or kernel.shape[0] % groups:
        message = f"a kernel {kernel.shape} and {groups} groups do not fit"
        operator.refuse(f"{message} an input with {channels} channels", "group")
    # A dilation is nothing to a window of one value.
    pairs = zip(windows.window, windows.dilations, strict=True)
    dilation = tuple(step if size > 1 else 1 for size, step in pairs)
    shared = {
        "kernel_size": windows.window,
        "strides": windows.strides,
        "padding": padding,
        "dilation_rate": dilation,
        "use_bias": bool(bias),
    }
    places = tuple(range(2, windows.rank + 2))
    # TensorFlow takes one stride for all axes, and none beside a dilation.
    plain = len(set(windows.strides)) == 1 and 1 in (windows.strides[0], max(dilation))
    if windows.rank < 3 and plain and groups == channels and groups > 1 and padding != "causal":
        multiplier = kernel.shape[0] // groups
        kernel = kernel.reshaped((groups, multiplier, *windows.window))
        kernel = kernel.transposed((*places, 0, 1))
        kind, shared = f"DepthwiseConv{windows.rank}D", {"depth_multiplier": multiplier, **shared}
    else:
        kernel = kernel.transposed((*places, 1, 0))
        kind = f"Conv{windows.rank}D"
        shared |= {"filters": kernel.shape[-1], "groups": groups}
    return back(windows, walk.layer(kind, x, weights=[kernel, *bias], **shared), len(window))


def _convolved_padding(walk: Walk, operator: Operator, windows: Sliding) -> tuple[str, Value]:
    """Keras's word for the padding, and the input, padded if there is no word."""
    pads = windows.pads
    if windows.same:
        return "same", windows.x
    if pads is None:
        operator.refuse("SAME_LOWER of open sizes, which Keras does not pad so", "auto_pad")
    if all(pair == (0, 0) for pair in pads):
        return "valid", windows.x
    if is_same_convolution(windows.sizes, windows.spans, windows.strides, pads):
        return "same", windows.x
    if windows.rank == 1 and pads == [(windows.spans[0] - 1, 0)] and operator.kind == "Conv":
        return "causal", windows.x
    return "valid", padded(walk, windows, pads)


def transposed_convolution(walk: Walk, operator: Operator) -> Value:
    """A ConvTranspose, with a Cropping behind where Keras would crop something else."""
    kernel, window = _kernel(walk, operator)
    windows = sliding(walk, operator, walk.value(operator), window)
    if operator.integer("group", 1) != 1:
        message = f"{operator.integer('group')}: Keras's transposed convolutions have no groups"
        operator.refuse(message, "group")
    if kernel.shape[0] != windows.x.dims[-1]:
        message = f"a kernel {kernel.shape} does not fit {windows.x.dims[-1]} channels"
        operator.refuse(message)
    found = transposed(windows.spans, windows.strides, _cropped(operator, windows))
    if found is None:
        message = f"it adds more than Keras can with strides {windows.strides}"
        operator.refuse(message, "output_padding")
    bias, places = _bias(walk, operator), tuple(range(2, windows.rank + 2))
    kernel = kernel.reshaped((*kernel.shape[:2], *windows.window)).transposed((*places, 1, 0))
    pairs = zip(windows.window, windows.dilations, strict=True)
    y = walk.layer(
        f"Conv{windows.rank}DTranspose",
        windows.x,
        weights=[kernel, *bias],
        filters=kernel.shape[-2],
        kernel_size=windows.window,
        strides=windows.strides,
        padding=found.padding,
        output_padding=found.output_padding,
        dilation_rate=tuple(step if size > 1 else 1 for size, step in pairs),
        use_bias=bool(bias),
    )
    if found.cropping:
        y = walk.layer(f"Cropping{windows.rank}D", y, cropping=found.cropping, label="crop")
    return back(windows, y, len(window))


def _cropped(operator: Operator, windows: Sliding) -> Pairs:
    """Amounts cropped off the whole result, before and after; a negative one adds."""
    rank = len(windows.x.dims) - 2
    full = operator.integers("output_padding", None, (0,) * (max(windows.kept) + 1))
    extras = [full[at] if at < len(full) else 0 for at in windows.kept]
    if operator.integers("output_shape") is not None:
        operator.refuse("it leaves the padding open; export it with explicit pads", "output_shape")
    if windows.same or windows.pads is None or operator.text("auto_pad") == "SAME_LOWER":
        # The result has the size of the input times the stride.
        axes = zip(windows.spans, windows.strides, extras, strict=True)
        totals = [max(0, span - stride + extra) for span, stride, extra in axes]
        halves = [(total // 2, total - total // 2) for total in totals]
        pads = halves if windows.same else [pair[::-1] for pair in halves]
    else:
        pads = windows.pads
    assert len(pads) == rank
    return [(before, after - more) for (before, after), more in zip(pads, extras, strict=True)]


CONVERTERS: dict[str, Converter] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
}
