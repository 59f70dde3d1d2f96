"""The modules of `torch.nn` and the layers of Keras that compute the same, exactly."""

import math
from collections.abc import Callable
from typing import Any

from seqgen.importers import torch_convolution, torch_normalization, torch_reshaping
from seqgen.importers.torch_walk import Value, Walk, unchanged

Converter = Callable[[Walk, Any], None]


def linear(walk: Walk, module: Any) -> None:
    """A Dense over the last axis, its rows in the order in which the features come."""
    walk.to_first()
    if walk.sizes[-1:] != (module.in_features,):
        message = f"expected a last axis of size {module.in_features}, received {walk.shown}"
        walk.refuse(message, "in_features")
    weights = [walk.features(module.weight, 1, lambda weight: weight.t())]
    walk.order = None
    has_bias = module.bias is not None
    weights += [Value(module.bias, unchanged)] if has_bias else []
    walk.emit("Dense", *weights, units=module.out_features, use_bias=has_bias)


def embedding(walk: Walk, module: Any) -> None:
    """An Embedding. `padding_idx` keeps a row from being trained, and computes nothing."""
    if module.max_norm is not None:
        walk.refuse("changes rows while they are looked up; train without it", "max_norm")
    if module.scale_grad_by_freq:
        walk.refuse("Keras does not scale gradients by it", "scale_grad_by_freq")
    walk.to_first()
    rows, columns = module.num_embeddings, module.embedding_dim
    walk.emit("Embedding", Value(module.weight, unchanged), input_dim=rows, output_dim=columns)


# Activations


def function(name: str, **arguments: str) -> Converter:
    """An activation function whose arguments are attributes of the module."""

    def convert(walk: Walk, module: Any) -> None:
        given = {key: getattr(module, attribute) for key, attribute in arguments.items()}
        walk.activation(name, **given)

    return convert


def plain(kind: str, **arguments: str) -> Converter:
    """A layer whose arguments are attributes of the module."""

    def convert(walk: Walk, module: Any) -> None:
        walk.emit(kind, **{key: getattr(module, name) for key, name in arguments.items()})

    return convert


def hardtanh(walk: Walk, module: Any) -> None:
    """A ReLU with a largest value, or the plain `hard_tanh`."""
    low, high = module.min_val, module.max_val
    if (low, high) == (-1, 1):
        walk.activation("hard_tanh")
    elif low == 0:
        walk.emit("ReLU", max_value=int(high) if high == int(high) else high)
    else:
        message = f"expected bounds (-1, 1) or (0, n), received ({low}, {high})"
        walk.refuse(f"{message}; Keras has no other", "min_val")


def gelu(walk: Walk, module: Any) -> None:
    """The function with the error function, or with its approximation."""
    walk.activation("gelu", **({"approximate": True} if module.approximate == "tanh" else {}))


def celu(walk: Walk, module: Any) -> None:
    """The function with an alpha above 0."""
    if not module.alpha > 0:
        walk.refuse(f"expected more than 0, received {module.alpha}", "alpha")
    walk.activation("celu", alpha=module.alpha)


def softplus(walk: Walk, module: Any) -> None:
    """The function where PyTorch's line above the threshold is the same number in the dtype."""
    if module.beta != 1:
        walk.refuse(f"expected 1, received {module.beta}; Keras has no other", "beta")
    limit = module.threshold
    rounding = 2.0**-53 if walk.dtype == "float64" else 2.0**-24
    if limit <= 0 or math.exp(-min(limit, 700)) / limit > rounding:
        message = f"above {limit} it is x itself, which Keras's softplus is not in {walk.dtype}"
        walk.refuse(f"{message}; make it nn.Softplus(threshold=40)", "threshold")
    walk.activation("softplus")


def prelu(walk: Walk, module: Any) -> None:
    """A PReLU with one slope, or one for each channel."""
    count, sizes = module.num_parameters, [1] * (walk.rank - 1)
    own = 0
    if count > 1:
        walk.require_channels(count, "num_parameters")
        own = walk.axis(1) % walk.rank
        sizes[own - 1] = count
    shared = tuple(axis for axis in range(1, walk.rank) if axis != own)
    shape = lambda weight: weight.reshape(sizes)  # noqa: E731
    weight = walk.features(module.weight, change=shape) if own else Value(module.weight, shape)
    walk.emit("PReLU", weight, shared_axes=shared or None)


def _along(walk: Walk, dim: int | None) -> int:
    if dim is None:  # as PyTorch chooses
        dim = 0 if walk.rank in (0, 1, 3) else 1
    return walk.axis(walk.dim(dim))


def softmax(walk: Walk, module: Any) -> None:
    """A Softmax along an axis."""
    walk.emit("Softmax", axis=_along(walk, module.dim))


def softmax_2d(walk: Walk, module: Any) -> None:
    """A Softmax over the channels of an image."""
    walk.require_rank(2)
    walk.emit("Softmax", axis=walk.axis(1))


