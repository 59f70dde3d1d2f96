"""How a program loads the weights of a file: one by one, or by layer and in loops."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from seqgen import marks
from seqgen.ir.graph import Model, Node
from seqgen.ir.types import Permutation
from seqgen.layers.objects import to_snake_case
from seqgen.naming import identifier
from seqgen.render import Source
from seqgen.targets.arguments import STEM, Arguments, DiffersError
from seqgen.targets.base import Move, Target
from seqgen.targets.blocks import prefix_of, suffix_of
from seqgen.targets.modules import Class

# The most numbers that rows hold.
MOST_NUMBERS = 3

Uses = list[tuple[str, Mapping[str, str]]]
# By the name of a weight here: its name in the file, and where its axes stand here.
Table = dict[str, tuple[str, Permutation]]


@dataclass(frozen=True)
class Layer:
    """The weights of a layer, all at once.

    Attributes:
        module: Path of the module, as source code.
        key: Path of the layer in the file, as source code.
        table: Name of the table of its weights.
    """

    module: str
    key: str
    table: str


@dataclass(frozen=True)
class Loop:
    """The layers of all uses of a class.

    Attributes:
        variables: What a row holds: where the use stands, and what names of layers hang on.
        rows: One for each use.
        layers: The layers of a use.
    """

    variables: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]
    layers: tuple[Layer, ...]


@dataclass
class Loading:
    """The weights of a program.

    Attributes:
        target: PyTorch, or one like it.
        model: The lowered model.
        main: The class of the model.
        placed: Every weight with its name in the state dict, in the order of the model.
        tables: The names of weights, for the layers that are loaded all at once.
        single: The weights that are loaded one by one.
        layers: The layers that are not in a loop.
        loops: Those that are.
    """

    target: Target
    model: Model
    main: Class
    placed: list[tuple[str, Move]] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    single: list[tuple[str, Move]] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)

    def __post_init__(self) -> None:
        # What is shared must lie alike for all that share it.
        self.target.all_moves(self.model)
        for path, name in self.main.leaves():
            self.placed += self._moves(path, name)
        uses: dict[str, tuple[Class, Uses]] = {}
        for path, node in self._outside(self.main, "", {}, uses):
            self._add_layer(path, node)
        for cls, all_uses in uses.values():
            self._add_loops(cls, all_uses)

    def _moves(self, path: str, name: str) -> list[tuple[str, Move]]:
        moves = self.target.moves(self.model, self.model.by_name[name])
        return [(f"{path}.{move.name}", move) for move in moves]

    def _outside(
        self, cls: Class, prefix: str, same: Mapping[str, str], uses: dict[str, tuple[Class, Uses]]
    ) -> Iterator[tuple[str, Node]]:
        """The layers that are part of no class with several uses, and with them those uses."""
        for step, node in cls.made:
            if node is not None:
                found = self.model.by_name[same.get(node.name, node.name)]
                yield prefix + cls.names[node.name], found
            for call in step.calls:
                path, inner = prefix + step.path(call), call.within(same)
                if call.cls.repeats:
                    uses.setdefault(call.cls.name, (call.cls, []))[1].append((path, inner))
                else:
                    yield from self._outside(call.cls, f"{path}.", inner, uses)

    def _table(self, nodes: Sequence[Node]) -> str | None:
        """Name of the table that says the weights of all of some nodes; None if none can."""
        own: Table = {}
        for node in nodes:
            for move in self.target.moves(self.model, node):
                layer, _, name = move.weight.key.rpartition(".")
                order = _order(move)
                if order is None or layer != node.weights[0].key.rpartition(".")[0]:
                    return None
                if own.setdefault(move.name, (name, order)) != (name, order):
                    return None
        kind = nodes[0].part or to_snake_case(nodes[0].kind)
        label = kind.upper()
        table = self.tables.setdefault(label, {})
        if any(table.get(name, said) != said for name, said in own.items()):
            return None
        table |= own
        return label

    def _add_layer(self, path: str, node: Node) -> None:
        """Load the weights of a layer that is part of no loop."""
        if not node.weights:
            return
        table = None if node.state else self._table([node])
        if table is None:
            self.single += self._moves(path, node.name)
        else:
            key = node.weights[0].key.rpartition(".")[0]
            self.layers.append(Layer(Source(repr(path)), Source(repr(key)), table))

    def _add_loops(self, cls: Class, uses: Uses) -> None:
        """Load the layers of the uses of a class, in a loop over those that are named alike."""
        leaves = [name for _, name in cls.leaves()]
        groups: dict[object, Uses] = {}
        for use in uses:
            groups.setdefault(_pattern([use[1][name] for name in leaves]), []).append(use)
        if len(groups) * 2 > len(uses):
            groups = {"": uses}
        for own in groups.values():
            if len(own) > 1:
                self._add_loop(cls, own)
                continue
            ((path, same),) = own
            for leaf, name in cls.leaves():
                self._add_layer(f"{path}.{leaf}", self.model.by_name[same[name]])

    def _add_loop(self, cls: Class, uses: Uses) -> None:
        """Load the layers of some uses of a class in a loop, as far as they have all in common."""
        leaves = list(cls.leaves())
        columns = Columns(uses, [[same[name] for _, name in leaves] for _, same in uses])
        layers: list[Layer] = []
        for path, name in leaves:
            nodes = [self.model.by_name[same[name]] for _, same in uses]
            if not nodes[0].weights:
                continue
            table = self._table(nodes)
            if table is None:
                for (use, _), node in zip(uses, nodes, strict=True):
                    self.single += self._moves(f"{use}.{path}", node.name)
                continue
            keys = tuple(node.weights[0].key.rpartition(".")[0] for node in nodes)
            layers.append(Layer(formatted("module", f".{path}"), columns.key(path, keys), table))
        if layers:
            variables, rows = columns.table
            self.loops.append(Loop(variables, rows, tuple(layers)))


class Columns:
    """What tells the uses of a class apart: what a row of a loop holds.

    Args:
        uses: The uses.
        names: Names of the layers of each.
    """

    def __init__(self, uses: Uses, names: list[list[str]]) -> None:
        self._whole: dict[str, tuple[str, ...]] = {"module": tuple(path for path, _ in uses)}
        self._stems = tuple(_stem(own) for own in names)
        suffixes = tuple(suffix_of([name.rpartition("/")[2] for name in own]) for own in names)
        self._parts = Arguments(
            stems=suffixes if all(suffixes) else (), numbers=MOST_NUMBERS, taken=("module", "layer")
        )
        self._uses_suffix = False

    def key(self, path: str, keys: tuple[str, ...]) -> str:
        """The keys of a layer in all uses as source code.

        Args:
            path: Where the layer stands in the class.
            keys: Its key in each use.
        """
        rests = {key.removeprefix(stem) for key, stem in zip(keys, self._stems, strict=True)}
        if all(self._stems) and len(rests) == 1 and all(map(str.startswith, keys, self._stems)):
            self._whole["layer"] = self._stems
            return formatted("layer", rests.pop())
        for variable, values in self._whole.items():
            if values == keys:
                return Source(variable)
        try:
            name = self._parts.name(keys)
        except DiffersError:
            variable = identifier(path.replace(".", "_"), {*self._whole, *self._parts.all})
            self._whole[variable] = keys
            return Source(variable)
        self._uses_suffix |= marks.text(STEM) in name
        return Source(marks.spelled(name) or repr(name))

    @property
    def table(self) -> tuple[tuple[str, ...], tuple[tuple[str | int, ...], ...]]:
        """The variables, and their values in each use."""
        columns: dict[str, tuple[str | int, ...]] = {**self._whole}
        if self._uses_suffix:
            columns[STEM] = self._parts.texts[STEM]
        columns |= self._parts.numbers
        return tuple(columns), tuple(zip(*columns.values(), strict=True))


def _order(move: Move) -> Permutation | None:
    """Where the axes of a variable stand here, if that is all that changes."""
    rank = len(move.weight.shape)
    if not move.steps:
        return tuple(range(rank))
    (step, numbers), *more = move.steps
    return numbers if step == "transpose" and not more and len(numbers) == rank else None


def _stem(names: Sequence[str]) -> str:
    """What the keys of layers of these names begin with; empty if there is nothing."""
    stem = prefix_of([name.rpartition("/")[2] for name in names])
    scope = names[0].rpartition("/")[0].replace("/", ".")
    return stem and (f"{scope}.{stem}" if scope else stem)


def _pattern(names: Sequence[str]) -> tuple[str, ...]:
    """Names without what tells the uses of a class apart."""
    leaves = [name.rpartition("/")[2] for name in names]
    if prefix_of(leaves):
        return ()
    suffix = suffix_of(leaves)
    rests = (name.replace(suffix, "*") if suffix else name for name in leaves)
    return tuple(re.sub(r"[0-9]+", "0", rest) for rest in rests)


def formatted(variable: str, text: str) -> str:
    """A string that begins with a variable, as source code."""
    plain = text.replace("{", "{{").replace("}", "}}")
    return Source("f" + repr(f"{{{variable}}}{plain}"))
