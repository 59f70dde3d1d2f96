"""Functions of ONNX programs for what a graph has several times, and the calls of them."""

import builtins
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from jinja2 import UndefinedError

from seqgen import marks
from seqgen.ir.graph import Model, Node
from seqgen.ir.scopes import Scope, branch_by_branch, scope_tree
from seqgen.layers.activation import Activation
from seqgen.layers.base import Weight
from seqgen.layers.objects import to_snake_case
from seqgen.naming import identifier
from seqgen.render import Macros, literal
from seqgen.targets.arguments import DOTTED, NUMBER, STEM, Arguments, DiffersError
from seqgen.targets.blocks import Block, Item, Kind, Signature, prefix_of
from seqgen.targets.folding import fold
from seqgen.targets.onnx_pieces import Function, Helper, Piece, Within, short_of
from seqgen.targets.onnx_within import on_its_own, taken_by
from seqgen.targets.repeats import title_of

# What inputs of a function are called.
TAKEN = ("x", "y")
# The most numbers that stand in names.
MOST_NUMBERS = 3
# The variable of loops, and the fewest calls that are one.
PLACE = "i"
FEWEST_CALLS = 3
# How a loop begins: the nodes of its steps have names, too, which no function sees.
BODY = "make_graph("
# The fewest blocks of a kind that have a function of their own, as they are named otherwise.
FEWEST_OTHERS = 4
# What no function may be called, beside what the page defines: names of arguments and variables.
LOCALS = {*TAKEN, STEM, DOTTED, NUMBER, PLACE, "channels"}


