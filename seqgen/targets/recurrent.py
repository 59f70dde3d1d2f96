"""Recurrent cells as targets have them: what runs them, with which activations and states."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqgen.initializers import array_dtype
from seqgen.ir.graph import Model, Node, Pads
from seqgen.ir.sequences import BothWays, Fused, Loop, keeps_states
from seqgen.layers.base import Layer
from seqgen.layers.objects import Named
from seqgen.passes.padding import same_pads

TANH, SIGMOID = Named("tanh"), Named("sigmoid")
LINEAR = Named("linear")


# Activations that ONNX's recurrent operators know, with their arguments alpha and beta where they
# have some, each with the default of Keras.
ONNX_ACTIVATIONS: dict[str, tuple[str, str | float | None, float | None]] = {
    "elu": ("Elu", "alpha", None),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "hard_sigmoid_keras_2": ("HardSigmoid", 0.2, 0.5),
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


def masks_both_ways(model: Model) -> bool:
    """Whether a module that runs both ways takes a mask, for the ones within."""
    return any(isinstance(node.layer, BothWays) and len(node.inputs) > 1 for node in model.nodes)


def time_axis(node: Node) -> int:
    """Where the steps of a sequence lie in memory."""
    return node.perm.index(1) if node.perm else 1


def kept_states(model: Model) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """What a graph keeps from batch to batch: where it comes in, where it goes out, its shape."""
    for node in model.nodes:
        if keeps_states(node):
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
        masked: Whether any of them takes a mask, or is handed on what may be one.
    """

    ops: tuple[Fused | Loop, ...]
    masked: bool

    @classmethod
    def of(cls, model: Model, kind: str, cell: str = "") -> "Used":
        """What runs, as `Fused` or as `Loop`, all cells or those of a kind."""
        found, masked = [], False
        for node in model.nodes:
            both = isinstance(node.layer, BothWays)
            takes_mask = masks_both_ways(model) if both else len(node.inputs) > 1
            for op in (node.layer.forward, node.layer.backward) if both else (node.layer,):
                if type(op).__name__ == kind and (not cell or type(op.cell).__name__ == cell):
                    found.append(op)
                    masked = masked or takes_mask
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


FUNCTIONS = {
    "used": Used.of,
    "gate_rates": gate_rates,
    "joins_images": joins_images,
    "last_axis": last_axis,
    "masks_both_ways": masks_both_ways,
    "recurrent_pads": recurrent_pads,
    "time_axis": time_axis,
    "ways": ways,
    "onnx_activations": onnx_activations,
    "prefixed": prefixed,
    "state_names": state_names,
    "state_shape": state_shape,
    "without_trailing": without_trailing,
}
