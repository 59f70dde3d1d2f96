"""A lowered model as classes: what the torch page walks through."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node, consumers
from seqgen.ir.scopes import Scope
from seqgen.ir.sequences import keeps_states
from seqgen.layers.activation import Activation
from seqgen.layers.base import Layer
from seqgen.naming import class_name, identifier

MAIN = "x"
# What programs call by these names in `forward`.
RESERVED = ("F", "nn", "self", "torch")


@dataclass(frozen=True)
class Step:
    """A statement of `forward`: the nodes that it nests, innermost first, or a call of a submodule.

    Attributes:
        nodes: The nodes.
        taken: Names of the values that it takes, in the order in which they are written.
        given: The nodes whose values it gives.
        submodule: The class that stands for the nodes, if one does.
        same: The node here for each node of the class, where that was made for another call.
        reads: The variables that it takes.
        targets: The variables that it sets.
    """

    nodes: tuple[Node, ...]
    taken: tuple[str, ...]
    given: tuple[Node, ...]
    submodule: "Class | None" = None
    same: dict[str, str] = field(default_factory=dict)
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
        """The classes that must stand before this one, and this one, each once."""
        seen: set[str] = set()
        for step in self.steps:
            for inner in step.submodule.classes if step.submodule else ():
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
            for node in [None] if step.submodule else own:
                name = self.names[node.name] if node else step.submodule.attribute
                if name not in seen:
                    seen.add(name)
                    yield step, node


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


class Variables:
    """Which variable holds each value, statement by statement.

    The main line is called `x`. A value that stands beside it, or that is made while `x` is still
    needed, has a name of its own.

    Args:
        model: With the nodes that make the values.
        steps: The statements in order.
        given: The nodes whose values are needed after the last one.
        reserved: Names that no variable may have.
    """

    def __init__(
        self,
        model: Model,
        steps: list[Step],
        given: tuple[Node, ...],
        reserved: tuple[str, ...] = RESERVED,
    ) -> None:
        self._model = model
        self._reserved = reserved
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
        return identifier(name, taken, self._reserved)

    def _keep(self, name: str, index: int, chosen: str = "") -> str:
        """Choose a variable for the value of a node that a statement makes."""
        variable = chosen or self._choose(self._model.by_name[name], index)
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
            self._keep(name, -1, alone if len(taken) == 1 else "")
        for index, step in enumerate(self._steps):
            reads = tuple(self.held[value] for value in step.taken)
            targets = tuple(self._keep(node.name, index) for node in step.given)
            yield replace(step, reads=reads, targets=targets)


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

    def __post_init__(self) -> None:
        self._nested = {nested.path: nested for nested in self.model.nested}
        # The class of each scope, by its path.
        self._made: dict[str, tuple[Class, Scope]] = {}

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
                steps.append(self._submodule(item, names))
            elif steps and not steps[-1].submodule and _nests(item, steps[-1].last):
                steps[-1] = Step.of((*steps[-1].nodes, item))
            else:
                steps.append(Step.of((item,)))
        taken, given = self._border(scope)
        variables = Variables(self.model, steps, given)
        named = tuple(variables.name(taken))
        made = Class(
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
        self._made["/".join(scope.path)] = made, scope
        return made

    def _submodule(self, scope: Scope, names: dict[str, str]) -> Step:
        """The call of what stands for a scope: a class of its own, or that of an earlier call."""
        path, nodes = "/".join(scope.path), tuple(scope.nodes)
        first = self._nested[path].same_as if path in self._nested else ""
        if not first:
            inner = self.make(scope, names[path])
            return Step(nodes, inner.taken, inner.given, inner)
        inner, before = self._made[first]
        same = correspondence(tuple(before.nodes), nodes)
        if same is None:
            raise UnsupportedError(
                f"the model '{first}' is called on tensors for which it would have to compute in "
                "another layout than for its first call; give it inputs of the same layout"
            )
        taken = tuple(same[name] for name in inner.taken)
        given = tuple(self.model.by_name[same[node.name]] for node in inner.given)
        return Step(nodes, taken, given, inner, same)

    def _border(self, scope: Scope) -> tuple[tuple[str, ...], tuple[Node, ...]]:
        """What a scope takes from outside, and what of it is needed there; the main line first."""
        if not scope.path:
            given = tuple(self.model.by_name[name] for name in self.model.outputs)
            return self.model.inputs, given
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
        # What has an attribute, by the first call of it.
        attributes: dict[tuple[str, str], str] = {}
        for item in scope.items:
            if isinstance(item, Scope):
                key = "/".join(item.path)
                nested = self._nested.get(key)
                first, part = (nested.same_as if nested else "") or key, ""
            elif self.is_module(item):
                key, first = item.name, item.same_as or item.source
                part = f"_{item.part}" if item.part else ""
            else:
                continue
            if first.rpartition("/")[0] != "/".join(scope.path):
                raise UnsupportedError(
                    f"'{first}' is used in '{key}' too: PyTorch's modules know no layer that "
                    "models within share; call the model that has it"
                )
            leaf = first.rpartition("/")[2] + part
            if (first, part) not in attributes:
                attributes[first, part] = identifier(leaf, attributes.values())
            names[key] = attributes[first, part]
        return names

    def _frozen(self, scope: Scope, names: dict[str, str]) -> tuple[str, ...]:
        """The attributes of what stays in inference mode."""
        own = (item for item in scope.items if isinstance(item, Node))
        frozen = (node for node in own if node.kind in self.still and not node.trainable)
        return tuple(dict.fromkeys(names[node.name] for node in frozen))


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
