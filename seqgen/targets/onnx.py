"""ONNX: channels first, padding before and after, kernels with the output channels first."""

from functools import partial
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.initializers import array_dtype
from seqgen.ir.graph import Input, Model, Node, Pads
from seqgen.naming import class_name
from seqgen.passes.activations import split_activations
from seqgen.passes.adaptive import place_windows
from seqgen.passes.attention import lower_attention
from seqgen.passes.casts import explicit_casts
from seqgen.passes.cropping import explicit_cropping
from seqgen.passes.layout import native_layout, spec_layout
from seqgen.passes.masks import masks_of_inference
from seqgen.passes.merging import explicit_axes, explicit_dots
from seqgen.passes.names import check_names
from seqgen.passes.noise import place_noise
from seqgen.passes.operations import operations_as_layers
from seqgen.passes.packed import keep_packed
from seqgen.passes.padding import explicit_padding, pad_dilated
from seqgen.passes.permute import plain_flatten, transpose_permutes
from seqgen.passes.pooled_axes import keep_pooled_axes
from seqgen.passes.recurrent import Style, lower_recurrent
from seqgen.passes.separable import split_separable
from seqgen.passes.spectral import unwrap_spectral
from seqgen.passes.transposes import remove_transposes
from seqgen.passes.unchanged import say_unchanged
from seqgen.passes.wrappers import time_of_inference
from seqgen.render import Macros
from seqgen.targets import (
    attention,
    merging,
    normalization,
    onnx_training,
    operations,
    recurrent,
    recurrent_rows,
    reshaping,
)
from seqgen.targets.activations import onnx_activation
from seqgen.targets.base import Row, Target
from seqgen.targets.constants import CONSTANTS, STATISTICS, slopes_shape
from seqgen.targets.onnx_long import CONVOLUTIONS, PADDINGS, POOLINGS, long_program
from seqgen.targets.onnx_pieces import Helper, Short
from seqgen.targets.rewritten import REWRITTEN
from seqgen.targets.windows import depthwise_shape

DEFAULT_OPSET = 21
# The IR version that came with each opset, so that no runtime of its time refuses the file.
IR_VERSIONS = dict(zip(range(17, 29), (8, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13, 14), strict=True))


def ir_version(opset: int) -> int:
    """The IR version to stamp on a file of an opset.

    Raises:
        UnsupportedError: The templates do not know the opset.
    """
    if opset not in IR_VERSIONS:
        known = f"{min(IR_VERSIONS)} to {max(IR_VERSIONS)}"
        raise UnsupportedError(f"target 'onnx' writes opsets {known}, not {opset}")
    return IR_VERSIONS[opset]


# The most bytes of weights within the file: above, they go to a file of their own beside it, since
# a protobuf message ends at 2 GiB.
EMBEDDED_LIMIT = 1_500_000_000


def weights_size(model: Model) -> int:
    """Bytes of all weights of a model."""
    return sum(
        weight.size * array_dtype(weight.dtype or model.dtype).itemsize for weight in model.weights
    )


ELEM_TYPES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "float16": "FLOAT16",
    "bfloat16": "BFLOAT16",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
}

CONV = {
    f"Conv{rank}D{kind}": {
        "kernel": Row("kernel", (rank + 1, rank, *range(rank))),
        "bias": Row("bias"),
    }
    for rank in (1, 2, 3)
    for kind in ("", "Transpose")
}
DEPTHWISE = {
    f"DepthwiseConv{rank}D": {
        "kernel": Row("kernel", (rank, rank + 1, *range(rank)), depthwise_shape),
        "bias": Row("bias"),
    }
    for rank in (1, 2)
}

# ONNX has no adaptive pooling; its windows are placed by a pass.
ADAPTIVE = frozenset(
    f"Adaptive{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3)
)

Attributes = dict[str, tuple[Any, Any]]


def keywords(more: Attributes | None = None, **given: tuple[Any, Any]) -> dict[str, Any]:
    """The attributes that differ from ONNX's defaults; each is given as (value, default)."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, (value, default) in {**given, **(more or {})}.items()
        if value != default
    }


def padding(node: Node) -> Attributes:
    """The attribute that says a node's padding: amounts (all before, then all after), or `same`."""
    if node.pads == "dynamic":
        # The odd one goes after, as in Keras.
        return {"auto_pad": ("SAME_UPPER", "NOTSET")}
    return explicit(node.pads)


def explicit(pads: Pads) -> Attributes:
    """The attribute that says amounts of padding (before, after) of each axis."""
    before, after = zip(*pads, strict=True)
    return {"pads": (before + after, (0,) * len(before + after))}


