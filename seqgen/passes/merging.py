"""Layers with several inputs, said by steps that take those as they are."""

from dataclasses import dataclass, field, replace
from string import ascii_lowercase

from seqgen.ir.build import infer, named_sizes
from seqgen.ir.graph import Model, Node, Op
from seqgen.ir.merging import (
    AddAxes,
    Chosen,
    Einsum,
    EitherMask,
    Filled,
    FullMask,
    RowDots,
    UnitLength,
)
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer
from seqgen.layers.merging import Concatenate, Dot, Multiply, _Merge

# Keras's `epsilon`, below which it takes no norm.
LEAST_NORM = 1e-7


# Inputs with fewer axes than others


def _with_axes(node: Node, x: Node, number: int, rank: int) -> Node:
    """An input with as many axes as the others."""
    count = rank - x.type.rank
    # The largest input has names for all axes.
    shape = (x.type.shape[0], *(1,) * count, *x.type.shape[1:])
    kind = replace(node.type, shape=shape, dtype=x.type.dtype)
    return Node(f"{node.name}.expanded_{number}", AddAxes(count), (x.name,), kind, node.source)


def explicit_axes(model: Model) -> Model:
    """Add axes behind the batch where an input of a merge has fewer than another."""

    def expanded(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, _Merge):
            return None
        xs = [
            x if x.type.rank == node.type.rank else _with_axes(node, x, number, node.type.rank)
            for number, x in enumerate(model.sources_of(node), 1)
        ]
        made = [x for x in xs if x.name not in model.by_name]
        # What gets axes loses its mask.
        masks = (None if x in made else mask for x, mask in zip(xs, node.masks, strict=False))
        return [*made, replace(node, inputs=tuple(x.name for x in xs), masks=tuple(masks))]

    return model.rewrite(expanded)


# Dot


def equation_of(ranks: tuple[int, int], places: tuple[int, int]) -> str:
    """The equation of a sum over one axis of each of two tensors: `abc,adc->abd`."""
    first = ascii_lowercase[: ranks[0]]
    more = iter(ascii_lowercase[ranks[0] :])
    summed = first[places[0]]
    known = {0: first[0], places[1]: summed}
    second = "".join(known.get(axis) or next(more) for axis in range(ranks[1]))
    rest = first.replace(summed, "") + second[1:].replace(summed, "")
    return f"{first},{second}->{rest}"


def explicit_dots(model: Model) -> Model:
    """Say a Dot by an equation, and the norms that it divides by before."""

    def said(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, Dot):
            return None
        x, y = model.sources_of(node)
        places, before = node.layer.places(x.type, y.type), []
        if node.layer.normalize:
            before = [
                Node(
                    f"{node.name}.unit_{number}",
                    UnitLength(axis, LEAST_NORM),
                    (of.name,),
                    of.type,
                    node.source,
                    variable=f"unit_{number}",
                )
                for number, (of, axis) in enumerate(zip((x, y), places, strict=True), 1)
            ]
        ranks = x.type.rank, y.type.rank
        op = RowDots() if ranks == (2, 2) else Einsum(equation_of(ranks, places))
        inputs = tuple(one.name for one in before) or node.inputs
        return [*before, replace(node, layer=op, inputs=inputs)]

    return model.rewrite(said)


# Masks


@dataclass
class _Masked:
    """Nodes in the making of a merge that leaves out what masks leave out.

    Attributes:
        node: The merge.
        own: The mask of the result, if it is there.
        nodes: What stands for it so far.
    """

    node: Node
    own: Node | None
    nodes: list[Node] = field(default_factory=list)

    def add(self, what: str, layer: Layer | Op, read: tuple[Node, ...], kind: TensorType) -> Node:
        """Put a node; without a name of its own, it is the last."""
        name, inputs = f"{self.node.name}.{what}", tuple(node.name for node in read)
        made = Node(name, layer, inputs, kind, self.node.source)
        made = made if what else replace(self.node, layer=layer, inputs=inputs)
        self.nodes.append(made)
        return made

    def choose(self, what: str, x: Node, mask: Node, other: Node) -> Node:
        """Put a node that gives one tensor where a mask keeps a step, and another elsewhere."""
        return self.add(what, Chosen(), (x, other, mask), self.type_of(x, other))

    def either(self, what: str, masks: list[Node]) -> Node:
        """A mask that keeps what one of several keeps, be it one of them."""
        if len({mask.name for mask in masks}) == 1:
            return masks[0]
        name = f"{self.node.name}.{what}"
        made = _join(name, self.node, EitherMask(), masks, masks)
        self.nodes.append(made)
        return made

    def type_of(self, *xs: Node) -> TensorType:
        """The type of what the layer makes of some tensors."""
        return infer(self.node.layer, tuple(x.type for x in xs), self.node.source)[0]


