"""Recurrent cells as targets have them: which they have operators for, and where weights go."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from seqgen.initializers import array_dtype
from seqgen.ir.graph import Model, Node, Pads
from seqgen.ir.sequences import BothWays, Fused, Loop
from seqgen.layers.base import Layer
from seqgen.layers.objects import Named
from seqgen.passes.padding import same_pads
from seqgen.targets.base import Row

TANH, SIGMOID = Named("tanh"), Named("sigmoid")
LINEAR = Named("linear")
# Keras's gates are i, f, c, o and z, r, h. PyTorch has i, f, g, o and r, z, n; ONNX has i, o, f, c
# and z, r, h.
TORCH_GRU = (1, 0, 2)
ONNX_LSTM = (0, 3, 1, 2)

# Activations that ONNX's recurrent operators know, with their arguments alpha and beta where they
# have some, each with the default of Keras.
ONNX_ACTIVATIONS: dict[str, tuple[str, str | float | None, float | None]] = {
    "elu": ("Elu", "alpha", None),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "leaky_relu": ("LeakyRelu", "negative_slope", None),
    "linear": ("Affine", 1.0, 0.0),
    "relu": ("Relu", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "softsign": ("Softsign", None, None),
    "tanh": ("Tanh", None, None),
}
ACTIVATION_DEFAULTS = {"alpha": 1.0, "negative_slope": 0.2}


def unequal_in_half(node: Node) -> str | None:
    """Why a target cannot say a Masking in half precision."""
    if node.kind != "Masking" or node.type.dtype not in ("float16", "bfloat16"):
        return None
    half = array_dtype(node.type.dtype)
    value = np.array(node.layer.mask_value, np.float32)
    if np.array_equal(value.astype(half).astype(np.float32), value):
        return None
    return (
        f"cannot say mask_value={node.layer.mask_value} in {node.type.dtype}: Keras compares with "
        "it in float32, where no value is equal; take one that the dtype has, such as 0"
    )


def activations_of(cell: Layer) -> list[Named]:
    """The activations of a cell, that of the gates first if it has gates."""
    names = ("recurrent_activation", "activation")
    return [getattr(cell, name) or LINEAR for name in names if hasattr(cell, name)]


def torch_fuses(cell: Layer) -> bool:
    """Whether PyTorch has a module that runs a cell."""
    if cell.recurrent_dropout:
        return False
    kind = type(cell).__name__
    if kind == "SimpleRNNCell":
        return activations_of(cell) in ([TANH], [Named("relu")])
    gated = kind in ("LSTMCell", "GRUCell") and activations_of(cell) == [SIGMOID, TANH]
    return gated and getattr(cell, "reset_after", True)


def onnx_fuses(cell: Layer) -> bool:
    """Whether ONNX has an operator that runs a cell."""
    known = all(
        named.name in ONNX_ACTIVATIONS and (named.name != "relu" or not named.arguments)
        for named in activations_of(cell)
    )
    return known and type(cell).__name__ in ("SimpleRNNCell", "LSTMCell", "GRUCell")


def onnx_activations(node: Node) -> dict[str, tuple[Any, Any]]:
    """The attributes that name a cell's activations, for one direction after the other."""
    cell = node.layer.cell
    used = activations_of(cell)
    if used == [SIGMOID, TANH][-len(used) :]:
        return {}
    if cell.state_count == 2:
        used.append(used[-1])  # of what is added to the state, and of what is shown of it
    known = [(*ONNX_ACTIVATIONS[named.name], named) for named in used]
    known *= 1 + node.layer.bidirectional

    def number(value: str | float, named: Named) -> float:
        if isinstance(value, str):
            return float(named.kwargs.get(value, ACTIVATION_DEFAULTS[value]))
        return value

    return {
        "activations": ([name for name, *_ in known], []),
        "activation_alpha": ([number(a, named) for _, a, _, named in known if a is not None], []),
        "activation_beta": ([beta for *_, beta, _ in known if beta is not None], []),
    }


def state_names(node: Node) -> list[str]:
    """Names of the states of a cell."""
    return ["h", "c"][: node.layer.cell.state_count]


def state_shape(node: Node) -> tuple[int, ...]:
    """Shape of a state of a cell, without the batch."""
    return getattr(node.layer, "state_shape", ()) or (node.layer.cell.units,)


