"""ONNX: channels first, padding before and after, kernels with the output channels first."""

from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Input, Model, Node
from seqgen.naming import class_name
from seqgen.passes.activations import split_activations
from seqgen.passes.layout import native_layout, spec_layout
from seqgen.passes.padding import explicit_padding
from seqgen.passes.transposes import remove_transposes
from seqgen.render import Macros
from seqgen.targets.base import Row, Target

DEFAULT_OPSET = 21
# The IR version that came with each opset, so that no runtime of its time refuses the file.
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}


def ir_version(opset: int) -> int:
    """The IR version to stamp on a file of an opset.

    Raises:
        UnsupportedError: The templates do not know the opset.
    """
    if opset not in IR_VERSIONS:
        known = f"{min(IR_VERSIONS)} to {max(IR_VERSIONS)}"
        raise UnsupportedError(f"target 'onnx' writes opsets {known}, not {opset}")
    return IR_VERSIONS[opset]


ELEM_TYPES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "float16": "FLOAT16",
    "bfloat16": "BFLOAT16",
    "int32": "INT32",
    "int64": "INT64",
}

CONV = {
    f"Conv{rank}D": {"kernel": Row("kernel", (rank + 1, rank, *range(rank))), "bias": Row("bias")}
    for rank in (1, 2, 3)
}


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
    before, after = zip(*node.pads, strict=True)
    return {"pads": (before + after, (0,) * len(before + after))}


def page(target: Target, model: Model, macros: Macros) -> dict[str, Any]:
    """What the page of the program is given."""
    moves = [move for node in model.nodes for move in target.moves(model, node)]
    return {
        "class_name": class_name(model.name),
        "steps": [node for node in model.nodes if not isinstance(node.layer, Input)],
        "moves": moves,
        "weight_names": {move.weight.key: move.weight.key for move in moves},
    }


ONNX = Target(
    name="onnx",
    files={"model.py.j2": "onnx_model.py"},
    passes={
        name: (split_activations, explicit_padding, layout, remove_transposes)
        for name, layout in (("native", native_layout), ("spec", spec_layout))
    },
    weights={
        "Dense": {"kernel": Row("kernel", axes=("in", "out")), "bias": Row("bias", axes=("out",))},
        **CONV,
    },
    functions={"ir_version": ir_version, "keywords": keywords, "padding": padding, "elem_type": ELEM_TYPES.__getitem__},
    page=page,
)
