"""A lowered model as classes: what the torch page walks through."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from seqgen.ir.graph import Model, Node
from seqgen.ir.scopes import Scope, scope_tree
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


def as_class(
    model: Model,
    scope: Scope,
    is_module: Callable[[Node], bool],
    still: Collection[str],
    taken: set[str],
    attribute: str = "",
) -> Class:
    """The class of a scope, those of the scopes within made on the way.

    Args:
        model: The lowered model.
        scope: The part of it that becomes the class.
        is_module: Whether a node gets an attribute; the others are functions in `forward`.
        still: Kinds of layers that stay in inference mode while they are frozen.
        taken: Class names given so far.
        attribute: The attribute that holds it in the class around it.
    """
    name = class_name("_".join((model.name, *scope.path)), taken)
    taken.add(name)
    steps: list[Step] = []
    names: dict[str, str] = {}
    attributes: set[str] = set()
    for item in scope.items:
        if isinstance(item, Scope):
            inner = names["/".join(item.path)] = identifier(item.path[-1], attributes)
            attributes.add(inner)
            steps.append(Step(tuple(item.nodes), as_class(model, item, is_module, still, taken, inner)))
            continue
        if is_module(item):
            leaf = item.source.rpartition("/")[2] + (f"_{item.part}" if item.part else "")
            names[item.name] = identifier(leaf, attributes)
            attributes.add(names[item.name])
        if steps and not steps[-1].submodule and _nests(item, steps[-1].last):
            steps[-1] = Step((*steps[-1].nodes, item))
        else:
            steps.append(Step((item,)))
    frozen = tuple(
        names[item.name]
        for item in scope.items
        if isinstance(item, Node) and item.kind in still and not item.trainable
    )
    return Class(name, attribute, tuple(steps), names, frozen)