def varied(node: Node) -> dict[str, Any]:
    """The numbers of a convolution, a pooling or a padding; none of other nodes."""
    layer = node.layer
    if node.kind in PADDINGS:
        return {"pads": reshaping.padded(node)}
    if node.kind in POOLINGS:
        return keywords(
            padding(node),
            kernel_shape=(layer.pool_size, None),
            strides=(layer.strides, (1,) * layer.rank),
        )
    if node.kind not in CONVOLUTIONS:
        return {}
    depthwise = node.kind.startswith("Depthwise")
    return keywords(
        padding(node),
        kernel_shape=(layer.kernel_size, None),
        strides=(layer.strides, (1,) * layer.rank),
        dilations=(layer.dilation_rate, (1,) * layer.rank),
        group=(node.weights[0].shape[-2] if depthwise else layer.groups, 1),
    )


def attributes(node: Node) -> dict[str, Any]:
    """The numbers of a convolution, a pooling or a padding as they are written."""
    given = node.given if isinstance(node, Short) else None
    return dict(given or varied(node))


def helper(node: Node) -> Helper | None:
    """The function of the program that makes a node; None if it is written with all names."""
    return node.helper if isinstance(node, Short) else None


def cropping(node: Node) -> Attributes:
    """The attributes that say what a transposed convolution crops off, and adds after."""
    before, after = zip(*node.pads, strict=True)
    crops = before + tuple(max(0, amount) for amount in after)
    added = tuple(max(0, -amount) for amount in after)
    none = (0,) * len(before)
    return {"pads": (crops, none + none), "output_padding": (added, none)}


def page(target: Target, model: Model, macros: Macros) -> dict[str, Any]:
    """What the page of the program is given."""
    moves = target.all_moves(model)
    steps = [node for node in model.nodes if not isinstance(node.layer, Input)]
    return {
        "class_name": class_name(model.name),
        "steps": [(node, macros.spell(node)) for node in steps],
        "moves": moves,
        "states": list(target.states(model)),
        "long": long_program(model, macros, moves, varied),
        "external": weights_size(model) > EMBEDDED_LIMIT,
        "weight_names": {move.weight.key: move.weight.key for move in moves},
    }


STYLE = Style(recurrent.onnx_fuses, layout="time_first", takes_masks=False, trains=False)

ONNX = Target(
    name="onnx",
    files={"model.py.j2": "onnx_model.py"},
    passes={
        name: (
            explicit_axes,
            masks_of_inference,
            lower_attention,
            partial(lower_recurrent, style=STYLE),
            keep_packed,
            unwrap_spectral,
            split_separable,
            operations_as_layers,
            split_activations,
            place_noise,
            say_unchanged,
            keep_pooled_axes,
            plain_flatten,
            explicit_casts,
            explicit_dots,
            explicit_padding,
            pad_dilated,
            explicit_cropping,
            layout,
            transpose_permutes,
            place_windows,
            remove_transposes,
        )
        for name, layout in (("native", native_layout), ("spec", spec_layout))
    },
    weights={
        "Dense": {"kernel": Row("kernel", axes=("in", "out")), "bias": Row("bias", axes=("out",))},
        "EinsumDense": {"kernel": Row("kernel"), "bias": Row("bias")},
        "Embedding": {"embeddings": Row("embeddings")},
        "LayerScale": {"gamma": Row("gamma", None, operations.scale_shape, ("in",))},
        "PReLU": {"alpha": Row("alpha", None, slopes_shape, ("in",), follows_layout=True)},
        "Normalization": STATISTICS,
        **CONV,
        **DEPTHWISE,
        **normalization.ONNX_ROWS,
        **recurrent_rows.ONNX_ROWS,
        **attention.ONNX_ROWS,
    },
    limits=(
        attention.einsum_in_bfloat16,
        onnx_activation,
        normalization.cast_by_spectral,
        recurrent.unequal_in_half,
        reshaping.open_lanczos,
        reshaping.rounded_bicubic,
    ),
    functions={
        **CONSTANTS,
        **merging.FUNCTIONS,
        **normalization.FUNCTIONS,
        **recurrent.FUNCTIONS,
        **attention.FUNCTIONS,
        **operations.FUNCTIONS,
        **reshaping.FUNCTIONS,
        "ir_version": ir_version,
        "keywords": keywords,
        "padding": padding,
        "explicit": explicit,
        "cropping": cropping,
        "attributes": attributes,
        "helper": helper,
        "elem_type": ELEM_TYPES.__getitem__,
    },
    rewrites=REWRITTEN | ADAPTIVE,
    page=page,
    training=("train.py.j2", "onnx_train.py"),
    training_page=onnx_training.page,
    trains_some=True,
    prepare=(check_names, time_of_inference),
    states=recurrent.kept_states,
)
