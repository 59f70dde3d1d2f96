"""The nested models of a graph, as a tree."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seqgen.ir.graph import Input, Model, Node


@dataclass
class Scope:
    """A model, or a model nested in it: its nodes and nested models in order.

    `path` holds the names from the outermost nested model to this one; it is empty for the model.
    """

    path: tuple[str, ...]
    items: list["Node | Scope"] = field(default_factory=list)

    @property
    def nodes(self) -> Iterator[Node]:
        """The nodes of this scope and all within."""
        for item in self.items:
            if isinstance(item, Scope):
                yield from item.nodes
            else:
                yield item

    @property
    def scopes(self) -> Iterator["Scope"]:
        """The scopes within, innermost first, and this one last."""
        for item in self.items:
            if isinstance(item, Scope):
                yield from item.scopes
        yield self

    @property
    def last(self) -> Node:
        """The node that makes the result."""
        item = self.items[-1]
        return item.last if isinstance(item, Scope) else item


def scope_tree(model: Model) -> Scope:
    """Group the nodes by the nested models that they stand in."""
    stack = [Scope(())]
    for node in model.nodes:
        if isinstance(node.layer, Input):
            continue
        while stack[-1].path != node.scope[: len(stack[-1].path)]:
            stack.pop()
        while stack[-1].path != node.scope:
            inner = Scope(node.scope[: len(stack[-1].path) + 1])
            stack[-1].items.append(inner)
            stack.append(inner)
        stack[-1].items.append(node)
    return stack[0]


def branch_by_branch(scope: Scope, model: Model) -> Scope:
    """The scope with its items in the order in which a person writes them: a branch at a time.

    A stack has no branches. A model in which layers are called more than once stays as it is: the
    order of the calls may count in training.
    """
    stacks = model.sequential and all(nested.sequential for nested in model.nested)
    if stacks or model.shared:
        return scope
    makers = {node.name: place for place, item in enumerate(scope.items) for node in _nodes(item)}
    needed = [
        list(dict.fromkeys(makers[name] for name in _reads(item) if name in makers))
        for item in scope.items
    ]
    done: dict[int, None] = {}
    read = {place for places in needed for place in places}
    # What nothing here reads comes last, each with all that leads to it.
    stack = [place for place in reversed(range(len(needed))) if place not in read]
    while stack:
        place = stack[-1]
        missing = [before for before in needed[place] if before not in done]
        if missing:
            stack.append(missing[0])
        else:
            done[stack.pop()] = None
    items = [scope.items[place] for place in done]
    inner = [branch_by_branch(i, model) if isinstance(i, Scope) else i for i in items]
    return Scope(scope.path, inner)


def _nodes(item: "Node | Scope") -> list[Node]:
    return [item] if isinstance(item, Node) else list(item.nodes)


def _reads(item: "Node | Scope") -> list[str]:
    """What an item reads that it does not make itself."""
    own = {node.name for node in _nodes(item)}
    return [name for node in _nodes(item) for name in node.inputs if name not in own]
