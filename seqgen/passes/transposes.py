"""Take out the transposes that layout left between layers that can do without."""

from collections.abc import Iterable
from dataclasses import replace

from seqgen.ir.graph import Model, Node, Order, Transpose, consumers
from seqgen.ir.merging import AddAxes
from seqgen.ir.types import compose, inverse
from seqgen.passes.layout import identity


def update(model: Model, changed: Iterable[Node], dropped: Iterable[Node] = ()) -> Model:
    """The model with some nodes changed and some taken out; what read those reads their input."""
    new = {node.name: node for node in changed}
    gone = {node.name: node.inputs[0] for node in dropped}
    if not new and not gone:
        return model

    def survivor(name: str) -> str:
        while name in gone:
            name = gone[name]
        return name

    nodes = []
    for node in model.nodes:
        if node.name not in gone:
            node = new.get(node.name, node)
            inputs = tuple(map(survivor, node.inputs))
            nodes.append(node if inputs == node.inputs else replace(node, inputs=inputs))
    return replace(model, nodes=tuple(nodes))


def moves_values(step: Node, source: Node) -> bool:
    """Whether a transpose changes the order in memory, and not only where axes of size 1 stand."""
    sizes = source.physical.shape
    moved = [axis for axis in step.layer.perm if sizes[axis] != 1]
    return moved != sorted(moved)


def merge_transposes(model: Model) -> Model:
    """Two transposes in a row are one, and one that changes nothing is none."""
    dropped, changed = [], {}
    for node in model.nodes:
        if not isinstance(node.layer, Transpose):
            continue
        source = changed.get(node.inputs[0], model.input_of(node))
        if isinstance(source.layer, Transpose):
            step = compose(source.layer.perm, node.layer.perm)
            node = replace(node, layer=Transpose(step), inputs=source.inputs)
            changed[node.name] = node
        if node.layer.perm == identity(node.type.rank) and node.name not in model.outputs:
            dropped.append(node)
    return without_unread(update(model, changed.values(), dropped))


def without_unread(model: Model) -> Model:
    """Take out transposes that nothing reads any more."""
    readers = consumers(model)
    unread = [
        node
        for node in model.nodes
        if isinstance(node.layer, Transpose)
        and not readers[node.name]
        and node.name not in model.outputs
    ]
    return update(model, (), unread)


def chain_to(node: Node, kinds: tuple[str, ...], step: dict[str, list[Node]]) -> list[Node] | None:
    """The nodes from `node` to the next of some kinds, if all between take features in any order.

    `step` gives the neighbours in the direction of search; a fork ends it.
    """
    chain: list[Node] = []
    while len(step[node.name]) == 1:
        node = step[node.name][0]
        if node.type.rank != 2:
            return None
        chain.append(node)
        if node.kind in kinds:
            return chain
        if not getattr(node.layer, "any_order", False):
            return None
    return None


def reorder_rows(model: Model) -> Model:
    """Flatten in the order of memory, and let the next Dense have its rows reordered once."""
    readers = consumers(model)
    changed: list[Node] = []
    dropped: list[Node] = []
    for flatten in model.nodes:
        if flatten.kind != "Flatten" or flatten.name in model.outputs:
            continue
        step = model.input_of(flatten)
        if not isinstance(step.layer, Transpose) or len(readers[step.name]) > 1:
            continue
        source = model.input_of(step)
        if step.layer.perm[0] != 0:
            # A Flatten keeps the first axis, whatever it is.
            continue
        if not moves_values(step, source):
            dropped.append(step)
            continue
        chain = chain_to(flatten, ("Dense",), readers)
        if chain is None or not source.type.static or step.perm != identity(step.type.rank):
            continue
        if not model.shared.isdisjoint(node.name for node in chain):
            # Other calls of the same layers have their features in the order of the spec.
            continue
        memory = inverse(step.layer.perm)
        if memory[0] != 0:
            continue
        order = Order(step.type.sizes, tuple(axis - 1 for axis in memory[1:]))
        dropped.append(step)
        changed += [replace(node, rows=order, columns=order) for node in chain[:-1]]
        changed.append(replace(chain[-1], rows=order))
    return update(model, changed, dropped)


def reorder_columns(model: Model) -> Model:
    """Let a Dense before a Reshape make its features in the order in which they are needed."""
    readers = consumers(model)
    writers = {node.name: [model.by_name[name] for name in node.inputs] for node in model.nodes}
    changed: list[Node] = []
    dropped: list[Node] = []
    for step in model.nodes:
        if not isinstance(step.layer, Transpose) or step.name in model.outputs:
            continue
        reshape = model.input_of(step)
        if isinstance(reshape.layer, AddAxes) and reshape.layer.keeps_order(step.layer.perm):
            dropped.append(step)
            changed.append(replace(reshape, perm=step.layer.perm))
            continue
        if reshape.kind != "Reshape" or len(readers[reshape.name]) > 1 or not reshape.type.static:
            continue
        if step.layer.perm[0] != 0:
            # Steps first: only a transpose says that batches are not.
            continue
        if not moves_values(step, reshape):
            dropped.append(step)
            changed.append(replace(reshape, perm=step.layer.perm))
            continue
        chain = chain_to(reshape, ("Dense",), writers)
        if chain is None or any(len(readers[node.name]) > 1 for node in chain):
            continue
        if not model.shared.isdisjoint(node.name for node in chain):
            continue
        if reshape.type.rank == 2 or any(node.name in model.outputs for node in chain):
            continue
        order = Order(reshape.type.sizes, tuple(axis - 1 for axis in step.layer.perm[1:]))
        dropped.append(step)
        changed.append(replace(reshape, perm=step.layer.perm))
        changed += [replace(node, rows=order, columns=order) for node in chain[:-1]]
        changed.append(replace(chain[-1], columns=order))
    return update(model, changed, dropped)


def remove_transposes(model: Model) -> Model:
    """Merge transposes, and reorder the weights beside a Flatten or Reshape instead of values."""
    return reorder_columns(reorder_rows(merge_transposes(model)))
