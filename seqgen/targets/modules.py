"""A lowered model as classes: what the torch page walks through."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from seqgen.ir.graph import Model, Node, consumers
from seqgen.ir.scopes import Scope
from seqgen.ir.sequences import keeps_states
from seqgen.layers.activation import Activation
from seqgen.naming import class_name, identifier

MAIN = "x"
# What programs call by these names in `forward`.
RESERVED = ("F", "nn", "self", "torch")


@dataclass(frozen=True)
class Step:
    """A statement of `forward`: the nodes that it nests, innermost first, or a submodule.

    Attributes:
        nodes: The nodes.
        submodule: The class that stands for them, if one does.
        reads: The variables that it takes.
        targets: The variables that it sets.
    """

    nodes: tuple[Node, ...]
    submodule: "Class | None" = None
    reads: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @property
    def last(self) -> Node:
        """The node whose output the statement makes."""
        return self.nodes[-1]

    @property
    def taken(self) -> tuple[str, ...]:
        """Names of the values that it takes, in the order in which they are written."""
        if self.submodule:
            return self.submodule.taken
        made = {node.name for node in self.nodes}
        names = (name for node in self.nodes for name in node.inputs if name not in made)
        return tuple(dict.fromkeys(names))

    @property
    def given(self) -> tuple[Node, ...]:
        """The nodes whose values it gives."""
        return self.submodule.given if self.submodule else (self.last,)


@dataclass(frozen=True)
class Class:
    """A class of the program: the model, or one nested in it.

    Attributes:
        name: Its name.
        attribute: The attribute that holds it in the class around it.
        steps: Its statements in order.
        names: The attribute of each node that has one, by the node's name.
        frozen: The attributes of what stays in inference mode.
        taken: Names of the values that it takes.
        given: The nodes whose values it gives.
        stateful: The attributes of what keeps states from batch to batch.
        parameters: The variables that hold what it takes.
        results: The variables that hold what it gives.
    """

    name: str
    attribute: str
    steps: tuple[Step, ...]
    names: dict[str, str]
    frozen: tuple[str, ...]
    taken: tuple[str, ...]
    given: tuple[Node, ...]
    stateful: tuple[str, ...]
    parameters: tuple[str, ...]
    results: tuple[str, ...]

    @property
    def classes(self) -> Iterator["Class"]:
        """The classes that must stand before this one, and this one."""
        for step in self.steps:
            if step.submodule:
                yield from step.submodule.classes
        yield self


def _nests(node: Node, before: Node | None) -> bool:
    """Whether an activation is written around the layer it was an argument of."""
    if before is None or not isinstance(node.layer, Activation):
        return False
    return node.source == before.source and node.inputs == (before.name,)


def _stateful(steps: list[Step], names: dict[str, str]) -> Iterator[str]:
    """The attributes of what keeps states, submodules that have such among them."""
    for step in steps:
        if step.submodule and step.submodule.stateful:
            yield step.submodule.attribute
        elif not step.submodule:
            yield from (names[node.name] for node in step.nodes if keeps_states(node))


class _Variables:
    """Which variable holds each value, statement by statement.

    The main line is called `x`. A value that stands beside it, or that is made while `x` is still
    needed, has a name of its own.

    Args:
        model: With the nodes that make the values.
        steps: The statements in order.
        given: The nodes whose values are needed after the last one.
    """

    def __init__(self, model: Model, steps: list[Step], given: tuple[Node, ...]) -> None:
        self._model = model
        self._steps = steps
        self._last_use = {name: i for i, step in enumerate(steps) for name in step.taken}
        self._last_use |= {node.name: len(steps) for node in given}
        self._holds: dict[str, str] = {}
        self.held: dict[str, str] = {}

    def _free(self, variable: str, index: int) -> bool:
        """Whether what a variable holds is not needed after a statement."""
        return self._last_use.get(self._holds.get(variable, ""), -1) <= index

    def _choose(self, node: Node, index: int) -> str:
        own = self.held.get(node.inputs[0], MAIN) if node.inputs else MAIN
        for variable in () if node.variable else (MAIN, own):
            if self._free(variable, index):
                return variable
        # A part of a layer begins with the direction that it runs in.
        name = node.variable or node.part.partition("_")[0] or node.name.rpartition("/")[2]
        taken = {MAIN, *(v for v in self._holds if not self._free(v, index))}
        return identifier(name, taken, RESERVED)

    def _keep(self, name: str, index: int) -> str:
        """Choose a variable for the value of a node that a statement makes."""
        variable = self._choose(self._model.by_name[name], index)
        self._holds[variable] = name
        self.held[name] = variable
        return variable

    def name(self, taken: tuple[str, ...]) -> Iterator[Step]:
        """The statements with the variables that they take and set.

        Args:
            taken: Names of the values that are there before the first one, the main line first.
        """
        for name in taken:
            self._keep(name, -1)
        for index, step in enumerate(self._steps):
            reads = tuple(self.held[value] for value in step.taken)
            targets = tuple(self._keep(node.name, index) for node in step.given)
            yield Step(step.nodes, step.submodule, reads, targets)


@dataclass
class Classes:
    """Makes the classes of a model.

    Attributes:
        model: The lowered model.
        is_module: Whether a node gets an attribute; the others are functions in `forward`.
        still: Kinds of layers that stay in inference mode while they are frozen.
        taken: Class names given so far.
    """

    model: Model
    is_module: Callable[[Node], bool]
    still: Collection[str]
    taken: set[str]

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        """The nodes that read each node, by its name."""
        return consumers(self.model)

    def make(self, scope: Scope, attribute: str = "") -> Class:
        """The class of a scope, and with it those of the scopes within."""
        name = class_name("_".join((self.model.name, *scope.path)), self.taken)
        self.taken.add(name)
        names = self._names(scope)
        steps: list[Step] = []
        for item in scope.items:
            if isinstance(item, Scope):
                inner = self.make(item, names["/".join(item.path)])
                steps.append(Step(tuple(item.nodes), inner))
            elif steps and not steps[-1].submodule and _nests(item, steps[-1].last):
                steps[-1] = Step((*steps[-1].nodes, item))
            else:
                steps.append(Step((item,)))
        taken, given = self._border(scope)
        variables = _Variables(self.model, steps, given)
        named = tuple(variables.name(taken))
        return Class(
            name,
            attribute,
            named,
            names,
            self._frozen(scope, names),
            taken,
            given,
            tuple(_stateful(steps, names)),
            tuple(variables.held[value] for value in taken),
            tuple(variables.held[node.name] for node in given),
        )

    def _border(self, scope: Scope) -> tuple[tuple[str, ...], tuple[Node, ...]]:
        """What a scope takes from outside, and what of it is needed there; the main line first."""
        own = {node.name: node for node in scope.nodes}
        read = [name for node in own.values() for name in node.inputs if name not in own]
        given = [node for node in own.values() if self._is_read_outside(node, own)]
        taken = sorted(dict.fromkeys(read), key=lambda name: self.model.by_name[name].variable)
        return tuple(taken), tuple(sorted(given, key=lambda node: node.variable))

    def _is_read_outside(self, node: Node, own: Collection[str]) -> bool:
        readers = self.readers[node.name]
        return node.name in self.model.outputs or any(r.name not in own for r in readers)

    def _names(self, scope: Scope) -> dict[str, str]:
        """The attributes of a scope's own nodes and of the scopes within."""
        names: dict[str, str] = {}
        attributes: set[str] = set()
        for item in scope.items:
            if isinstance(item, Scope):
                key, leaf = "/".join(item.path), item.path[-1]
            elif self.is_module(item):
                part = f"_{item.part}" if item.part else ""
                key, leaf = item.name, item.source.rpartition("/")[2] + part
            else:
                continue
            names[key] = identifier(leaf, attributes)
            attributes.add(names[key])
        return names

    def _frozen(self, scope: Scope, names: dict[str, str]) -> tuple[str, ...]:
        """The attributes of what stays in inference mode."""
        own = (item for item in scope.items if isinstance(item, Node))
        return tuple(
            names[node.name] for node in own if node.kind in self.still and not node.trainable
        )
