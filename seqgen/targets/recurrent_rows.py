"""Where the variables of recurrent cells go, and in which order their gates stand there."""

from dataclasses import replace
from functools import partial

from seqgen.ir.graph import Node
from seqgen.targets.base import Row

# Keras's gates are i, f, c, o and z, r, h. PyTorch has i, f, g, o and r, z, n; ONNX has i, o, f, c
# and z, r, h.
TORCH_GRU = (1, 0, 2)
ONNX_LSTM = (0, 3, 1, 2)

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
