"""Parts of a graph that stand in it several times: each kind of them becomes one class."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from seqgen.ir.graph import Model, Node, consumers
from seqgen.ir.scopes import Scope

# The longest part that is looked for, in nodes.
LONGEST = 90
# Lines that a class must save before it is worth its own.
LEAST_SAVED = 15
# The fewest steps of a class, activations of layers not counted.
FEWEST_STEPS = 3
# Lines that a class takes besides what is in it.
OVERHEAD = 8
# Numbers of layers that may differ between the uses of a class; they are arguments of modules.
VARIABLE = ("filters", "units", "kernel_size", "strides", "groups", "rate", "epsilon")
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
        uses: The parts.
    """

    uses: list["Block"] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
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


def _can_fold(item: Item, model: Model) -> bool:
    """Whether an item may be part of a block: a plain step that no other one shares."""
    if not isinstance(item, Node):
        return isinstance(item, Block)
    plain = not (item.same_as or item.variable or item.mask or item.packed or item.wrapper)
    return plain and item.name not in model.shared and not getattr(item.layer, "stateful", False)


def _reads(item: Item) -> tuple[str, ...]:
    return item.inputs if isinstance(item, Node) else item.taken  # type: ignore[union-attr]


def _sources(item: Item) -> set[str]:
    nodes = (item,) if isinstance(item, Node) else item.nodes
    return {node.source for node in nodes}


def _cost(item: Item) -> int:
    """Lines that an item takes: in `forward`, in the constructor and in the loader."""
    if isinstance(item, Node):
        return 1 + bool(item.weights) + len(item.weights)
    return 2


