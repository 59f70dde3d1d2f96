"""Normalization as targets have it: the axes, and parameters in a shape that broadcasts."""

from seqgen.ir.graph import Model, Node
from seqgen.ir.sequences import Steps
from seqgen.layers.arguments import DTYPES
from seqgen.layers.axes import positions
from seqgen.targets.base import Row


def normalized_axes(node: Node) -> tuple[int, ...]:
    """The axes that a layer normalizes over, counted from the batch, in order."""
    return tuple(sorted(positions(node.layer, node.type, node.layer.axis)))


def parameter_shape(node: Node) -> tuple[int, ...]:
    """The shape in which parameters of the normalized axes broadcast against the input."""
    axes, rank = normalized_axes(node), node.type.rank
    return tuple(node.type.shape[i] if i in axes else 1 for i in range(axes[0], rank))


def over_last_axes(node: Node) -> bool:
    """Whether the layer normalizes over the last axes, which operators of their own do."""
    axes, rank = normalized_axes(node), node.type.rank
    return axes == tuple(range(rank - len(axes), rank))


def channel_shape(node: Node) -> tuple[int, ...]:
    """The shape in which a parameter of each channel broadcasts, the channels behind the batch."""
    return (node.weights[0].shape[0], *(1,) * (node.type.rank - 2))


def masked_norms(model: Model) -> bool:
    """Whether a BatchNormalization of the model takes a mask."""
    norms = (node for node in model.nodes if node.kind == "BatchNormalization")
    return any(len(node.inputs) > 1 + takes_steps(model, node) for node in norms)


def takes_steps(model: Model, node: Node) -> bool:
    """Whether a node takes the numbers of samples and steps, behind its input."""
    return len(node.inputs) > 1 and isinstance(model.by_name[node.inputs[1]].layer, Steps)


def stepped_norms(model: Model) -> bool:
    """Whether a BatchNormalization of the model normalizes steps one after the other."""
    norms = (node for node in model.nodes if node.kind == "BatchNormalization")
    return any(takes_steps(model, node) for node in norms)


def single_norms(model: Model) -> bool:
    """Whether a BatchNormalization of the model has one number of each channel in a sample."""
    norms = (node for node in model.nodes if node.kind == "BatchNormalization")
    # The channels are the one axis that may be longer.
    return any(sum(size != 1 for size in node.type.shape[1:]) <= 1 for node in norms)


def changed_by_steps(node: Node) -> str | None:
    """Why a target that trains cannot say a layer within TimeDistributed."""
    if node.kind == "SpectralNormalization" and len(node.inputs) > 1:
        return "cannot say it within TimeDistributed: each step changes vector_u; leave it out"
    if node.kind == "BatchNormalization" and len(node.inputs) > 2:
        return "cannot say it within two TimeDistributed; put a Reshape in place of the inner one"
    return None


def masked_axis(node: Node) -> str | None:
    """Why a target that trains cannot say a BatchNormalization of masked steps."""
    last = node.type.rank - 1
    if (
        node.kind != "BatchNormalization"
        or node.mask is None
        or node.layer.axis % (last + 1) == last
    ):
        return None
    return f"cannot say axis={node.layer.axis} of masked steps; normalize the last axis"


def spectral_kernel(node: Node) -> tuple[str, int]:
    """PyTorch's name of the kernel that is normalized, and the axis that is Keras's last."""
    own = {"Embedding": ("weight", 1), "EinsumDense": ("kernel", len(node.weights[0].shape) - 1)}
    return own.get(node.kind, ("weight", 0))


def cast_by_spectral(node: Node) -> str | None:
    """Why a target cannot say a wrapped Embedding."""
    if node.kind != "SpectralNormalization" or node.type.dtype in DTYPES:
        return None
    return (
        f"cannot say a wrapped {type(node.layer.layer).__name__} of {node.type.dtype} input, whose "
        "result Keras turns into integers; use the layer without SpectralNormalization"
    )


def rows(gamma: str, beta: str) -> dict[str, dict[str, Row]]:
    """Where the parameters over axes go, by the target's names of scale and offset."""
    return {
        "LayerNormalization": {
            "gamma": Row(gamma, shape=parameter_shape, axes=("in",)),
            "beta": Row(beta, shape=parameter_shape, axes=("in",)),
        },
        "RMSNormalization": {"scale": Row(gamma, axes=("in",))},
        "SpectralNormalization": {"vector_u": Row("vector_u", axes=("", "out"))},
    }


TORCH_ROWS = {
    "BatchNormalization": {
        "gamma": Row("weight", axes=("in",)),
        "beta": Row("bias", axes=("in",)),
        "moving_mean": Row("running_mean", axes=("in",)),
        "moving_variance": Row("running_var", axes=("in",)),
    },
    "GroupNormalization": {"gamma": Row("weight"), "beta": Row("bias")},
    **rows("weight", "bias"),
}
ONNX_ROWS = {
    "BatchNormalization": {
        name: Row(name, axes=("in",))
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    },
    "GroupNormalization": {name: Row(name, shape=channel_shape) for name in ("gamma", "beta")},
    **rows("gamma", "beta"),
}
FUNCTIONS = {
    "masked_norms": masked_norms,
    "single_norms": single_norms,
    "stepped_norms": stepped_norms,
    "takes_steps": takes_steps,
    "normalized_axes": normalized_axes,
    "parameter_shape": parameter_shape,
    "over_last_axes": over_last_axes,
    "channel_shape": channel_shape,
    "spectral_kernel": spectral_kernel,
}
