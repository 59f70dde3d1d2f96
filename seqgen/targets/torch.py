"""PyTorch: channels first, one amount of padding per axis, its own order of kernel axes."""

from functools import partial
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node, Order
from seqgen.ir.scopes import branch_by_branch, scope_tree
from seqgen.passes.activations import split_activations
from seqgen.passes.attention import lower_attention
from seqgen.passes.casts import explicit_casts
from seqgen.passes.ceil_mode import cover_open_pooling
from seqgen.passes.cropping import explicit_cropping
from seqgen.passes.layout import native_layout, spec_layout
from seqgen.passes.masks import masks_of_training
from seqgen.passes.merging import explicit_axes, explicit_dots
from seqgen.passes.names import check_names, name_inputs
from seqgen.passes.noise import place_noise
from seqgen.passes.operations import operations_as_layers
from seqgen.passes.padding import explicit_padding, pad_outside
from seqgen.passes.permute import plain_flatten, transpose_permutes
from seqgen.passes.pooled_axes import keep_pooled_axes
from seqgen.passes.recurrent import Style, lower_recurrent
from seqgen.passes.separable import split_separable
from seqgen.passes.spectral import unwrap_spectral
from seqgen.passes.transposes import remove_transposes
from seqgen.passes.unchanged import say_unchanged
from seqgen.passes.wrappers import time_of_training
from seqgen.render import Macros, Source, templates_folder
from seqgen.targets import (
    attention,
    merging,
    noise,
    normalization,
    operations,
    recurrent,
    recurrent_rows,
    reshaping,
    torch_training,
)
from seqgen.targets.activations import torch_activation
from seqgen.targets.base import Move, Row, Target
from seqgen.targets.classes import Classes
from seqgen.targets.constants import (
    CONSTANTS,
    STATISTICS,
    channel_slopes,
)
from seqgen.targets.loading import Loading
from seqgen.targets.modules import Class, Step
from seqgen.targets.rewritten import REWRITTEN
from seqgen.targets.training import head_of
from seqgen.targets.windows import (
    depthwise_shape,
    index,
    pool_index,
    pool_padding,
    transposed_index,
    transposed_padding,
)

# Layers that a model in training mode runs in inference mode while they are frozen.
STILL_WHEN_FROZEN = ("BatchNormalization",)

BIAS = Row("bias", axes=("out",))
CONV = {
    f"Conv{rank}D{kind}": {
        "kernel": Row("weight", (rank + 1, rank, *range(rank))),
        "bias": Row("bias"),
    }
    for rank in (1, 2, 3)
    for kind in ("", "Transpose")
}
DEPTHWISE = {
    f"DepthwiseConv{rank}D": {
        "kernel": Row("weight", (rank, rank + 1, *range(rank)), depthwise_shape),
        "bias": Row("bias"),
    }
    for rank in (1, 2)
}


def prelu_shape(node: Node) -> tuple[int, ...]:
    """Shape of the slopes of a PReLU, one axis where they belong to channels."""
    slopes = channel_slopes(node)
    return (slopes,) if isinstance(slopes, int) else slopes


class Values(Source):
    """What a call takes, as the text of its arguments, and each on its own."""

    each: tuple[str, ...]

    def __new__(cls, each: tuple[str, ...]) -> "Values":  # noqa: D102
        made = super().__new__(cls, ", ".join(each))
        made.each = tuple(map(Source, each))
        return made


def features(size: int, order: Order | None) -> int | str:
    """A number of features; where they are a flattened tensor, as the product of its sizes."""
    if order is None:
        return size
    return Source(" * ".join(str(order.sizes[axis]) for axis in order.perm))


def as_function(expression: str) -> str:
    """A function of `x` as an expression: `torch.tanh` for `torch.tanh(x)`, a lambda for others."""
    name, _, rest = expression.partition("(")
    plain = rest == "x)" and all(part.isidentifier() for part in name.split("."))
    return Source(name if plain else f"lambda x: {expression}")


def weight_names(placed: list[tuple[str, Move]]) -> dict[str, str | list[str]]:
    """The names of each variable by its key: one, or several where it is in parts."""
    names: dict[str, list[str]] = {}
    for name, move in placed:
        names.setdefault(move.weight.key, []).append(name)
    return {key: found if len(found) > 1 else found[0] for key, found in names.items()}