class Functions:
    """The functions of a graph, and the statements that call them.

    Args:
        model: The lowered model.
        macros: Those of ONNX.
        attributes: Gives those attributes of a node that may differ between the uses of a function.
        signature: Gives what two nodes must have in common to be the same step.
        helper: Gives the function of the program that makes a node; None if that is `make_node`.
        taken: Names that functions may not have.
        least: The fewest nodes of a model within that has a function of its own.
        scope: What of the graph the functions are for, if not for all of it.

    Attributes:
        made: The functions, each behind those that it calls.
        pieces: The statements.
    """

    def __init__(
        self,
        model: Model,
        macros: Macros,
        attributes: Callable[[Node], dict[str, Any]],
        signature: Callable[[Node], Signature],
        helper: Callable[[Node], Helper | None],
        taken: Collection[str],
        least: int,
        scope: Scope | None = None,
    ) -> None:
        self._model = model
        self._macros = macros
        self._attributes = attributes
        self._signature = signature
        self._helper = helper
        self._taken = {*dir(builtins), *taken}
        # The function of each block that one makes, and what that takes.
        self._calls: dict[Block, tuple[Function, dict[str, Any]]] = {}
        self._arguments: dict[Function, Arguments] = {}
        self._least = least
        self.made: list[Function | Within] = []
        self.pieces: list[Piece] = []
        for items in self._rows(scope or branch_by_branch(scope_tree(model), model)):
            self._write(items)

    def _rows(self, scope: Scope) -> Iterator[list[Item | Within]]:
        """The items of a scope and of those within, with functions for what repeats."""
        kinds: list[Kind] = []
        items = fold(scope.items, self._model, kinds, self._signature, lines_of)
        for kind in kinds:
            self._add(kind)
        row: list[Item | Within] = []
        for item in items:
            within = self._within(item) if isinstance(item, Scope) else None
            if within:
                row.append(within)
            elif isinstance(item, Scope):
                yield row
                yield from self._rows(item)
                row = []
            else:
                row += self._written(item)
        yield row

    def _within(self, scope: Scope) -> Within | None:
        """The function of a model within; None if it is short, or needs the names as they are."""
        if sum(1 for _ in scope.nodes) < self._least or len(scope.path) > 1:
            return None
        found = on_its_own(scope, self._model)
        if found is None:
            return None
        own, model = found
        name = identifier(to_snake_case(scope.path[0]), self._taken | LOCALS, ())
        self._taken.add(name)
        functions = Functions(
            model,
            self._macros.of(model),
            self._attributes,
            self._signature,
            self._helper,
            self._taken,
            self._least,
            own,
        )
        if any(BODY in line for made in (functions, *functions.made) for line in _lines(made)):
            return None
        self._taken |= functions._taken
        within = Within(name, scope.path[0], taken_by(own), tuple(functions.pieces))
        self.made += [*functions.made, within]
        return within

    def _written(self, item: Node | Block) -> list[Item]:
        """An item, or what is in it where no function makes it."""
        if isinstance(item, Node) or item in self._calls:
            return [item]
        return list(chain.from_iterable(map(self._written, item.items)))

    def _add(self, kind: Kind) -> None:
        """Make a function of those blocks of a kind whose names differ by the same rule."""
        patterns: dict[object, list[Block]] = {}
        for use in kind.uses:
            patterns.setdefault(_pattern(use), []).append(use)
        first, *others = sorted(patterns.values(), key=len, reverse=True)
        for uses in [first, *(own for own in others if len(own) >= FEWEST_OTHERS)]:
            if len(uses) > 1:
                self._add_function(uses)

    def _add_function(self, uses: list[Block]) -> None:
        """Make the function of some blocks, if arguments can say how they differ."""
        words = re.sub("_+", "_", to_snake_case(title_of(uses[0])))
        name = identifier(words, self._taken | LOCALS, ())
        for way in _ways(uses, self._taken | {name}):
            try:
                arguments = way()
                lines = tuple(self._body([use.items for use in uses], arguments))
                if arguments.numbers and arguments.most_used != next(iter(arguments.numbers)):
                    arguments = way(number_values=arguments.numbers[arguments.most_used])
                    lines = tuple(self._body([use.items for use in uses], arguments))
            except DiffersError:
                continue
            break
        else:
            return
        self._taken.add(name)
        variables = tuple(f"{own} = {made}" for own, made in arguments.variables.items())
        function = Function(name, tuple(_declared(arguments)), variables, lines)
        self.made.append(function)
        self._arguments[function] = arguments
        for place, use in enumerate(uses):
            given = {argument: values[place] for argument, values in arguments.all.items()}
            self._calls[use] = function, given

    def _body(self, uses: list[tuple[Node | Block, ...]], arguments: Arguments) -> Iterator[str]:
        """The lines that make the items of each use.

        Raises:
            DiffersError: They differ in more than arguments say.
        """
        for items in zip(*uses, strict=True):
            if isinstance(items[0], Node):
                yield self._node(items, arguments)
            elif all(item in self._calls for item in items):
                yield f"*{self._call(items, arguments)},"
            else:
                yield from self._body([item.items for item in items], arguments)

    def _node(self, nodes: tuple[Node, ...], arguments: Arguments) -> str:
        """The text that is that of each of some nodes, in its use."""
        tables = [self._attributes(node) for node in nodes]
        given = {
            key: arguments.value(key, tuple(table.get(key) for table in tables))
            for key in dict.fromkeys(chain.from_iterable(tables))
        }
        helper, *others = dict.fromkeys(map(self._helper, nodes))
        helper = None if others else helper
        name = arguments.name(tuple(node.name for node in nodes))
        inputs = tuple(map(arguments.name, zip(*(node.inputs for node in nodes), strict=True)))
        columns = zip(*(node.weights for node in nodes), strict=True)
        said = [self._weight(column, arguments, helper) for column in columns]
        texts = set()
        for node in nodes:
            weights = tuple(replace(w, **own) for w, own in zip(node.weights, said, strict=True))
            short = short_of(node, helper, given)
            texts.add(self._spelled(replace(short, name=name, inputs=inputs, weights=weights)))
        if len(texts) > 1:
            raise DiffersError
        return texts.pop()

    def _weight(
        self, weights: tuple[Weight, ...], arguments: Arguments, helper: Helper | None
    ) -> dict[str, Any]:
        """The shape and the key that stand for those of some weights; a helper knows the key."""
        shapes = zip(*(weight.shape for weight in weights), strict=True)
        said: dict[str, Any] = {"shape": tuple(map(arguments.size, shapes))}
        if helper is None:
            said["key"] = arguments.name(tuple(weight.key for weight in weights))
        return said

    def _spelled(self, node: Node) -> str:
        try:
            text = self._macros.spell(node)
        except (KeyError, UndefinedError):
            # The macro asks the model for what stands under a name.
            raise DiffersError from None
        if marks.TEXT in text or marks.NUMBER in text:
            raise DiffersError
        return text

    def _call(self, blocks: Sequence[Block], arguments: Arguments) -> str:
        """The call that makes one of some blocks of a function, in the use of that."""
        function = self._calls[blocks[0]][0]
        known = self._arguments[function]
        tables = [self._calls[block][1] for block in blocks]
        texts: dict[str, str] = {}
        # What it takes comes last: places are counted after its own name.
        for argument in sorted(tables[0], key=lambda name: name in TAKEN):
            values = tuple(table[argument] for table in tables)
            if argument in known.texts:
                texts[argument] = literal(arguments.name(values))
            elif argument in known.numbers:
                texts[argument] = arguments.number(values, argument)
            else:
                found = arguments.value(re.sub(r"_\d+$", "", argument), values)
                texts[argument] = "" if found is None else f"{argument}={literal(found)}"
        return f"{function.name}({', '.join(texts[name] for name in tables[0] if texts[name])})"

    def _write(self, items: list[Item | Within]) -> None:
        """Add the statements that make some items."""
        lines: list[str] = []
        start = 0
        while start < len(items):
            item = items[start]
            if isinstance(item, Within):
                lines.append(f"*{item.name}(),")
                start += 1
                continue
            if isinstance(item, Node):
                lines.append(self._macros.spell(short_of(item, self._helper(item), {})))
                start += 1
                continue
            count, piece = self._loop(items[start:])
            if piece:
                self._add_lines(lines)
                self.pieces.append(piece)
                lines = []
            else:
                lines.append(f"*{self._call([item], Arguments(closed=True))},")
            start += count
        self._add_lines(lines)

    def _add_lines(self, lines: list[str]) -> None:
        if lines and self.pieces and not self.pieces[-1].bounds:
            self.pieces[-1] = Piece((*self.pieces[-1].lines, *lines))
        elif lines:
            self.pieces.append(Piece(tuple(lines)))

    def _loop(self, items: list[Item]) -> tuple[int, Piece | None]:
        """The longest loop that begins with the first of some items, and how many it makes."""
        function = self._calls[items[0]][0]
        blocks: list[Block] = []
        for item in items:
            if not isinstance(item, Block) or self._calls[item][0] is not function:
                break
            blocks.append(item)
        for count in range(len(blocks), FEWEST_CALLS - 1, -1):
            arguments = Arguments(numbers=1, number=PLACE, closed=True)
            try:
                call = self._call(blocks[:count], arguments)
            except DiffersError:
                continue
            places = arguments.numbers[PLACE]
            if places == tuple(range(places[0], places[0] + count)):
                return count, Piece((call,), (places[0], places[-1]))
        return 1, None