@dataclass(frozen=True)
class _Windows:
    """The rows of items that could be blocks, grouped by what they have in common.

    Attributes:
        items: All items.
        groups: First and last place of each row of a group.
        named: Whether only rows count whose names say that they are parts of their own.
    """

    items: Sequence[Item]
    groups: list[list[tuple[int, int]]]
    named: bool = True

    @classmethod
    def of(
        cls,
        items: Sequence[Item],
        model: Model,
        last_use: dict[str, int],
        named: bool,
        signature: Callable[[Node], Signature],
    ) -> "_Windows":
        """All rows.

        Args:
            items: The items.
            model: The graph.
            last_use: The place of the last item that reads each value; beyond all for outputs.
            named: Whether only rows count whose names say that they are parts of their own.
            signature: What two nodes must have in common.
        """
        signatures: dict[object, int] = {}
        ids: list[int] = []
        for item in items:
            said: object = item.kind if isinstance(item, Block) else id(item)
            if isinstance(item, Node):
                said = signature(item)
            ids.append(signatures.setdefault(said, len(signatures)))
        tree: dict[object, int] = {}
        groups: dict[int, list[tuple[int, int]]] = {}
        uses = [
            last_use.get(item.last.name if not isinstance(item, Node) else item.name, -1)
            for item in items
        ]
        for start, first in enumerate(items):
            if start and _sources(items[start - 1]) & _sources(first):
                continue
            state, local, outside, needed = -1, {}, {}, -1
            for end in range(start, min(len(items), start + LONGEST)):
                item = items[end]
                if not _can_fold(item, model):
                    break
                reads = tuple(
                    (
                        (0, local[name])
                        if name in local
                        else (1, outside.setdefault(name, len(outside)))
                    )
                    for name in _reads(item)
                )
                local[item.name if isinstance(item, Node) else item.last.name] = end - start
                state = tree.setdefault((state, ids[end], reads), len(tree))
                alone = needed <= end and len(outside) <= 2
                needed = max(needed, uses[end])
                split = end + 1 < len(items) and _sources(item) & _sources(items[end + 1])
                if alone and not split and end > start:
                    groups.setdefault(state, []).append((start, end))
        return cls(items, [group for group in groups.values() if len(group) > 1], named)

    def apart(self, group: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The rows of a group that do not overlap, the first ones first."""
        found: list[tuple[int, int]] = []
        for start, end in group:
            if not found or start > found[-1][1]:
                found.append((start, end))
        return found

    def best(self) -> list[tuple[int, int]]:
        """The rows of the group that saves most; empty if none saves enough."""
        best: tuple[float, list[tuple[int, int]]] = (0, [])
        costs = [_cost(item) for item in self.items]
        for group in self.groups:
            rows = self.apart(group)
            start, end = rows[0]
            saved = (len(rows) - 1) * sum(costs[start : end + 1]) - OVERHEAD - len(rows)
            if len(rows) > 1 and saved >= LEAST_SAVED and saved * 1.5 > best[0]:
                score = saved * self._trust(rows)
                if score < LEAST_SAVED:
                    continue
                best = max(best, (score, rows), key=lambda found: found[0])
        return best[1]

    def _trust(self, rows: list[tuple[int, int]]) -> float:
        """How much the names speak for rows to be parts of their own; 0 where they speak against.

        Names with numbers, such as `conv2_block1_1_conv`, say what belongs together.
        """
        start, end = rows[0]
        items = self.items[start : end + 1]
        own = [
            place for place in range(1, len(items)) if _activates(items[place - 1], items[place])
        ]
        if len(items) - len(own) < FEWEST_STEPS or _is_loop(items):
            return 0
        prefixes = [prefix_of(self._names(start, end)) for start, end in rows]
        if not any(prefixes):
            return 0 if self.named else 1
        alone = "" not in prefixes and len(set(prefixes)) == len(prefixes)
        if not alone or not all(map(self._is_whole, prefixes, rows)):
            return 0
        # Each may be a part of a larger one that has a name: `block3_sepconv1` of `block3`.
        outer = {re.sub(r"_?[^_]*$", "", prefix) for prefix in prefixes}
        inner = len(outer) == len(rows) and all(re.search(r"\d[a-z]?$", stem) for stem in outer)
        return 0.75 if inner else 1.5

    def _is_whole(self, prefix: str, row: tuple[int, int]) -> bool:
        """Whether nothing beside a row begins with its prefix."""
        start, end = row
        around = [*range(max(0, start - 2), start), *range(end + 1, min(len(self.items), end + 3))]
        names = (name for place in around for name in self._names(place, place))
        return not any(name.startswith(f"{prefix}_") for name in names)

    def _names(self, start: int, end: int) -> list[str]:
        names = (source for item in self.items[start : end + 1] for source in _sources(item))
        return [name.rpartition("/")[2] for name in names]


def _is_loop(items: Sequence[Item]) -> bool:
    """Whether items begin or end with blocks in a row, which a loop says better than a class."""
    pairs = (items[:2], items[-2:])
    return all(isinstance(item, Block) for item in items) or any(
        follows(first, second) for first, second in pairs
    )


def follows(first: Item, second: Item) -> bool:
    """Whether an item is a block that takes just what another one of its kind gives."""
    if not isinstance(first, Block) or not isinstance(second, Block):
        return False
    return first.kind is second.kind and second.taken == (first.last.name,)


def _activates(before: Item, item: Item) -> bool:
    """Whether an item is the activation of the layer before it."""
    return isinstance(item, Node) and isinstance(before, Node) and before.source == item.source


def stems_of(name: str) -> list[str]:
    """What a name begins with, up to each of its numbers: `conv2`, `conv2_block1`, ..."""
    return [name[: found.end()] for found in re.finditer(r"\d[a-z]?(?=_|$)", name)]


def prefix_of(names: Sequence[str]) -> str:
    """What most names of a part begin with, up to a number: `conv2_block1`; empty if nothing."""
    counts = Counter(stem for name in names for stem in stems_of(name))
    common = [stem for stem, count in counts.items() if count * 5 >= len(names) * 3]
    return max(common, key=len, default="")


def fold(
    items: Sequence[Item],
    model: Model,
    kinds: list[Kind],
    signature: Callable[[Node], Signature] = signature,
) -> list[Item]:
    """The items with what stands among them several times as blocks.

    Names decide what belongs together. Where they do not, the structure does.

    Args:
        items: The nodes and models of a scope, in order.
        model: The graph.
        kinds: Takes the kinds of blocks, inner ones first.
        signature: What two nodes must have in common to be the same step.
    """
    folded = _folded(items, model, kinds, True, signature)
    inside = sum(len(_given(item)) for item in folded if isinstance(item, Block))
    if inside * 3 > sum(len(_given(item)) for item in items):
        return folded
    return _folded(folded, model, kinds, False, signature)


def _folded(
    items: Sequence[Item],
    model: Model,
    kinds: list[Kind],
    named: bool,
    signature: Callable[[Node], Signature],
) -> list[Item]:
    while True:
        rows = _Windows.of(items, model, _last_uses(items, model), named, signature).best()
        if not rows:
            return list(items)
        kind, starts, place = Kind(), dict(rows), 0
        folded: list[Item] = []
        while place < len(items):
            end = starts.get(place)
            if end is None:
                folded.append(items[place])
            else:
                folded.append(_block(kind, tuple(items[place : end + 1])))
            place = (place if end is None else end) + 1
        kinds.append(kind)
        items = folded


def _last_uses(items: Sequence[Item], model: Model) -> dict[str, int]:
    """The place of the last item that reads each value; beyond all for outputs."""
    places = {name: place for place, item in enumerate(items) for name in _given(item)}
    found = {}
    for name, readers in consumers(model).items():
        # What reads a value of a model within may stand outside of the scope.
        uses = [places.get(reader.name, len(items)) for reader in readers]
        found[name] = len(items) if name in model.outputs else max(uses, default=-1)
    return found


def _given(item: Item) -> list[str]:
    return [item.name] if isinstance(item, Node) else [node.name for node in item.nodes]


def _block(kind: Kind, items: tuple[Item, ...]) -> Block:
    made = {name for item in items for name in _given(item)}
    taken = dict.fromkeys(name for item in items for name in _reads(item) if name not in made)
    block = Block(kind, items, tuple(taken))  # type: ignore[arg-type]
    kind.uses.append(block)
    return block


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
    given = before.last.name
    own = {node.name for node in item.nodes}
    alone = given not in model.outputs and all(node.name in own for node in readers[given])
    return alone and item.taken == (given,) and stage_of(before) == stage_of(item)


def stage_of(block: Block) -> str:
    """What blocks in a row have in common by name: `conv2_block` of `conv2_block1`."""
    return re.sub(r"_?(\d+|[a-z])$", "", block.prefix)
