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


def choose_layout(model: Model, layout: str) -> Model:
    """Lay out every tensor, with a Transpose wherever two nodes do not agree.

    Args:
        model: With padding made explicit.
        layout: Of inputs and outputs: `native` takes what the first and last layer have,
            `spec` keeps the order of the spec.
    """
    perms: dict[str, Permutation] = {}
    nodes: list[Node] = []
    readers = consumers(model)

    def transposed(name: str, source: Node, to: Permutation, reader: Node) -> Node:
        step = compose(inverse(perms[source.name]), to)
        assert compose(perms[source.name], step) == to
        return Node(
            name, Transpose(step), (source.name,), source.type, reader.source, perm=to
        )

    for node in model.nodes:
        rank = node.type.rank
        if isinstance(node.layer, Input):
            perm = entry_layout(model, node) if layout == "native" else identity(rank)
            perms[node.name] = perm
            nodes.append(replace(node, perm=perm))
            continue
        inputs = []
        for name in node.inputs:
            source = model.by_name[name]
            want = wanted(node, source.type.rank)
            if isinstance(node.layer, Op):
                want = wanted(readers[node.name][0], source.type.rank)
            want = want or perms[node.inputs[0]]
            if perms[name] == want:
                inputs.append(name)
                continue
            step = transposed(f"{node.name}.transpose", source, want, node)
            perms[step.name] = want
            nodes.append(step)
            inputs.append(step.name)
        want = perms[inputs[0]]
        keeps = len(want) == rank and getattr(node.layer, "layout", "any") != "spec"
        perms[node.name] = want if keeps else identity(rank)
        layer = node.layer
        if not isinstance(layer, Op) and layer.layout == "any":
            layer = layer.relayout(want)
        nodes.append(replace(node, layer=layer, inputs=tuple(inputs), perm=perms[node.name]))
    placed = replace(model, nodes=tuple(nodes))
    return outputs_as_in_spec(placed) if layout == "spec" else placed


def outputs_as_in_spec(model: Model) -> Model:
    """Transpose the outputs back to the order of the spec."""

    def back(node: Node) -> list[Node] | None:
        rank = node.type.rank
        if node.name not in model.outputs or node.perm == identity(rank):
            return None
        inner = replace(node, name=f"{node.name}.native")
        step = inverse(node.perm)
        return [
            inner,
            Node(node.name, Transpose(step), (inner.name,), node.type, node.source, perm=identity(rank)),
        ]

    return model.rewrite(back)


native_layout = partial(choose_layout, layout="native")
spec_layout = partial(choose_layout, layout="spec")
