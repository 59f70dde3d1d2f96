"""The classes of what a graph has several times, with what differs as arguments."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from seqgen.ir.graph import Node
from seqgen.ir.types import TensorType
from seqgen.naming import class_name, identifier
from seqgen.render import Source
from seqgen.targets.blocks import Block, Kind, Number, Path, numbers, stage_of, stems_of
from seqgen.targets.modules import Call, Class, Step, add_node
from seqgen.targets.varying import varying

if TYPE_CHECKING:
    from seqgen.targets.classes import Classes

Values = tuple[Number, ...]

# Arguments that are given by name, and what they are if they are not given.
KEYWORDS: dict[str, Number | None] = {
    "stride": 1,
    "kernel_size": None,
    "padding": None,
    "groups": None,
    "eps": None,
    "rate": None,
}
# What arguments are called, by where the number stands in a layer.
ROLES = {
    "strides": "stride",
    "epsilon": "eps",
    "filters": "channels",
    "units": "features",
    "projection_dim": "channels",
}
# Kinds of layers by what a class of several is called after them.
WORDS = {
    "BatchNormalization": "Norm",
    "DepthwiseConv2D": "Depthwise",
    "LayerNormalization": "Norm",
    "ZeroPadding2D": "Pad",
}


class Parameters:
    """The numbers of a class that differ between its uses, each as one of few arguments.

    Args:
        columns: For every such number what it is called, and its value in each use.

    Attributes:
        values: The arguments of each use by name: sizes first, then the others.
    """

    def __init__(self, columns: list[tuple[str, Values]]) -> None:
        self.values: dict[str, Values] = {}
        roles: dict[Values, str] = {}
        for role, values in columns:
            if len(set(values)) > 1:
                roles.setdefault(values, role)
        # What is a multiple of another number is no argument.
        own = {v: role for v, role in roles.items() if not any(_times(o, v) for o in roles)}
        for keyword in (False, True):
            for values, role in own.items():
                if (role in KEYWORDS) == keyword:
                    self.values[identifier(role, self.values, ())] = values

    def stand_in(self, values: Values) -> Any:
        """What stands for a number: itself, an argument, or a multiple of one."""
        for name, known in self.values.items():
            if known == values:
                return varying(values, name)
        for name, known in self.values.items():
            times = _times(known, values)
            if times:
                return varying(values, f"{times} * {name}")
        return values[0]


def _times(known: Values, values: Values) -> int:
    """By what all numbers are larger than others; 0 if they are not by the same whole number."""
    if not all(isinstance(value, int) and value for value in (*known, *values)):
        return 0
    factors = {divmod(value, other) for value, other in zip(values, known, strict=True)}
    factor, *more = factors
    return int(factor[0]) if not more and factor[1] == 0 and factor[0] > 1 else 0


def _role(node: Node, path: Path) -> str:
    """What a number of a node is called where it is an argument."""
    if path[0] == "weights":
        weight, axis = node.weights[int(path[1])], int(path[2])
        noun = "features" if node.kind == "Dense" else "channels"
        if not weight.name.endswith("kernel"):
            return noun
        return {1: noun, 2: f"in_{noun}"}.get(len(weight.shape) - axis, "kernel_size")
    name = str(path[-1])
    return {"pads": "padding"}.get(name, ROLES.get(name, name))


class Repeats:
    """The classes of the kinds of blocks of a graph.

    Args:
        classes: Those of the whole model.
        kinds: The kinds, inner ones first.
    """

    def __init__(self, classes: "Classes", kinds: list[Kind]) -> None:
        self._classes = classes
        self._made: dict[Kind, Class] = {}
        # The arguments of each use, in the order of the constructor.
        self._given: dict[Block, tuple[Number, ...]] = {}
        for kind in kinds:
            self._made[kind] = self._class(kind)

    def _class(self, kind: Kind) -> Class:
        first = kind.uses[0]
        parts = [[use.items[place] for use in kind.uses] for place in range(len(first.items))]
        parameters = Parameters([column for items in parts for column in self._columns(items)])
        arguments = tuple((name, _declared(name, v)) for name, v in parameters.values.items())
        for number, use in enumerate(kind.uses):
            self._given[use] = tuple(values[number] for values in parameters.values.values())
        name = class_name(title_of(first), ())
        if name in self._classes.taken and name[-1].isdigit():
            # The number is that of the layers, which says something: `Block8`.
            name += "Part"
        while name in self._classes.taken:
            # Another kind of the same name: `Block2`.
            number = re.search(r"\d*$", name)
            count = int(number[0] or 1) + 1 if number else 2
            name = re.sub(r"\d*$", "", name) + str(count)
        self._classes.taken.add(name)
        names = self._names(first)
        steps: list[Step] = []
        for place, items in enumerate(parts):
            if isinstance(items[0], Node):
                add_node(steps, _with_numbers(items, parameters))  # type: ignore[arg-type]
            else:
                steps.append(self._inner(kind, place, parameters))
        called = {node.name: _called(first, node) for node in first.nodes}
        return self._classes.finished(
            name, steps, names, first.taken, (first.last,), arguments, called
        )

    def _columns(self, items: list[Node | Block]) -> Iterator[tuple[str, Values]]:
        """The numbers of the items at one place of all uses, and what they are called."""
        first = items[0]
        if isinstance(first, Node):
            tables = [numbers(item) for item in items if isinstance(item, Node)]
            for path in tables[0]:
                yield _role(first, path), tuple(table[path] for table in tables)
        else:
            rows = (self._given[item] for item in items if isinstance(item, Block))
            names = (name for name, _ in self._made[first.kind].arguments)
            yield from zip(names, zip(*rows, strict=True), strict=False)

    def _inner(self, kind: Kind, place: int, parameters: Parameters) -> Step:
        """The call of a block within another one."""
        blocks = [use.items[place] for use in kind.uses]
        first = kind.uses[0].items[place]
        assert isinstance(first, Block)
        given = [parameters.stand_in(values) for _, values in self._columns(blocks)]
        attribute = identifier(_leaf(first, kind.uses[0]), self._taken_within(kind, place))
        step = self._step([first], attribute, self._spelled(first.kind, given))
        lasts = [block.last for block in blocks if isinstance(block, Block)]
        return replace(step, given=(replace(first.last, type=_common_type(lasts)),))

    def _taken_within(self, kind: Kind, place: int) -> set[str]:
        """Attributes of a class that come before one of its blocks."""
        first = kind.uses[0]
        taken = set(self._names(first).values())
        for item in first.items[:place]:
            if isinstance(item, Block):
                taken.add(identifier(_leaf(item, first), taken))
        return taken

    def _names(self, block: Block) -> dict[str, str]:
        """The attributes of a block's own nodes."""
        names: dict[str, str] = {}
        for item in block.items:
            if isinstance(item, Node) and self._classes.is_module(item):
                part = f"_{item.part}" if item.part else ""
                leaf = _called(block, item) + part
                names[item.name] = identifier(leaf, names.values())
        return names

    def stack(self, blocks: list[Block], attributes: set[str]) -> Step:
        """The call of one block, or of several in a row.

        Args:
            blocks: They have the same name up to a number.
            attributes: Those taken in the class around; the new one is added.
        """
        first = blocks[0]
        if len(blocks) > 1:
            leaf = f"{stage_of(first).strip('_') or 'block'}s"
            made = f"nn.Sequential({', '.join(self._parts(blocks))})"
        else:
            leaf = _plain(first.suffix) or first.prefix
            leaf = leaf or _plain(first.last.source.rpartition("/")[2])
            made = self._made_by(first)
        attribute = identifier(leaf, attributes)
        attributes.add(attribute)
        return self._step(blocks, attribute, made)

    def _step(self, blocks: list[Block], attribute: str, made: str) -> Step:
        several = len(blocks) > 1
        calls = tuple(
            Call(self._made[block.kind], _same(block), str(place) if several else "")
            for place, block in enumerate(blocks)
        )
        nodes = tuple(node for block in blocks for node in block.nodes)
        return Step(nodes, blocks[0].taken, (blocks[-1].last,), calls, attribute, made)

    def _spelled(self, kind: Kind, given: Sequence[Any]) -> str:
        """The call of the constructor of a class."""
        made = self._made[kind]
        texts = []
        for (name, _), value in zip(made.arguments, given, strict=True):
            role = re.sub(r"_\d+$", "", name)
            if role not in KEYWORDS:
                texts.append(str(value))
            elif value != KEYWORDS[role]:
                texts.append(f"{name}={value}")
        return f"{made.name}({', '.join(texts)})"

    def _made_by(self, block: Block) -> str:
        return self._spelled(block.kind, self._given[block])

    def _parts(self, blocks: list[Block]) -> Iterator[str]:
        """Blocks in a row as source code, with loops over those that are alike."""
        start = 0
        while start < len(blocks):
            end = start + 1
            while end < len(blocks) and self._is_loop(blocks[start : end + 1]):
                end += 1
            if end - start > 2 or (end - start > 1 and self._are_equal(blocks[start:end])):
                yield self._loop(blocks[start:end])
            else:
                end = start + 1
                yield self._made_by(blocks[start])
            start = end

    def _are_equal(self, blocks: list[Block]) -> bool:
        return len({self._given[block] for block in blocks}) == 1

    def _is_loop(self, blocks: list[Block]) -> bool:
        """Whether blocks are of one class, and one argument at most grows from each to the next."""
        if len({block.kind for block in blocks}) > 1:
            return False
        columns = list(zip(*(self._given[block] for block in blocks), strict=True))
        growing = [column for column in columns if len(set(column)) > 1]
        if not growing:
            return True
        steps = [{after - before for before, after in pairwise(column)} for column in growing]
        whole = all(isinstance(value, int) for value in growing[0])
        return whole and len(growing) == 1 and len(steps[0]) == 1

    def _loop(self, blocks: list[Block]) -> str:
        columns = list(zip(*(self._given[block] for block in blocks), strict=True))
        growing = [place for place, column in enumerate(columns) if len(set(column)) > 1]
        if not growing:
            return f"*({self._made_by(blocks[0])} for _ in range({len(blocks)}))"
        (place,) = growing
        column = columns[place]
        name = self._made[blocks[0].kind].arguments[place][0]
        step = int(column[1] - column[0])
        given: list[Any] = list(self._given[blocks[0]])
        given[place] = Source(name)
        bounds = f"{column[0]}, {column[-1] + step}" + (f", {step}" if step != 1 else "")
        return f"*({self._spelled(blocks[0].kind, given)} for {name} in range({bounds}))"