def _join(name: str, node: Node, op: Layer | Op, xs: list[Node], masks: list[Node]) -> Node:
    """The node that joins masks as a layer does."""
    kinds = tuple(x.type for x in xs), tuple(mask.type for mask in masks)
    kind = named_sizes(node.layer.joined_mask(*kinds), node.source)
    inputs = [mask.name for mask in masks]
    if isinstance(op, EitherMask):
        inputs = list(dict.fromkeys(inputs))
    return Node(name, op, tuple(inputs), kind, node.source, variable="mask")


def joined_mask(name: str, node: Node, xs: list[Node], masks: list[Node | None]) -> list[Node]:
    """The nodes of the mask that a layer makes of those of its inputs, the mask itself last."""
    layer, rank = node.layer, xs[0].type.rank
    if not isinstance(layer, Concatenate) or layer.joins_features(rank):
        known = [mask for mask in masks if mask is not None]
        return [_join(name, node, EitherMask(), xs, known)]
    full = {
        number: _full_mask(f"{name}_{number}", x, node.source)
        for number, (x, mask) in enumerate(zip(xs, masks, strict=True))
        if mask is None
    }
    each = [mask or full[number] for number, mask in enumerate(masks)]
    return [*full.values(), _join(name, node, Concatenate(layer.axis % rank), xs, each)]


def _full_mask(name: str, x: Node, source: str) -> Node:
    kind = TensorType(x.type.shape[:-1], x.type.axes[:-1], "bool")
    return Node(name, FullMask(), (x.name,), kind, source, variable="mask")


def under_masks(node: Node, xs: list[Node], known: dict[int, Node], own: Node | None) -> list[Node]:
    """The nodes that stand for a merge of tensors of which some have masks.

    Args:
        node: The merge.
        xs: What it reads.
        known: The masks by the places of what they hold for.
        own: The mask of the result, where a node makes it already.
    """
    masks = [known.get(place) for place in range(len(xs))]
    multiplies = isinstance(node.layer, Multiply)
    if not known or (len(xs) == 1 and not multiplies):
        return [node]
    line = _Masked(node, own)
    (_multiply if multiplies else _compare)(line, xs, masks)
    return line.nodes


def _multiply(line: _Masked, xs: list[Node], masks: list[Node | None]) -> None:
    """A masked factor is 1, and the product 0 where all of them are masked."""
    known = [mask for mask in masks if mask is not None]
    whole = len(known) == len(xs)
    alike = whole and len({mask.name for mask in known}) == 1
    factors = [
        # Where one mask holds for all, nothing else is left of a step but the 0 in the end.
        x if mask is None or alike else line.add(f"factor_{n}", Filled(1), (x, mask), x.type)
        for n, (x, mask) in enumerate(zip(xs, masks, strict=True), 1)
    ]
    product = "product" if whole else ""
    last = line.add(product, line.node.layer, tuple(factors), line.node.type)
    if whole:
        either = line.own or line.either("either", known)
        line.add("", Filled(0), (last, either), line.node.type)


def _compare(line: _Masked, xs: list[Node], masks: list[Node | None]) -> None:
    """One after another is compared with what was found; what is masked is taken from the other."""
    found, kept = xs[0], masks[0]
    for number, (x, mask) in enumerate(zip(xs[1:], masks[1:], strict=True), 2):
        if mask is not None:
            x = line.choose(f"kept_{number}", x, mask, found)
        if kept is not None and kept is not mask:
            found = line.choose(f"found_{number}", found, kept, x)
        last = number == len(xs)
        kind = line.type_of(found, x)
        found = line.add("" if last else f"of_{number}", line.node.layer, (found, x), kind)
        if not last:
            both = kept is not None and mask is not None
            kept = line.either(f"either_{number}", [kept, mask]) if both else None