def recurrent_pads(cell: Layer) -> Pads:
    """By how much a cell of images pads its output before, which it convolves to the same size."""
    return tuple((same_pads(None, window, 1) or (0, 0)) for window in cell.kernel_size)


def gate_rates(cell: Layer) -> tuple[float, float]:
    """The rates at which each gate of a cell drops inputs of its own, and outputs before."""
    if hasattr(cell, "state_type"):
        # Of images, Keras drops nothing at a rate of 1.
        return cell.dropout % 1, cell.recurrent_dropout % 1
    # Gates drop the same inputs unless they drop outputs, and those are dropped before the cell.
    return (cell.dropout if cell.recurrent_dropout else 0.0), cell.recurrent_dropout


def last_axis(node: Node) -> int:
    """Where the last axis of the spec lies in memory, from the end: channels may stand first."""
    rank = node.type.rank
    return (node.perm.index(rank - 1) if node.perm else rank - 1) - rank


def joins_images(model: Model) -> bool:
    """Whether a module that runs both ways has the channels it joins at another place than last."""
    return any(isinstance(node.layer, BothWays) and last_axis(node) != -1 for node in model.nodes)


def time_axis(node: Node) -> int:
    """Where the steps of a sequence lie in memory."""
    return node.perm.index(1) if node.perm else 1


def kept_states(model: Model) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """What a graph keeps from batch to batch: where it comes in, where it goes out, its shape."""
    for node in model.nodes:
        if isinstance(node.layer, Fused | Loop) and node.layer.batch is not None:
            for name in state_names(node):
                shape = (node.layer.batch, *state_shape(node))
                yield f"{node.name}.{name}", f"{node.name}.next_{name}", shape


def prefixed(prefix: str, names: list[str]) -> list[str]:
    """Names with something in front."""
    return [prefix + name for name in names]


def without_trailing(names: list[str]) -> list[str]:
    """Names of inputs without the empty ones at the end, which are left out."""
    while names and not names[-1]:
        names = names[:-1]
    return names


@dataclass(frozen=True)
class Used:
    """What runs cells in a model, for the classes of the program to have that and no more.

    Attributes:
        ops: What runs cells of a kind.
        masked: Whether any of them takes a mask.
    """

    ops: tuple[Fused | Loop, ...]
    masked: bool

    @classmethod
    def of(cls, model: Model, kind: str, cell: str = "") -> "Used":
        """What runs, as `Fused` or as `Loop`, all cells or those of a kind."""
        found, masked = [], False
        for node in model.nodes:
            both = isinstance(node.layer, BothWays)
            for op in (node.layer.forward, node.layer.backward) if both else (node.layer,):
                if type(op).__name__ == kind and (not cell or type(op.cell).__name__ == cell):
                    found.append(op)
                    masked = masked or len(node.inputs) > 1
        return cls(tuple(found), masked)

    @property
    def noisy(self) -> bool:
        """Whether any cell drops values gate by gate."""
        return any(any(gate_rates(op.cell)) for op in self.ops)

    def any(self, attribute: str) -> bool:
        """Whether any of them, or of their cells, has something."""
        return any(
            getattr(op, attribute, None) or getattr(op.cell, attribute, None) for op in self.ops
        )


# Biases of two rows, of the input and of the state, are two parameters in PyTorch.
TORCH_FUSED = {
    "kernel": Row("weight_ih_l0", (1, 0)),
    "recurrent_kernel": Row("weight_hh_l0", (1, 0)),
    "bias": Row(("bias_ih_l0", "bias_hh_l0")),
}
TORCH_LOOP = {
    "kernel": Row("cell.kernel.weight", (1, 0)),
    "recurrent_kernel": Row("cell.recurrent_kernel.weight", (1, 0)),
    "bias": Row(("cell.kernel.bias", "cell.recurrent_kernel.bias")),
}
TORCH_IMAGES = {
    f"LoopConvLSTM{rank}DCell": {
        "kernel": Row("cell.kernel.weight", (rank + 1, rank, *range(rank))),
        "recurrent_kernel": Row("cell.recurrent_kernel.weight", (rank + 1, rank, *range(rank))),
        "bias": Row("cell.kernel.bias"),
    }
    for rank in (1, 2, 3)
}