def helper_names() -> set[str]:
    """Names of the functions and classes that programs may define beside the model."""
    return {path.stem for path in (templates_folder() / "torch" / "helpers").glob("*.j2")}


def page(target: Target, model: Model, macros: Macros) -> dict[str, Any]:
    """What the page of the program is given."""

    def is_module(node: Node) -> bool:
        # A macro may tell by its arguments that a layer needs no module, and give nothing.
        return macros.has(node, "_init") and macros.spell(node, suffix="_init") != ""

    classes = Classes(model, is_module, STILL_WHEN_FROZEN, helper_names())
    main = classes.make(branch_by_branch(scope_tree(model), model))

    def constructor(node: Node) -> str:
        text = macros.spell(node, suffix="_init")
        if node.wrapper is None:
            return text
        wrap = macros.find(node.wrapper.family, f"{type(node.wrapper).__name__}_wrap")
        assert wrap is not None
        return Source(wrap(node, text).strip())

    head = head_of(model) if model.training is not None else None

    def expression(cls: Class, step: Step) -> str:
        values = Values(step.reads)
        if step.calls:
            return macros.any_layer(step.last, values, step.attribute)
        for node in (node for node in step.nodes if node is not head):
            attribute = cls.names.get(node.name)
            text = macros.spell(node, values, *([attribute] if attribute else []))
            values = Values((text,))
        return values

    loading = Loading(target, model, main)
    last = main.steps[-1]
    if head is not None and (last.calls or head is not last.nodes[-1]):
        message = "target 'torch' needs its last activation as the last step to train on logits"
        raise UnsupportedError(f"{head.layer.label}: {message}")
    return {
        "head": head and macros.spell(head, Values(("self.logits(x)",))),
        "head_alone": head is not None and len(last.nodes) == 1,
        "classes": list(main.classes),
        "constructor": constructor,
        "expression": expression,
        "loading": loading,
        "moves": loading.placed,
        "spell": lambda node, value: macros.spell(node, Values((value,))),
        "weight_names": weight_names(loading.placed),
    }


# torch.export takes no packed sequences, so that modules run over the kept steps by themselves.
STYLE = Style(recurrent.torch_fuses, layout="spec", takes_masks=True, trains=True)

TORCH = Target(
    name="torch",
    files={"model.py.j2": "torch_model.py"},
    passes={
        name: (
            explicit_axes,
            masks_of_training,
            lower_attention,
            partial(lower_recurrent, style=STYLE),
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
            explicit_cropping,
            cover_open_pooling,
            pad_outside,
            layout,
            transpose_permutes,
            remove_transposes,
            name_inputs,
        )
        for name, layout in (("native", native_layout), ("spec", spec_layout))
    },
    weights={
        "Dense": {"kernel": Row("weight", (1, 0), axes=("in", "out")), "bias": BIAS},
        "EinsumDense": {"kernel": Row("kernel"), "bias": Row("bias")},
        "Embedding": {"embeddings": Row("weight")},
        "LayerScale": {"gamma": Row("gamma", None, operations.scale_shape, ("in",))},
        "PReLU": {"alpha": Row("weight", None, prelu_shape, ("in",), follows_layout=True)},
        "Normalization": STATISTICS,
        **CONV,
        **DEPTHWISE,
        **normalization.TORCH_ROWS,
        **recurrent_rows.TORCH_ROWS,
        **attention.TORCH_ROWS,
    },
    limits=(
        torch_activation,
        normalization.cast_by_spectral,
        recurrent.unequal_in_half,
        normalization.masked_axis,
        normalization.changed_by_steps,
        noise.endless_noise,
        noise.whole_drop,
        reshaping.rounded_bicubic,
    ),
    functions={
        "features": features,
        "drops_channels": noise.drops_channels,
        **merging.FUNCTIONS,
        **normalization.FUNCTIONS,
        **recurrent.FUNCTIONS,
        **attention.FUNCTIONS,
        "as_function": as_function,
        **operations.FUNCTIONS,
        **reshaping.FUNCTIONS,
        **CONSTANTS,
        "index": index,
        "pool_index": pool_index,
        "pool_padding": pool_padding,
        "transposed_index": transposed_index,
        "transposed_padding": transposed_padding,
    },
    rewrites=REWRITTEN,
    page=page,
    prepare=(check_names, time_of_training),
    training=("train.py.j2", "torch_train.py"),
    training_page=torch_training.page,
    remarks=recurrent.one_bias,
)
