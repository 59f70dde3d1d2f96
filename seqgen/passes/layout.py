"""Where each axis lies in memory: channels first inside, as PyTorch and ONNX want it."""

from dataclasses import replace
from functools import partial

from seqgen.ir.graph import Input, Model, Node, Op, Transpose, consumers
from seqgen.ir.merging import AddAxes
from seqgen.ir.sequences import MergeTime, Steps
from seqgen.ir.types import Permutation, channels_first_perm, compose, inverse
from seqgen.layers.base import Layer

LAYOUTS = ("native", "spec")


def identity(rank: int) -> Permutation:
    """The permutation that changes nothing."""
    return tuple(range(rank))


def wanted(node: Node, rank: int) -> Permutation | None:
    """The layout that a node wants its input of `rank` axes in; None if it takes any."""
    layer = node.layer
    if layer.layout == "channels_first" and rank > 2:
        return channels_first_perm(rank, layer.channel_axis(rank) % rank, layer.leading)
    if layer.layout == "time_first":
        return (1, 0, *range(2, rank))
    return identity(rank) if layer.layout == "spec" else None


def entry_layout(model: Model, entry: Node) -> Permutation:
    """The layout in which an input is best given: that of the first layer that cares."""
    readers = consumers(model)
    reached, seen = list(readers[entry.name]), set()
    while reached:
        node = reached.pop(0)
        rank = entry.type.rank
        perm = wanted(node, rank)
        if node.layer.layout == "within_time" and node.type.rank < rank:
            inner = entry_layout(model, node)
            perm = None if inner == identity(node.type.rank) else across_time(inner, rank)
        if perm is None and getattr(node.layer, "entry", "") == "channels_first":
            perm = channels_first_perm(rank, node.layer.channel_axis(rank))
        if perm is not None:
            # Callers give batches, also where the first layer would rather have steps first.
            return perm if perm[0] == 0 else identity(rank)
        if node.name not in seen and node.type.rank == rank:
            seen.add(node.name)
            reached.extend(readers[node.name])
    return identity(entry.type.rank)


def across_time(perm: Permutation, rank: int) -> Permutation:
    """The layout with the steps merged into the samples, or split from them, that stays the same.

    Steps are the axis behind the samples of the tensor with more axes.
    """
    if perm[0] == 0 and len(perm) < rank:
        return (0, 1, *(axis + 1 for axis in perm[1:]))
    if perm[:2] == (0, 1):
        return (0, *(axis - 1 for axis in perm[2:]))
    return identity(rank)


class _Placement:
    """A model in the making, in which every tensor lies in memory in an order of its own."""

    def __init__(self, model: Model, layout: str) -> None:
        self._model = model
        self._layout = layout
        self._readers = consumers(model)
        self._perms: dict[str, Permutation] = {}
        # Transposes by the layer that they stand before, and by what they make of what.
        self._moved: dict[tuple[str, str, Permutation], str] = {}
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
        first, *more = node.inputs
        first = self._laid_out(first, node, self._wanted(node, first))
        perm, layer = self._perms[first], node.layer
        if not isinstance(layer, Op) and layer.layout == "any":
            layer = layer.relayout(perm)
        beside = (self._laid_out(name, node, self._beside(node, name, perm)) for name in more)
        inputs = (first, *beside)
        placed = replace(node, layer=layer, inputs=inputs)
        last_step = len(perm) > rank and getattr(layer, "leading", 1) == 2
        if layer.layout == "within_time" or last_step:
            self._put(placed, across_time(perm, rank))
            return
        keeps = len(perm) == rank and layer.layout != "spec"
        self._put(placed, perm if keeps else identity(rank))

    def _wanted(self, node: Node, name: str) -> Permutation:
        """The layout that a node wants its first input in."""
        rank = self._model.by_name[name].type.rank
        if isinstance(node.layer, Steps):
            # They are counted where those of the same layer are merged.
            readers = self._readers[name]
            node = next(one for one in readers if isinstance(one.layer, MergeTime))
        layout = node.layer.layout
        if layout in ("ahead", "within_time") and self._readers[node.name]:
            # What stands in front of a layer takes the layout that the layer wants.
            want = wanted(self._readers[node.name][0], node.type.rank)
        else:
            want = wanted(node, rank)
        if layout == "within_time":
            return across_time(want, rank) if want else self._time_first(node, name)
        return want or self._given(node, name)

    def _given(self, node: Node, name: str) -> Permutation:
        """What a node that takes any layout gets: batches first if it tells axes apart."""
        layer, perm = node.layer, self._perms[self._whole(node, name)]
        if isinstance(layer, Layer) and not layer.takes(perm):
            return identity(len(perm))
        by_value = isinstance(layer, Op) or (layer.relayout(perm) is layer and not node.weights)
        return perm if by_value or perm[0] == 0 else identity(len(perm))

    def _whole(self, node: Node, name: str) -> str:
        """The input whose layout a node keeps: not one that got axes for the sake of the others."""
        grown = isinstance(self._model.by_name[name].layer, AddAxes)
        others = node.inputs if grown else ()
        whole = (x for x in others if not isinstance(self._model.by_name[x].layer, AddAxes))
        return next(whole, name)

    def _batch_first(self, name: str) -> Permutation:
        perm = self._perms[name]
        return perm if perm[0] == 0 else identity(len(perm))

    def _time_first(self, node: Node, name: str) -> Permutation:
        """Batches first, and behind them the steps that are merged into them."""
        perm = self._perms[name]
        if not isinstance(node.layer, MergeTime):
            return self._batch_first(name)
        return (0, 1, *(axis for axis in perm if axis > 1))

    def _beside(self, node: Node, name: str, perm: Permutation) -> Permutation:
        """The layout of a further input: that of the first if it has the same axes."""
        rank = self._model.by_name[name].type.rank
        if node.layer.layout == "spec":
            return identity(rank)
        return perm if len(perm) == rank else self._perms[name]

    def _laid_out(self, name: str, reader: Node, want: Permutation) -> str:
        """The name of a tensor in a layout, behind a transpose if it has another one."""
        source = self._model.by_name[name]
        if self._perms[name] == want:
            return name
        key = (reader.source, name, want)
        if key in self._moved:
            return self._moved[key]
        step = Transpose(compose(inverse(self._perms[name]), want))
        label = f"{reader.name}.transpose"
        label += f"_{len(self._moved)}" if label in self._perms else ""
        moved = Node(label, step, (name,), source.type, reader.source)
        self._put(moved, want)
        self._moved[key] = moved.name
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
    return outputs_as_in_spec(placed, every=layout == "spec")


def outputs_as_in_spec(model: Model, every: bool) -> Model:
    """Transpose the outputs back to the order of the spec: all, or those without batches first."""

    def moves(node: Node) -> bool:
        rank = node.type.rank
        if node.name not in model.outputs or node.perm == identity(rank):
            return False
        return every or node.perm[0] != 0

    # Who reads an output in the model itself reads it as it was.
    inner = {node.name: f"{node.name}.native" for node in model.nodes if moves(node)}

    def back(node: Node) -> list[Node]:
        node = replace(node, inputs=tuple(inner.get(name, name) for name in node.inputs))
        if node.name not in inner or isinstance(node.layer, Input):
            return [node]
        native = replace(node, name=inner[node.name])
        step, rank = Transpose(inverse(node.perm)), node.type.rank
        return [
            native,
            Node(node.name, step, (native.name,), node.type, node.source, perm=identity(rank)),
        ]

    return model.rewrite(back) if inner else model


native_layout = partial(choose_layout, layout="native")
spec_layout = partial(choose_layout, layout="spec")