def _lines(made: "Functions | Function | Within") -> Iterator[str]:
    """The nodes and calls of a function, or those outside of functions."""
    if isinstance(made, Function):
        yield from made.lines
    else:
        yield from (line for piece in made.pieces for line in piece.lines)


def lines_of(item: Item) -> int:
    """Lines that an item takes, about."""
    if not isinstance(item, Node):
        return 3
    if isinstance(item.layer, Activation) or item.kind in ("Activation", "ReLU"):
        return 1
    return {"BatchNormalization": 2, "Add": 3}.get(item.kind, 5)


def _ways(uses: list[Block], taken: Collection[str]) -> Iterator[Callable[..., Arguments]]:
    """What may tell uses apart, the plainest first: what they are called, or a number."""
    texts = dict(zip(TAKEN, zip(*(use.taken for use in uses), strict=True), strict=False))
    made = partial(Arguments, texts, taken=taken)
    stems = tuple(map(_stem, uses))
    if all(stems) and len(set(stems)) == len(uses):
        yield partial(made, stems)
        yield partial(made, stems, numbers=1, derived=True)
        yield partial(made, stems, numbers=MOST_NUMBERS)
    suffixes = tuple(use.suffix for use in uses)
    if all(suffixes):
        yield partial(made, suffixes)
        yield partial(made, suffixes, numbers=MOST_NUMBERS)
    yield partial(made, numbers=1)
    yield partial(made, numbers=MOST_NUMBERS)


def _stem(block: Block) -> str:
    """What most names of a block's own nodes begin with, those of models around included."""
    own = [item.source for item in block.items if isinstance(item, Node)]
    scope = block.last.source.rpartition("/")[0]
    prefix = prefix_of([source.rpartition("/")[2] for source in own]) or block.prefix
    return f"{scope}/{prefix}" if scope and prefix else prefix


def _pattern(block: Block) -> tuple[str, ...]:
    """The names within without what may tell uses apart: what most begin with, and numbers."""
    prefix, suffix = block.prefix, block.suffix
    rests = []
    for node in block.nodes:
        name = node.name.rpartition("/")[2]
        if prefix and name.startswith(prefix):
            name = f"*{name[len(prefix):]}"
        elif suffix:
            name = name.replace(suffix, "*")
        rests.append(re.sub(r"[0-9]+", "0", name))
    return tuple(rests)


def _declared(arguments: Arguments) -> Iterator[str]:
    """The parameters, those with a default last."""
    for name in arguments.texts:
        yield f"{name}: str"
    for name in arguments.numbers:
        yield f"{name}: int"
    for name, values in sorted(arguments.others.items(), key=lambda item: None in item[1]):
        types = {_type(value) for value in values if value is not None}
        kind = " | ".join(sorted(types))
        yield f"{name}: {kind} | None = None" if None in values else f"{name}: {kind}"


def _type(value: Any) -> str:
    return f"list[{type(value[0]).__name__}]" if isinstance(value, list) else type(value).__name__
