"""Parts of a graph that stand in it several times: each kind of them becomes one class."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from seqgen.ir.graph import Model, Node, consumers
from seqgen.ir.scopes import Scope

# Numbers of layers that may differ between the uses of a class; they are arguments of modules.
VARIABLE = (
    *("filters", "units", "projection_dim", "kernel_size"),
    *("strides", "groups", "rate", "epsilon"),
)
# Kinds whose numbers and shapes of weights may differ.
VARIABLE_KINDS = frozenset(
    {f"{kind}{rank}D" for kind in ("Conv", "DepthwiseConv") for rank in (1, 2, 3)}
    | {"BatchNormalization", "Dense", "Dropout", "LayerNormalization", "LayerScale"}
)
# What PyTorch's model has no word for.
WITHOUT_TRACE = re.compile(
    r"_(initializer|regularizer|constraint)$|^(name|seed|dtype|input_shape)$"
)

Number = int | float
Path = tuple[str | int, ...]
Signature = tuple[object, ...]


@dataclass(eq=False)
class Kind:
    """What several parts have in common: the same steps, up to numbers.

    Attributes:
        whole: Whether names say that each is all of something.
        uses: The parts.
    """

    whole: bool = True
    uses: list["Block"] = field(default_factory=list)


@dataclass(eq=False)
class Block:
    """A part of a graph: some items in a row of which only the last is read outside.

    Attributes:
        kind: What it is one of.
        items: Its nodes, and blocks within.
        taken: Names of the values that it takes.
    """

    kind: Kind
    items: tuple["Node | Block", ...]
    taken: tuple[str, ...]

    @property
    def nodes(self) -> Iterator[Node]:
        """The nodes, those of blocks within in their place."""
        for item in self.items:
            if isinstance(item, Node):
                yield item
            else:
                yield from item.nodes

    @property
    def prefix(self) -> str:
        """What most names within begin with; empty if nothing."""
        return prefix_of([node.source.rpartition("/")[2] for node in self.nodes])

    @property
    def suffix(self) -> str:
        """What most names within end with; empty if nothing."""
        return suffix_of([node.source.rpartition("/")[2] for node in self.nodes])

    @property
    def last(self) -> Node:
        """The node whose value it gives."""
        item = self.items[-1]
        return item if isinstance(item, Node) else item.last


Item = Node | Block | Scope


def numbers(node: Node) -> dict[Path, Number]:
    """The numbers of a node that may differ between the uses of a class, by where they stand."""
    if node.kind not in VARIABLE_KINDS:
        return {}
    found: dict[Path, Number] = {
        ("weights", place, axis): size
        for place, weight in enumerate(node.weights)
        for axis, size in enumerate(weight.shape)
    }
    for name in VARIABLE:
        value = getattr(node.layer, name, None)
        if isinstance(value, tuple) and value and len(set(value)) == 1:
            value = value[0]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found["layer", name] = value
    if isinstance(node.pads, tuple) and len({amount for pair in node.pads for amount in pair}) == 1:
        found["pads",] = node.pads[0][0]
    return found


def signature(node: Node) -> Signature:
    """What two nodes must have in common to be the same step of a class."""
    free = numbers(node)
    layer = node.layer
    names = getattr(layer, "kinds", None)
    arguments: list[object] = [layer] if names is None else []
    for name in names or ():
        if not WITHOUT_TRACE.search(name):
            value = getattr(layer, name)
            arguments.append(type(value) if ("layer", name) in free else repr(value))
    shapes = [len(w.shape) if ("weights", 0, 0) in free else w.shape for w in node.weights]
    weights = [(weight.name, weight.trainable, weight.dtype) for weight in node.weights]
    pads = len(node.pads or ()) if ("pads",) in free else node.pads
    order = (node.perm, node.rows, node.columns, node.part, node.type.axes, node.type.dtype)
    said = (node.kind, node.trainable, *arguments, *shapes, *weights, pads, *order)
    return said


def reads(item: Item) -> tuple[str, ...]:
    """Names of the values that an item takes."""
    return item.inputs if isinstance(item, Node) else item.taken  # type: ignore[union-attr]


def given(item: Item) -> list[str]:
    """Names of the values that are made within an item."""
    return [item.name] if isinstance(item, Node) else [node.name for node in item.nodes]


def lines_of(item: Item) -> int:
    """Lines that an item takes: in `forward`, in the constructor and in the loader."""
    if isinstance(item, Node):
        return 1 + bool(item.weights) + len(item.weights)
    return 2


def follows(first: Item, second: Item) -> bool:
    """Whether an item is a block that takes just what another one of its kind gives."""
    if not isinstance(first, Block) or not isinstance(second, Block):
        return False
    return first.kind is second.kind and second.taken == (first.last.name,)


def stems_of(name: str) -> list[str]:
    """What a name begins with, up to each of its numbers: `conv2`, `conv2_block1`, ..."""
    return [name[: found.end()] for found in re.finditer(r"\d[a-z]?(?=_|$)", name)]


def prefix_of(names: Sequence[str]) -> str:
    """What most names of a part begin with, up to a number: `conv2_block1`; empty if nothing."""
    return _common([stem for name in names for stem in stems_of(name)], len(names))


def suffix_of(names: Collection[str]) -> str:
    """What most names of a part end with, from a word to a number: `left1_5`; empty if nothing."""
    ends = (name[found.end() :] for name in names for found in re.finditer("_(?=[a-z])", name))
    return _common([end for end in ends if re.search(r"\d", end)], len(names))


def _common(parts: Sequence[str], count: int) -> str:
    """The longest of what most of a number of names have."""
    common = [part for part, found in Counter(parts).items() if found * 5 >= count * 3]
    return max(common, key=len, default="")


def stages(items: Sequence[Item], model: Model) -> Iterator[list[Item]]:
    """Items one by one, and blocks that follow each other and are called alike together."""
    readers = consumers(model)
    stage: list[Item] = []
    for item in items:
        if stage and not _continues(stage[-1], item, model, readers):
            yield stage
            stage = []
        stage.append(item)
    if stage:
        yield stage


def _continues(before: Item, item: Item, model: Model, readers: dict[str, list[Node]]) -> bool:
    """Whether an item is a block that takes what the one before gives, as nothing else does."""
    if not isinstance(before, Block) or not isinstance(item, Block):
        return False
    # A stack takes one value.
    if len(before.taken) > 1:
        return False
    given = before.last.name
    own = {node.name for node in item.nodes}
    alone = given not in model.outputs and all(node.name in own for node in readers[given])
    return alone and item.taken == (given,) and stage_of(before) == stage_of(item)


def stage_of(block: Block) -> str:
    """What blocks in a row have in common by name: `conv2_block` of `conv2_block1`."""
    return re.sub(r"_?(\d+|[a-z])$", "", block.prefix)
