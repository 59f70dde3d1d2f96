"""The operators of ONNX that layers say, and what is said of the others."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from seqgen.importers import (
    onnx_activations,
    onnx_arithmetic,
    onnx_convolution,
    onnx_dense,
    onnx_normalization,
    onnx_pooling,
    onnx_recurrent,
    onnx_reshaping,
    onnx_resizing,
)
from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Network, Operator, Port
from seqgen.importers.onnx_folding import Known, folded, sizes_of
from seqgen.importers.onnx_values import Sizes, Stack, Value, Zeros
from seqgen.importers.onnx_walk import Converter, Result, Unknown, Walk
from seqgen.layers.arguments import near_miss

CONVERTERS: dict[str, Converter] = {
    **onnx_activations.CONVERTERS,
    **onnx_arithmetic.CONVERTERS,
    **onnx_convolution.CONVERTERS,
    **onnx_dense.CONVERTERS,
    **onnx_normalization.CONVERTERS,
    **onnx_pooling.CONVERTERS,
    **onnx_recurrent.CONVERTERS,
    **onnx_reshaping.CONVERTERS,
    **onnx_resizing.CONVERTERS,
}
# Operators that work on the channels behind the batch, and those that pass on how axes lie.
CHANNELS = (
    *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool"),
    *("GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "MaxPool", "Resize"),
    "Upsample",
)
ANY_LAYOUT = (
    *onnx_activations.CONVERTERS,
    *onnx_arithmetic.CONVERTERS,
    *("Cast", "Concat", "Pad", "Slice", "Split"),
)

# Operators that treat each vector alike, and so each step.
OF_STEPS = (*onnx_activations.CONVERTERS, *onnx_arithmetic.CONVERTERS)
OF_STEPS += ("Cast", "Gather", "LayerNormalization", "MatMul")

_SUBGRAPH = "it holds graphs of its own; layers run one after the other"
_DATA = "its result hangs on the values of the data in ways that no layer says"
REASONS = {
    **dict.fromkeys(("If", "Loop", "Scan"), _SUBGRAPH),
    **dict.fromkeys(("NonMaxSuppression", "NonZero", "TopK", "Unique", "Where"), _DATA),
    **dict.fromkeys(
        ("DequantizeLinear", "QuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"),
        "quantized numbers; import the file from before it was quantized",
    ),
    **dict.fromkeys(
        ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Xor"),
        "layers compare nothing, and compute with numbers only",
    ),
    **dict.fromkeys(
        ("Erf", "Erfc"),
        "it is read as part of a GELU only, x * 0.5 * (1 + erf(x / sqrt 2)); export that with "
        "opset 20 or later, in which Gelu is an operator of its own",
    ),
}


def convert(walk: Walk, operator: Operator) -> Result:
    """What an operator makes: a tensor, or a constant where it hangs on none.

    Raises:
        UnsupportedError: No layer says it.
    """
    if operator.kind == "Constant":
        return _constant(operator)
    read = [walk.values[name] if name else None for name in operator.inputs]
    if any(x is None and name for x, name in zip(read, operator.inputs, strict=True)):
        raise Unknown
    shaped = read[0] if operator.kind == "Shape" and read else None
    if isinstance(shaped, Value | Array | Sizes | Stack):
        return sizes_of(shaped, operator)
    known_kinds = Array | Sizes | Zeros
    constants: list[Known | None] = [x for x in read if x is None or isinstance(x, known_kinds)]
    if len(constants) == len(read):
        known = folded(operator, constants)
        if known is None:
            operator.refuse("it computes with constants only, in a way that is not known here")
        return known
    if operator.kind not in CONVERTERS:
        operator.refuse(_reason(operator.kind))
    return CONVERTERS[operator.kind](walk, operator)


def _constant(operator: Operator) -> Array:
    for value in operator.attributes.values():
        if isinstance(value, Array):
            return value
        if isinstance(value, (int, float)) or (isinstance(value, tuple) and value):
            kind = "int64" if _is_whole(value) else "float32"
            return Array.of(np.array(value, kind))
    return operator.refuse("expected numbers as its value")


def _is_whole(value: int | float | tuple[int | float, ...]) -> bool:
    return all(isinstance(n, int) for n in (value if isinstance(value, tuple) else (value,)))


def _reason(kind: str) -> str:
    if "." in kind:
        return "an operator of another domain than ONNX's own, which nobody can read"
    return REASONS.get(kind, f"no layer says this operator{near_miss(kind, CONVERTERS)}")


def is_channels_first(network: Network, port: Port) -> bool:
    """Whether the first operator that tells the axes of an input apart has the channels first."""
    first = next(_telling(network, port, ANY_LAYOUT), None)
    return first is not None and (first.kind in CHANNELS or _is_spatial(first))


def is_time_first(network: Network, port: Port) -> bool:
    """Whether the first operator that tells the axes of an input apart has the steps first, which
    recurrent operators have, and the batch second."""
    if len(port.sizes) < 2:
        return False
    telling = _telling(network, port, OF_STEPS)
    first = next((operator for operator in telling if operator.kind != "Shape"), None)
    return first is not None and first.kind in onnx_recurrent.CONVERTERS


def _telling(network: Network, port: Port, passing: tuple[str, ...]) -> Iterator[Operator]:
    """The operators that an input leads to, behind those only that pass on how its axes lie."""
    reached, seen = deque([port.name]), {port.name}
    while reached:
        for operator in network.readers[reached.popleft()]:
            if operator is None:
                continue
            if operator.kind not in passing or _is_spatial(operator):
                yield operator
                continue
            more = [made for made in operator.outputs if made not in seen]
            seen.update(more)
            reached.extend(more)


def _is_spatial(operator: Operator) -> bool:
    """Whether an operator reduces the axes behind the channels, as far as its attributes say."""
    axes = operator.attributes.get("axes")
    reduces = operator.kind.startswith("Reduce") and isinstance(axes, tuple)
    return reduces and 1 not in axes and len(axes) > 1
