"""A lowered model as classes: what the torch page walks through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from seqgen.ir.graph import Model, Node
from seqgen.ir.sequences import keeps_states
from seqgen.layers.activation import Activation
from seqgen.layers.base import Layer
from seqgen.naming import identifier

MAIN = "x"
# What stands beside it.
BRANCH = "y"
# What parts of layers that run both ways begin with.
DIRECTIONS = ("forward", "backward")
# What programs call by these names in `forward`.
RESERVED = ("F", "nn", "self", "torch")


@dataclass(frozen=True)
class Call:
    """A use of a class.

    Attributes:
        cls: The class.
        same: The node here for each node of the class, where that was made for another use.
        place: Its number in the stack that it is part of; empty if it is part of none.
    """

    cls: "Class"
    same: dict[str, str] = field(default_factory=dict)
    place: str = ""

    def within(self, same: Mapping[str, str]) -> Mapping[str, str]:
        """The node for each node of the class, inside another use for which `same` says that."""
        return {name: same.get(own, own) for name, own in self.same.items()} or same


@dataclass(frozen=True)
class Step:
    """A statement of `forward`: the nodes that it nests, innermost first, or a call of a submodule.

    Attributes:
        nodes: The nodes.
        taken: Names of the values that it takes, in the order in which they are written.
        given: The nodes whose values it gives.
        calls: The classes that stand for the nodes, if some do: one, or several in a stack.
        attribute: Of the submodule.
        made: What makes the submodule, as source code.
        reads: The variables that it takes.
        targets: The variables that it sets.
    """

    nodes: tuple[Node, ...]
    taken: tuple[str, ...]
    given: tuple[Node, ...]
    calls: tuple[Call, ...] = ()
    attribute: str = ""
    made: str = ""
    reads: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @classmethod
    def of(cls, nodes: tuple[Node, ...]) -> "Step":
        """The statement that nests some nodes."""
        made = {node.name for node in nodes}
        names = (name for node in nodes for name in node.inputs if name not in made)
        return cls(nodes, tuple(names), nodes[-1:])

    @property
    def last(self) -> Node:
        """The node whose output the statement makes."""
        return self.nodes[-1]

    def path(self, call: Call) -> str:
        """The path of one of its submodules, below the class around."""
        return f"{self.attribute}.{call.place}" if call.place else self.attribute


@dataclass(frozen=True)
class Class:
    """A class of the program: the model, one nested in it, or a part that it has several times.

    Attributes:
        name: Its name.
        steps: Its statements in order.
        names: The attribute of each node that has one, by the node's name.
        frozen: The attributes of what stays in inference mode.
        taken: Names of the values that it takes.
        given: The nodes whose values it gives.
        stateful: The attributes of what keeps states from batch to batch.
        parameters: The variables that hold what it takes.
        results: The variables that hold what it gives.
        arguments: What its constructor takes: the name and the type of each.
        repeats: Whether it is a part that the model has several times.
    """

    name: str
    steps: tuple[Step, ...]
    names: dict[str, str]
    frozen: tuple[str, ...]
    taken: tuple[str, ...]
    given: tuple[Node, ...]
    stateful: tuple[str, ...]
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...] = ()
    repeats: bool = False

    @property
    def classes(self) -> Iterator["Class"]:
        """The classes that must stand before this one, and this one, each once."""
        seen: set[str] = set()
        for step in self.steps:
            for call in step.calls:
                for inner in call.cls.classes:
                    if inner.name not in seen:
                        seen.add(inner.name)
                        yield inner
        yield self

    @property
    def made(self) -> Iterator[tuple[Step, Node | None]]:
        """What the constructor makes: submodules, and nodes with an attribute; each once."""
        seen: set[str] = set()
        for step in self.steps:
            own = [node for node in step.nodes if node.name in self.names]
            for node in [None] if step.calls else own:
                name = self.names[node.name] if node else step.attribute
                if name not in seen:
                    seen.add(name)
                    yield step, node

    def leaves(self, same: Mapping[str, str] = MappingProxyType({})) -> Iterator[tuple[str, str]]:
        """The path of each attribute that stands for a node, and the name of that.

        Args:
            same: The node for each node of the class, where that was made for another use.
        """
        for step, node in self.made:
            if node is not None:
                yield self.names[node.name], same.get(node.name, node.name)
            for call in step.calls:
                for path, name in call.cls.leaves(call.within(same)):
                    yield f"{step.path(call)}.{path}", name


def nests(node: Node, before: Node | None) -> bool:
    """Whether an activation is written around the layer it was an argument of."""
    if before is None or not isinstance(node.layer, Activation):
        return False
    return node.source == before.source and node.inputs == (before.name,)


def stateful(steps: list[Step], names: dict[str, str]) -> Iterator[str]:
    """The attributes of what keeps states, submodules that have such among them."""
    for step in steps:
        if any(call.cls.stateful for call in step.calls):
            yield step.attribute
        elif not step.calls:
            yield from (names[node.name] for node in step.nodes if keeps_states(node))


class Variables:
    """Which variable holds each value, statement by statement.

    The main line is called `x`, and one that is made while `x` is still needed `y`. Further ones,
    and values that stand beside the main line, have names of their own.

    Args:
        model: With the nodes that make the values.
        steps: The statements in order.
        given: The nodes whose values are needed after the last one.
        reserved: Names that no variable may have.
        names: What values are called, by their nodes, where that is not the name of the node.
    """

    def __init__(
        self,
        model: Model,
        steps: list[Step],
        given: tuple[Node, ...],
        reserved: tuple[str, ...] = RESERVED,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._model = model
        self._names = names
        self._reserved = reserved
        self._steps = steps
        self._last_use = {name: i for i, step in enumerate(steps) for name in step.taken}
        self._last_use |= {node.name: len(steps) for node in given}
        self._holds: dict[str, str] = {}
        self.held: dict[str, str] = {}

    def _free(self, variable: str, index: int) -> bool:
        """Whether what a variable holds is not needed after a statement."""
        return self._last_use.get(self._holds.get(variable, ""), -1) <= index

    def _choose(self, node: Node, index: int, taken: tuple[str, ...]) -> str:
        own = self.held[taken[0]] if taken else MAIN
        for variable in () if node.variable else (MAIN, own):
            if self._free(variable, index):
                return variable
        # A part of a layer begins with the direction that it runs in.
        in_use = {MAIN, *(v for v in self._holds if not self._free(v, index))}
        direction = node.part.partition("_")[0]
        name = node.variable or (direction if direction in DIRECTIONS else "")
        if not name and BRANCH not in in_use:
            return BRANCH
        own_name = self._names.get(node.name) or node.name.rpartition("/")[2]
        return identifier(name or own_name, in_use, self._reserved)

    def _keep(self, name: str, index: int, taken: tuple[str, ...] = (), chosen: str = "") -> str:
        """Choose a variable for the value of a node that a statement makes of what it takes."""
        variable = chosen or self._choose(self._model.by_name[name], index, taken)
        self._holds[variable] = name
        self.held[name] = variable
        return variable

    def name(self, taken: tuple[str, ...], alone: str = MAIN, kept: bool = False) -> Iterator[Step]:
        """The statements with the variables that they take and set.

        Args:
            taken: Names of the values that are there before the first one, the main line first.
            alone: The variable for a single one of them.
            kept: Whether they are needed after the last one.
        """
        self._last_use |= dict.fromkeys(taken if kept else (), len(self._steps))
        for name in taken:
            self._keep(name, -1, chosen=alone if len(taken) == 1 else "")
        for index, step in enumerate(self._steps):
            reads = tuple(self.held[value] for value in step.taken)
            targets = tuple(self._keep(node.name, index, step.taken) for node in step.given)
            yield replace(step, reads=reads, targets=targets)


def add_node(steps: list[Step], node: Node) -> None:
    """Put a node behind statements, within the last one where it is its activation."""
    if steps and not steps[-1].calls and nests(node, steps[-1].last):
        steps[-1] = Step.of((*steps[-1].nodes, node))
    else:
        steps.append(Step.of((node,)))


def says_the_same(first: Node, second: Node) -> bool:
    """Whether two nodes compute the same of what they read."""
    names = ("perm", "pads", "rows", "columns", "part")
    same = all(getattr(first, name) == getattr(second, name) for name in names)
    if isinstance(first.layer, Layer) and isinstance(second.layer, Layer):
        return same and first.layer.equals(second.layer)
    return same and first.layer == second.layer


def correspondence(before: tuple[Node, ...], nodes: tuple[Node, ...]) -> dict[str, str] | None:
    """For each node that some nodes make or read, the one in its place for others like them.

    None if they do not compute the same.
    """
    same: dict[str, str] = {}
    if len(before) != len(nodes):
        return None
    for first, second in zip(before, nodes, strict=True):
        if not says_the_same(first, second) or len(first.inputs) != len(second.inputs):
            return None
        pairs = zip((*first.inputs, first.name), (*second.inputs, second.name), strict=True)
        if any(same.setdefault(a, b) != b for a, b in pairs):
            return None
    return same
