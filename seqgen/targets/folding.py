"""How parts that a graph has several times are found: at the top, and within each other."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from seqgen.ir.graph import Model, Node, consumers
from seqgen.targets.blocks import (
    Block,
    Item,
    Kind,
    Signature,
    follows,
    given,
    lines_of,
    prefix_of,
    reads,
    signature,
    stems_of,
    suffix_of,
)

# The longest part that is looked for, in nodes.
LONGEST = 90
# Lines that a class must save before it is worth its own.
LEAST_SAVED = 15
# The same for a part that has no name of its own, where most of the graph is in parts that do.
LEAST_SAVED_UNNAMED = 30
# The same where another part is just that already.
LEAST_SAVED_BY_USE = 5
# The fewest steps of a class, activations of layers not counted.
FEWEST_STEPS = 3
# Lines that a class takes besides what is in it.
OVERHEAD = 8


@dataclass(frozen=True)
class Row:
    """Items in a row that could be a block.

    Attributes:
        owner: The kind within whose uses they stand; None at the top.
        start: Place of the first one.
        end: Place of the last one.
    """

    owner: Kind | None
    start: int
    end: int


@dataclass
class Folding:
    """The items of a scope while blocks are made of them.

    Attributes:
        items: The items at the top.
        model: The graph.
        kinds: The kinds of blocks so far, inner ones first.
        signature: What two nodes must have in common to be the same step.
        cost: The lines that an item takes.
    """

    items: list[Item]
    model: Model
    kinds: list[Kind]
    signature: Callable[[Node], Signature]
    cost: Callable[[Item], int]
    _said: dict[str, Signature] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._readers = consumers(self.model)

    def all_of(self, owner: Kind | None) -> Sequence[Item]:
        """The items at the top, or in the first use of a kind."""
        return self.items if owner is None else owner.uses[0].items

    def named(self) -> None:
        """Make blocks of what names say to be parts of their own."""
        while self._fold(_named_best(self, self._groups([None]))):
            pass

    def unnamed(self, least: int) -> None:
        """Make blocks of what is alike, at the top and within blocks.

        Args:
            least: The lines that a kind must save.
        """
        while self._fold(_unnamed_best(self, self._groups([None, *self.kinds]), least)):
            pass

    def _groups(self, owners: Sequence[Kind | None]) -> list[list[Row]]:
        """The rows of items that could be blocks, grouped by what they have in common."""
        signatures: dict[object, int] = {}
        tree: dict[object, int] = {}
        groups: dict[int, list[Row]] = {}
        for owner in owners:
            items = self.all_of(owner)
            ids = [signatures.setdefault(self._of(item), len(signatures)) for item in items]
            for state, start, end in self._windows(items, ids, tree):
                groups.setdefault(state, []).append(Row(owner, start, end))
        return [group for group in groups.values() if len(group) > 1]

    def _of(self, item: Item) -> object:
        if isinstance(item, Block):
            return item.kind
        if not isinstance(item, Node):
            return id(item)
        if item.name not in self._said:
            self._said[item.name] = self.signature(item)
        return self._said[item.name]

    def _windows(
        self, items: Sequence[Item], ids: Sequence[int], tree: dict[object, int]
    ) -> Iterator[tuple[int, int, int]]:
        """What a row is like, its first and its last place, for all rows that could be blocks."""
        last_use = self._last_uses(items)
        names = [_name(item) for item in items]
        sources = [_sources(item) for item in items]
        plain = [_can_fold(item, self.model) for item in items]
        for start in range(len(items)):
            if start and sources[start - 1] & sources[start]:
                continue
            state, needed = -1, -1
            local: dict[str, int] = {}
            outside: dict[str, int] = {}
            for end in range(start, min(len(items), start + LONGEST)):
                if not plain[end]:
                    break
                read = tuple(
                    (
                        (0, local[name])
                        if name in local
                        else (1, outside.setdefault(name, len(outside)))
                    )
                    for name in reads(items[end])
                )
                local[names[end]] = end - start
                state = tree.setdefault((state, ids[end], read), len(tree))
                alone = needed <= end and len(outside) <= 2
                needed = max(needed, last_use.get(names[end], -1))
                split = end + 1 < len(items) and sources[end] & sources[end + 1]
                if alone and not split and end > start:
                    yield state, start, end

    def _last_uses(self, items: Sequence[Item]) -> dict[str, int]:
        """The place of the last item that reads each value; beyond all where that is outside."""
        places = {name: place for place, item in enumerate(items) for name in given(item)}
        found = {}
        for name in places:
            uses = [places.get(reader.name, len(items)) for reader in self._readers[name]]
            found[name] = len(items) if name in self.model.outputs else max(uses, default=-1)
        return found

    def _fold(self, rows: list[Row]) -> bool:
        """Make blocks of some rows that are alike; False if there are none."""
        if not rows:
            return False
        by_owner: dict[Kind | None, list[Row]] = {}
        for row in rows:
            by_owner.setdefault(row.owner, []).append(row)
        # What is all of a block elsewhere is one of its kind.
        same = next((row.owner for row in rows if self.is_all(row)), None)
        by_owner = {owner: own for owner, own in by_owner.items() if not same or owner is not same}
        kind = same or Kind(set(by_owner) == {None} and _trust(self.items, rows) > 0)
        # A kind stands before those that have it within.
        places = [self.kinds.index(owner) for owner in (same, *by_owner) if owner is not None]
        if same:
            self.kinds.remove(same)
        self.kinds.insert(min(places, default=len(self.kinds)), kind)
        for owner, own in by_owner.items():
            if owner is None:
                self.items = self._with_blocks(kind, self.items, own)
                continue
            for use in owner.uses:
                use.items = tuple(self._with_blocks(kind, use.items, own))
        return True

    def part(self, row: Row) -> Sequence[Item]:
        """The items of a row."""
        return self.all_of(row.owner)[row.start : row.end + 1]

    def is_all(self, row: Row) -> bool:
        """Whether a row is all that is in the blocks of a kind."""
        return row.owner is not None and row.end - row.start + 1 == len(row.owner.uses[0].items)

    def _with_blocks(self, kind: Kind, items: Sequence[Item], rows: list[Row]) -> list[Item]:
        starts = {row.start: row.end for row in rows}
        folded: list[Item] = []
        place = 0
        while place < len(items):
            end = starts.get(place)
            if end is None:
                folded.append(items[place])
            else:
                folded.append(_block(kind, tuple(items[place : end + 1])))
            place = (place if end is None else end) + 1
        return folded


def fold(
    items: Sequence[Item],
    model: Model,
    kinds: list[Kind],
    signature: Callable[[Node], Signature] = signature,
    cost: Callable[[Item], int] = lines_of,
) -> list[Item]:
    """The items with what stands among them several times as blocks.

    Names decide what belongs together. Where they do not, the structure does.

    Args:
        items: The nodes and models of a scope, in order.
        model: The graph.
        kinds: Takes the kinds of blocks, inner ones first.
        signature: What two nodes must have in common to be the same step.
        cost: The lines that an item takes.
    """
    folding = Folding(list(items), model, kinds, signature, cost)
    folding.named()
    inside = sum(len(given(item)) for item in folding.items if isinstance(item, Block))
    mostly = inside * 3 > sum(len(given(item)) for item in items)
    folding.unnamed(LEAST_SAVED_UNNAMED if mostly else LEAST_SAVED)
    return folding.items


def _named_best(folding: Folding, groups: list[list[Row]]) -> list[Row]:
    """The rows that save most, as far as names trust them; empty if none saves enough."""
    best: tuple[float, list[Row]] = (0, [])
    costs = [folding.cost(item) for item in folding.items]
    for group in groups:
        rows = _apart(group)
        saved = _saved(rows, costs)
        if saved >= LEAST_SAVED and saved * 1.5 > best[0]:
            score = saved * _trust(folding.items, rows)
            if score >= LEAST_SAVED:
                best = max(best, (score, rows), key=lambda found: found[0])
    return best[1]


def _unnamed_best(folding: Folding, groups: list[list[Row]], least: int) -> list[Row]:
    """The rows that save most and cut through no part with a name; empty if there are none."""
    best: tuple[int, list[Row]] = (0, [])
    costs = {owner: [*map(folding.cost, folding.all_of(owner))] for owner in (None, *folding.kinds)}
    for group in groups:
        most = _saved(_apart(group), costs[group[0].owner])
        # The class of what is all of a block is there already.
        whole = next((row for row in group if folding.is_all(row)), None)
        overhead, needed = (OVERHEAD, LEAST_SAVED_BY_USE) if whole else (0, least)
        if most + overhead < max(needed, best[0] + 1) or not _is_enough(folding.part(group[0])):
            continue
        rows = _apart([row for row in group if not _cuts(_names(folding.part(row)))])
        if len(rows) < 2 or (whole and not _is_one(whole, rows, folding)):
            continue
        saved = _saved(rows, costs[rows[0].owner]) + overhead
        if saved >= max(needed, best[0] + 1):
            best = saved, rows
    return best[1]


def _is_one(whole: Row, rows: list[Row], folding: Folding) -> bool:
    """Whether one row alone is all of a block."""
    return [row for row in rows if folding.is_all(row)] == [whole]


def _apart(group: list[Row]) -> list[Row]:
    """The rows of a group that do not overlap, the first ones first."""
    found: list[Row] = []
    for row in group:
        if not found or row.owner is not found[-1].owner or row.start > found[-1].end:
            found.append(row)
    return found


def _saved(rows: list[Row], costs: Sequence[int]) -> int:
    """The lines that a class for rows saves, of which the first one stands where costs say."""
    inside = sum(costs[rows[0].start : rows[0].end + 1])
    return (len(rows) - 1) * inside - OVERHEAD - len(rows)


def _trust(items: Sequence[Item], rows: list[Row]) -> float:
    """How much the names speak for rows to be parts of their own; 0 where they speak against.

    Names with numbers, such as `conv2_block1_1_conv`, say what belongs together.
    """
    parts = [items[row.start : row.end + 1] for row in rows]
    if not _is_enough(parts[0]):
        return 0
    prefixes = [prefix_of(_names(part)) for part in parts]
    if "" in prefixes or len(set(prefixes)) < len(prefixes):
        return 0
    if not all(_is_whole(items, prefix, row) for prefix, row in zip(prefixes, rows, strict=True)):
        return 0
    if any(_begins_otherwise(part, own) for part, own in zip(parts, prefixes, strict=True)):
        return 0
    # Each may be a part of a larger one that has a name: `block3_sepconv1` of `block3`.
    outer = {re.sub(r"_?[^_]*$", "", prefix) for prefix in prefixes}
    inner = len(outer) == len(rows) and all(re.search(r"\d[a-z]?$", stem) for stem in outer)
    return 0.75 if inner else 1.5


def _begins_otherwise(items: Sequence[Item], prefix: str) -> bool:
    """Whether some names begin with another prefix of the same kind, thus are of another part."""
    stems = {stem for name in _names(items) for stem in stems_of(name)}
    return any(_kind_of(stem) == _kind_of(prefix) for stem in stems - {prefix})


def _kind_of(stem: str) -> str:
    """What a beginning of names has in common with those of other parts."""
    return re.sub(r"\d+[a-z]?", "0", stem)


def _is_enough(items: Sequence[Item]) -> bool:
    """Whether items are steps enough for a class, and no loop."""
    own = sum(_activates(*pair) for pair in pairwise(items))
    return len(items) - own >= FEWEST_STEPS and not _is_loop(items)


def _is_whole(items: Sequence[Item], prefix: str, row: Row) -> bool:
    """Whether nothing beside a row begins with its prefix."""
    around = [*items[max(0, row.start - 2) : row.start], *items[row.end + 1 : row.end + 3]]
    return not any(name.startswith(f"{prefix}_") for name in _names(around))


def _cuts(names: Collection[str]) -> bool:
    """Whether names say that they are of several parts: `block1a_bn`, `block2a_conv`."""
    if suffix_of(names):
        return False
    counts = Counter(stem for name in names for stem in stems_of(name))
    alike: dict[str, list[str]] = {}
    for stem in counts:
        alike.setdefault(_kind_of(stem), []).append(stem)
    return any(
        len(stems) > 1 and sum(counts[stem] for stem in stems) * 5 >= len(names) * 3
        for stems in alike.values()
    )


def _names(items: Sequence[Item]) -> list[str]:
    return [name.rpartition("/")[2] for item in items for name in _sources(item)]


def _is_loop(items: Sequence[Item]) -> bool:
    """Whether items begin or end with blocks in a row, which a loop says better than a class."""
    pairs = (items[:2], items[-2:])
    return all(isinstance(item, Block) for item in items) or any(
        follows(first, second) for first, second in pairs
    )


def _activates(before: Item, item: Item) -> bool:
    """Whether an item is the activation of the layer before it."""
    return isinstance(item, Node) and isinstance(before, Node) and before.source == item.source


def _can_fold(item: Item, model: Model) -> bool:
    """Whether an item may be part of a block: a plain step that no other one shares."""
    if not isinstance(item, Node):
        return isinstance(item, Block)
    plain = not (item.same_as or item.variable or item.mask or item.packed or item.wrapper)
    return plain and item.name not in model.shared and not getattr(item.layer, "stateful", False)


def _sources(item: Item) -> set[str]:
    nodes = (item,) if isinstance(item, Node) else item.nodes
    return {node.source for node in nodes}


def _name(item: Item) -> str:
    return item.name if isinstance(item, Node) else item.last.name


def _block(kind: Kind, items: tuple[Item, ...]) -> Block:
    made = {name for item in items for name in given(item)}
    taken = dict.fromkeys(name for item in items for name in reads(item) if name not in made)
    block = Block(kind, items, tuple(taken))  # type: ignore[arg-type]
    kind.uses.append(block)
    return block
