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
