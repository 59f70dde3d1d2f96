"""Models within long ONNX programs: made by functions whose names do without the model's own."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
from seqgen.ir.scopes import Scope


def on_its_own(scope: Scope, model: Model) -> tuple[Scope, Model] | None:
    """A model within and the graph around it, with names that do without that of the model.

    Args:
        scope: The model within.
        model: The graph.

    Returns:
        Both; None if some name would be that of something else, too.
    """
    (name,) = scope.path
    own = {node.name: node.name.removeprefix(f"{name}/") for node in scope.nodes}
    # A model that is called several times has the weights of its first call.
    keys = [weight.key for node in scope.nodes for weight in node.weights]
    if not all(map(str.startswith, own, [f"{name}/"] * len(own))):
        return None
    if not all(key.startswith(f"{name}.") for key in keys):
        return None
    short = {*own.values(), *(key.removeprefix(f"{name}.") for key in keys)}
    if len(short) < len({*own, *keys}):
        return None
    for given in (node.name for node in model.nodes if node.name not in own):
        begins = {given[:place] for place, letter in enumerate(given) if letter in "./"}
        if short & {given, *begins}:
            return None

    made = {node.name: _renamed(node, name, own) for node in model.nodes}
    outputs = tuple(own.get(output, output) for output in model.outputs)
    graph = replace(model, nodes=tuple(made.values()), outputs=outputs)
    return _scope(scope, made), graph


def _renamed(node: Node, path: str, own: dict[str, str]) -> Node:
    inputs = tuple(own.get(name, name) for name in node.inputs)
    masks = tuple(name and own.get(name, name) for name in node.masks)
    read = replace(node, inputs=inputs, masks=masks, mask=own.get(node.mask or "", node.mask))
    if node.name not in own:
        return read
    weights = tuple(replace(w, key=w.key.removeprefix(f"{path}.")) for w in node.weights)
    source = node.source.removeprefix(f"{path}/")
    return replace(read, name=own[node.name], source=source, weights=weights)


def _scope(scope: Scope, made: dict[str, Node]) -> Scope:
    items = [
        _scope(item, made) if isinstance(item, Scope) else made[item.name] for item in scope.items
    ]
    return Scope(scope.path[1:], items)


def taken_by(scope: Scope) -> tuple[str, ...]:
    """Names of the values that a model within takes."""
    own = {node.name for node in scope.nodes}
    read = (name for node in scope.nodes for name in node.inputs if name not in own)
    return tuple(dict.fromkeys(read))
