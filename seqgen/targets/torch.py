"""PyTorch: channels first, one amount of padding per axis, its own order of kernel axes."""

from typing import Any

from seqgen.ir.graph import Model, Node, Order
from seqgen.ir.scopes import scope_tree
from seqgen.passes.activations import split_activations
from seqgen.passes.layout import native_layout, spec_layout
from seqgen.passes.padding import explicit_padding, pad_outside
from seqgen.passes.transposes import remove_transposes
from seqgen.render import Macros, Source
from seqgen.targets.base import Move, Row, Target
from seqgen.targets.modules import Class, Step, as_class

# Layers that a model in training mode runs in inference mode while they are frozen.
STILL_WHEN_FROZEN = ("BatchNormalization",)

BIAS = Row("bias", axes=("out",))
CONV = {
    f"Conv{rank}D": {"kernel": Row("weight", (rank + 1, rank, *range(rank))), "bias": Row("bias")}
    for rank in (1, 2, 3)
}


def moves(target: Target, model: Model, main: Class) -> list[tuple[str, Move]]:
    """Every variable with its name in the state dict, in the order of the model."""
    found: list[tuple[str, Move]] = []

    def walk(cls: Class, prefix: str) -> None:
        for step in cls.steps:
            if step.submodule:
                walk(step.submodule, f"{prefix}{step.submodule.attribute}.")
                continue
            for node in step.nodes:
                for move in target.moves(model, node):
                    found.append((f"{prefix}{cls.names[node.name]}.{move.name}", move))

    walk(main, "")
    return found


def features(size: int, order: Order | None) -> int | str:
    """A number of features; where they are a flattened tensor, as the product of its sizes."""
    if order is None:
        return size
    return Source(" * ".join(str(order.sizes[axis]) for axis in order.perm))


def page(target: Target, model: Model, macros: Macros) -> dict[str, Any]:
    """What the page of the program is given."""

    def is_module(node: Node) -> bool:
        return macros.has(node, "_init")

    main = as_class(model, scope_tree(model), is_module, STILL_WHEN_FROZEN, set())

    def expression(cls: Class, step: Step) -> str:
        if step.submodule:
            return macros.any_layer(step.last, "x", step.submodule.attribute)
        text = "x"
        for node in step.nodes:
            attribute = cls.names.get(node.name)
            text = macros.spell(node, text, *([attribute] if attribute else []))
        return text

    placed = moves(target, model, main)
    return {
        "classes": list(main.classes),
        "expression": expression,
        "moves": placed,
        "weight_names": {move.weight.key: name for name, move in placed},
    }


TORCH = Target(
    name="torch",
    files={"model.py.j2": "torch_model.py"},
    passes={
        name: (split_activations, explicit_padding, pad_outside, layout, remove_transposes)
        for name, layout in (("native", native_layout), ("spec", spec_layout))
    },
    weights={
        "Dense": {"kernel": Row("weight", (1, 0), axes=("in", "out")), "bias": BIAS},
        **CONV,
    },
    functions={"features": features},
    page=page,
)
