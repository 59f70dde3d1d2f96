"""Where each axis lies in memory: channels first inside, as PyTorch and ONNX want it."""

from dataclasses import replace
from functools import partial

from seqgen.ir.graph import Input, Model, Node, Op, Transpose, consumers
from seqgen.ir.types import Permutation, channels_first_perm, compose, inverse

LAYOUTS = ("native", "spec")


def identity(rank: int) -> Permutation:
    """The permutation that changes nothing."""
    return tuple(range(rank))


def wanted(node: Node, rank: int) -> Permutation | None:
    """The layout that a node wants its input of `rank` axes in; None if it takes any."""
    if isinstance(node.layer, Op):
        # Pads stand in front of the layer whose padding they are.
        return None
    if node.layer.layout == "channels_first" and rank > 2:
        channel_axis = node.layer.channel_axis(rank) % rank
        return channels_first_perm(rank, channel_axis)
    return identity(rank) if node.layer.layout == "spec" else None


def entry_layout(model: Model, entry: Node) -> Permutation:
    """The layout in which an input is best given: that of the first layer that cares."""
    readers = consumers(model)
    reached, seen = list(readers[entry.name]), set()
    while reached:
        node = reached.pop(0)
        rank = entry.type.rank
        perm = wanted(node, rank)
        if perm is None and getattr(node.layer, "entry", "") == "channels_first":
            perm = channels_first_perm(rank, node.layer.channel_axis(rank))
        if perm is not None:
            return perm
        if node.name not in seen and node.type.rank == rank:
            seen.add(node.name)
            reached.extend(readers[node.name])
    return identity(entry.type.rank)


class _Placement:
    """A model in the making, in which every tensor lies in memory in an order of its own."""

    def __init__(self, model: Model, layout: str) -> None:
        self._model = model
        self._layout = layout
        self._readers = consumers(model)
        self._perms: dict[str, Permutation] = {}
        self.nodes: list[Node] = []

    def _put(self, node: Node, perm: Permutation) -> None:
        self._perms[node.name] = perm
        self.nodes.append(replace(node, perm=perm))

    def place(self, node: Node) -> None:
        """Put the next node, and in front of it the transposes that it needs."""
        rank = node.type.rank
        if isinstance(node.layer, Input):
            native = self._layout == "native"
            self._put(node, entry_layout(self._model, node) if native else identity(rank))
            return
        inputs = tuple(self._laid_out(name, node) for name in node.inputs)
        perm, layer = self._perms[inputs[0]], node.layer
        layout = getattr(layer, "layout", "any")
        if not isinstance(layer, Op) and layout == "any":
            layer = layer.relayout(perm)
        keeps = len(perm) == rank and layout != "spec"
        self._put(replace(node, layer=layer, inputs=inputs), perm if keeps else identity(rank))

    def _laid_out(self, name: str, reader: Node) -> str:
        """The name of a tensor in the layout that its reader wants."""
        source = self._model.by_name[name]
        # What stands in front of a layer takes the layout that the layer wants.
        asking = self._readers[reader.name][0] if isinstance(reader.layer, Op) else reader
        want = wanted(asking, source.type.rank) or self._perms[reader.inputs[0]]
        if self._perms[name] == want:
            return name
        step = Transpose(compose(inverse(self._perms[name]), want))
        moved = Node(f"{reader.name}.transpose", step, (name,), source.type, reader.source)
        self._put(moved, want)
        return moved.name


def choose_layout(model: Model, layout: str) -> Model:
    """Lay out every tensor, with a Transpose wherever two nodes do not agree.

    Args:
        model: With padding made explicit.
        layout: Of inputs and outputs: `native` takes what the first and last layer have,
            `spec` keeps the order of the spec.
    """
    placement = _Placement(model, layout)
    for node in model.nodes:
        placement.place(node)
    placed = replace(model, nodes=tuple(placement.nodes))
    return outputs_as_in_spec(placed) if layout == "spec" else placed


def outputs_as_in_spec(model: Model) -> Model:
    """Transpose the outputs back to the order of the spec."""

    def back(node: Node) -> list[Node] | None:
        rank = node.type.rank
        if node.name not in model.outputs or node.perm == identity(rank):
            return None
        inner = replace(node, name=f"{node.name}.native")
        step = Transpose(inverse(node.perm))
        moved = Node(node.name, step, (inner.name,), node.type, node.source, perm=identity(rank))
        return [inner, moved]

    return model.rewrite(back)


native_layout = partial(choose_layout, layout="native")
spec_layout = partial(choose_layout, layout="spec")
