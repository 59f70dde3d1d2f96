"""A lowered model as classes: what the torch page walks through."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from seqgen.ir.graph import Model, Node
from seqgen.ir.scopes import Scope
from seqgen.layers.activation import Activation
from seqgen.naming import class_name, identifier


@dataclass(frozen=True)
class Step:
    """A statement of `forward`: the nodes that it nests, innermost first, or a submodule."""

    nodes: tuple[Node, ...]
    submodule: "Class | None" = None

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
    """

    name: str
    attribute: str
    steps: tuple[Step, ...]
    names: dict[str, str]
    frozen: tuple[str, ...]

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
        return Class(name, attribute, tuple(steps), names, self._frozen(scope, names))

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