def _declared(name: str, values: Values) -> str:
    """The type of an argument, and what it is by itself if that is said."""
    kind = "int" if all(isinstance(value, int) for value in values) else "float"
    default = KEYWORDS.get(re.sub(r"_\d+$", "", name))
    return kind if default is None else f"{kind} = {default}"


def _same(block: Block) -> dict[str, str]:
    """The node of a block for each node of the first of its kind, and what they read alike."""
    first = block.kind.uses[0]
    same: dict[str, str] = {}
    for one, other in zip(first.nodes, block.nodes, strict=True):
        same |= zip((one.name, *one.inputs), (other.name, *other.inputs), strict=True)
    return same


def _with_numbers(nodes: Sequence[Node], parameters: Parameters) -> Node:
    """The first of some nodes with arguments in the place of the numbers that differ."""
    first, tables = nodes[0], [numbers(node) for node in nodes]
    made: dict[Path, Any] = {
        path: parameters.stand_in(tuple(table[path] for table in tables)) for path in tables[0]
    }

    def sized(place: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
        return tuple(made.get(("weights", place, axis), size) for axis, size in enumerate(shape))

    weights = tuple(
        replace(weight, shape=sized(place, weight.shape))
        for place, weight in enumerate(first.weights)
    )
    layer, pads = first.layer, first.pads
    changed = {path[1]: value for path, value in made.items() if path[0] == "layer"}
    if changed:
        layer = first.layer.snapshot()  # type: ignore[union-attr]
        for name, value in changed.items():
            old = getattr(layer, str(name))
            setattr(layer, str(name), (value,) * len(old) if isinstance(old, tuple) else value)
    if ("pads",) in made:
        pads = ((made["pads",],) * 2,) * len(first.pads or ())  # type: ignore[assignment]
    return replace(first, layer=layer, weights=weights, pads=pads, type=_common_type(nodes))


def _common_type(nodes: Sequence[Node]) -> TensorType:
    """The type of what nodes give, with names of axes for sizes that differ."""
    kind = nodes[0].type
    sizes = zip(*(node.type.shape for node in nodes), strict=True)
    shape = tuple(
        column[0] if len(set(column)) == 1 else axis
        for column, axis in zip(sizes, kind.axes, strict=True)
    )
    return replace(kind, shape=shape)


def title_of(block: Block) -> str:
    """What blocks of a kind are called: after the names within, or what they consist of."""
    adds = [node for node in block.nodes if node.kind == "Add"]
    shortcut = bool(adds) and block.taken[0] in adds[-1].inputs
    last = block.last.source.rpartition("/")[2]
    if block.suffix and last.endswith(f"_{block.suffix}"):
        return re.sub(r"_?\d+", "", last.removesuffix(f"_{block.suffix}"))
    words = re.sub(r"\d+", "", stage_of(block))
    if words and not block.kind.whole and last.startswith(f"{block.prefix}_"):
        # A piece of what is called so: it is called after what it gives.
        return f"{words}_{_plain(last[len(block.prefix) + 1 :])}"
    if words:
        return f"residual_{words}" if shortcut else words
    own = re.sub(r"_?\d+$", "", last)
    if own not in (last, getattr(block.last.layer, "auto_name", last)):
        return own
    stages = {_stage(use.last) for use in block.kind.uses}
    if len(stages) == 1 and stages != {""}:
        # The last layer is called after a block that names within do not speak of: `block35`.
        return stages.pop()
    kinds = dict.fromkeys(node.kind for node in block.nodes if node.weights)
    return "".join(WORDS.get(kind, re.sub(r"\dD$", "", kind)) for kind in kinds) or "Block"


def _stage(node: Node) -> str:
    """What the name of a layer begins with, up to the last but one of its numbers: `block35`."""
    leaf = node.source.rpartition("/")[2]
    *stages, _ = ["", *stems_of(leaf)] if leaf != getattr(node.layer, "auto_name", leaf) else [""]
    return stages[-1] if stages else ""


def _without(prefix: str, leaf: str) -> str:
    """The name of a layer without what its block is called: `conv_1` of `conv2_block1_1_conv`."""
    if prefix and leaf.startswith(f"{prefix}_"):
        rest = leaf[len(prefix) + 1 :]
        number = re.match(r"(\d+)_(.+)$", rest)
        return f"{number[2]}_{number[1]}" if number else rest
    if leaf == prefix and _plain(leaf) == leaf:
        return re.sub(r"\d+[a-z]?$", "", leaf).rpartition("_")[2] or leaf
    return _plain(leaf)


def _plain(leaf: str) -> str:
    return re.sub(r"_\d+$", "", leaf)


def _called(block: Block, node: Node) -> str:
    """What a layer of a block is called in the class of that."""
    leaf = node.source.rpartition("/")[2]
    if block.suffix:
        own = leaf.removesuffix(f"_{block.suffix}")
        return own if own != leaf else _plain(leaf)
    return _without(block.prefix, leaf)


def _leaf(block: Block, around: Block) -> str:
    """What a block is called in the class around."""
    if block.suffix and block.suffix != around.suffix:
        return _plain(block.suffix)
    own = block.prefix or next(block.nodes).source.rpartition("/")[2]
    if own == around.prefix:
        # A piece of what is called so.
        own = block.last.source.rpartition("/")[2]
    return _without(around.prefix, own)