def _torch_fused(gates: tuple[int, ...]) -> dict[str, Row]:
    rows = {name: replace(row, gates=gates) for name, row in TORCH_FUSED.items()}
    for name, row in list(rows.items()):
        names = (row.name,) if isinstance(row.name, str) else row.name
        reverse = tuple(f"{name}_reverse" for name in names)
        rows[f"backward_{name}"] = replace(row, name=reverse if len(reverse) > 1 else reverse[0])
    return rows


_TORCH_WAYS = {
    "FusedSimpleRNNCell": _torch_fused(()),
    "FusedLSTMCell": _torch_fused(()),
    "FusedGRUCell": _torch_fused(TORCH_GRU),
    "LoopSimpleRNNCell": TORCH_LOOP,
    "LoopLSTMCell": TORCH_LOOP,
    "LoopGRUCell": TORCH_LOOP,
    **TORCH_IMAGES,
}


def _inside(rows: dict[str, Row], attribute: str, prefix: str) -> dict[str, Row]:
    """The rows of a module that is an attribute of another one."""

    def named(row: Row) -> Row:
        if isinstance(row.name, str):
            return replace(row, name=f"{attribute}.{row.name}")
        return replace(row, name=tuple(f"{attribute}.{name}" for name in row.name))

    return {
        f"{prefix}{name}": named(row)
        for name, row in rows.items()
        if not name.startswith("backward_")
    }


TORCH_ROWS = {
    **_TORCH_WAYS,
    **{
        f"BothWays{one}{other}": {
            **_inside(_TORCH_WAYS[one], "forward_layer", ""),
            **_inside(_TORCH_WAYS[other], "backward_layer", "backward_"),
        }
        for one in _TORCH_WAYS
        for other in _TORCH_WAYS
    },
}


def one_bias(model: Model) -> Iterator[str]:
    """What became of PyTorch's second bias."""
    used = [Used.of(model, "Fused", cell) for cell in ("LSTMCell", "SimpleRNNCell")]
    if any(use.any("use_bias") for use in used):
        yield (
            "the second bias of LSTM and SimpleRNN, which Keras does not have, is a buffer of "
            "zeros: not counted, trained, decayed or saved"
        )


def ways(node: Node) -> tuple[Node, Node]:
    """The nodes that run each way for one that runs both."""
    backward = tuple(w for w in node.weights if w.name.startswith("backward_"))
    own = tuple(replace(w, name=w.name.removeprefix("backward_")) for w in backward)
    forward = tuple(w for w in node.weights if w not in backward)
    return (
        replace(node, layer=node.layer.forward, weights=forward),
        replace(node, layer=node.layer.backward, weights=own),
    )


def _of_one_direction(node: Node, name: str) -> tuple[int, ...]:
    """A matrix with an axis of size 1 in front, or all biases in one row."""
    weight = node.weight(name)
    assert weight is not None
    return (1, weight.size) if name.endswith("bias") else (1, *reversed(weight.shape))


def _onnx_fused(gates: tuple[int, ...]) -> dict[str, Row]:
    return {
        name: Row(
            name,
            None if name.endswith("bias") else (1, 0),
            partial(_of_one_direction, name=name),
            gates=gates,
        )
        for way in ("", "backward_")
        for name in (f"{way}kernel", f"{way}recurrent_kernel", f"{way}bias")
    }


ONNX_LOOP = {name: Row(name) for name in ("kernel", "recurrent_kernel", "bias")}
ONNX_ROWS = {
    "FusedSimpleRNNCell": _onnx_fused(()),
    "FusedLSTMCell": _onnx_fused(ONNX_LSTM),
    "FusedGRUCell": _onnx_fused(()),
    "LoopSimpleRNNCell": ONNX_LOOP,
    "LoopLSTMCell": ONNX_LOOP,
    "LoopGRUCell": ONNX_LOOP,
    **{
        f"LoopConvLSTM{rank}DCell": {
            "kernel": Row("kernel", (rank + 1, rank, *range(rank))),
            "recurrent_kernel": Row("recurrent_kernel", (rank + 1, rank, *range(rank))),
            "bias": Row("bias"),
        }
        for rank in (1, 2, 3)
    },
}

FUNCTIONS = {
    "used": Used.of,
    "gate_rates": gate_rates,
    "joins_images": joins_images,
    "last_axis": last_axis,
    "recurrent_pads": recurrent_pads,
    "time_axis": time_axis,
    "ways": ways,
    "onnx_activations": onnx_activations,
    "prefixed": prefixed,
    "state_names": state_names,
    "state_shape": state_shape,
    "without_trailing": without_trailing,
}
