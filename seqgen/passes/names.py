"""Steps that passes and templates put in are called after their layer, with a dot between."""

from dataclasses import replace

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Input, Model, Node
from seqgen.layers.within import within


def check_names(model: Model) -> Model:
    """The same model.

    Raises:
        UnsupportedError: A layer is called as a step of another one may be.
    """
    names = {node.name for node in model.nodes}
    names |= {f"{node.name}/{part.name}" for node in model.layers for part in within(node.layer)}
    for name in sorted(names):
        places = [place for place, letter in enumerate(name) if letter == "."]
        for owner in names & {name[:place] for place in places}:
            raise UnsupportedError(
                f"the name '{name}' may be that of a step of '{owner}' in the programs; rename one "
                "of the two layers"
            )
    return model


def name_inputs(model: Model) -> Model:
    """Let programs call each of several inputs by its name."""

    def named(node: Node) -> list[Node] | None:
        several = len(model.inputs) > 1 and isinstance(node.layer, Input)
        return [replace(node, variable=node.name)] if several else None

    return model.rewrite(named)