def log_softmax(walk: Walk, module: Any) -> None:
    """The function along an axis."""
    axis = _along(walk, module.dim)
    walk.activation("log_softmax", **({} if axis == -1 else {"axis": axis}))


def glu(walk: Walk, module: Any) -> None:
    """The function along an axis, with nothing behind it that hangs on the shape."""
    axis = _along(walk, module.dim)
    behind = [kind for kind in walk.following if kind not in ELEMENTWISE]
    if behind:
        message = f"Keras takes its result to be as large as its input, and {behind[0]} follows"
        walk.refuse(f"{message}; end the chain with it")
    walk.activation("glu", **({} if axis == -1 else {"axis": axis}))


def spatial_dropout(rank: int) -> Converter:
    """Dropout of whole channels."""

    def convert(walk: Walk, module: Any) -> None:
        walk.require_rank(rank)
        if walk.last:
            walk.emit(f"SpatialDropout{rank}D", rate=module.p)
        else:
            walk.emit("Dropout", rate=module.p, noise_shape=(None, None, *(1,) * rank))

    return convert


ELEMENTWISE: dict[str, Converter] = {
    "AlphaDropout": plain("AlphaDropout", rate="p"),
    "CELU": celu,
    "Dropout": plain("Dropout", rate="p"),
    "ELU": plain("ELU", alpha="alpha"),
    "GELU": gelu,
    "Hardshrink": function("hard_shrink", threshold="lambd"),
    "Hardsigmoid": function("hard_sigmoid"),
    "Hardswish": function("hard_silu"),
    "Hardtanh": hardtanh,
    "Identity": plain("Identity"),
    "LeakyReLU": plain("LeakyReLU", negative_slope="negative_slope"),
    "LogSigmoid": function("log_sigmoid"),
    "Mish": function("mish"),
    "ReLU": plain("ReLU"),
    "ReLU6": hardtanh,
    "SELU": function("selu"),
    "SiLU": function("silu"),
    "Sigmoid": function("sigmoid"),
    "Softplus": softplus,
    "Softshrink": function("soft_shrink", threshold="lambd"),
    "Softsign": function("softsign"),
    "Tanh": function("tanh"),
    "Tanhshrink": function("tanh_shrink"),
    "Threshold": function("threshold", threshold="threshold", default_value="value"),
}
ALONG_AXES: dict[str, Converter] = {
    **{f"Dropout{rank}d": spatial_dropout(rank) for rank in (1, 2, 3)},
    "GLU": glu,
    "LogSoftmax": log_softmax,
    "PReLU": prelu,
    "Softmax": softmax,
    "Softmax2d": softmax_2d,
}
CONVERTERS: dict[str, Converter] = {
    **ELEMENTWISE,
    **ALONG_AXES,
    "Embedding": embedding,
    "Linear": linear,
    **torch_convolution.CONVERTERS,
    **torch_normalization.CONVERTERS,
    **torch_reshaping.CONVERTERS,
}
# Modules that take their input however the axes lie, and beginnings of the names of those that
# have it with the channels last.
ANY_LAYOUT = (*ELEMENTWISE, *ALONG_AXES)
CHANNELS = (
    *("Adaptive", "Avg", "Batch", "Constant", "Conv", "Group", "Instance", "Max", "Upsample"),
    "Zero",
)

_TUPLE = "returns a tuple, which an nn.Sequential cannot pass on"
_ZEROS = "Keras's layers pad with zeros only"
_SEVERAL = "takes several inputs, which a chain does not have"
_RANDOM = "draws its windows anew each time; Keras has no layer for that"
_NONE = "Keras has no layer for it"
REASONS = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _TUPLE),
    **dict.fromkeys(("LSTMCell", "GRUCell", "RNNCell"), "is one step of a recurrent layer only"),
    **{
        f"{mode}Pad{rank}d": _ZEROS
        for mode in ("Circular", "Reflection", "Replication")
        for rank in (1, 2, 3)
    },
    **dict.fromkeys(("Bilinear", "CosineSimilarity", "MultiheadAttention"), _SEVERAL),
    **dict.fromkeys(("FractionalMaxPool2d", "FractionalMaxPool3d"), _RANDOM),
    **dict.fromkeys(("ChannelShuffle", "PixelShuffle", "PixelUnshuffle"), _NONE),
    **dict.fromkeys(("CrossMapLRN2d", "Fold", "LocalResponseNorm", "Softmin", "Unfold"), _NONE),
    **dict.fromkeys(("LPPool1d", "LPPool2d", "LPPool3d", "EmbeddingBag"), _NONE),
    "FeatureAlphaDropout": "drops whole channels; Keras's AlphaDropout drops single values",
    "RReLU": "draws its slopes anew in training; Keras has no layer for that",
    "SyncBatchNorm": "averages over processes in training; make it a BatchNorm",
}
