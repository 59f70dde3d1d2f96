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
    items = [scope.items[place] for place in _older_first(list(done), needed)]
    inner = [branch_by_branch(i, model) if isinstance(i, Scope) else i for i in items]
    return Scope(scope.path, inner)


def _older_first(order: list[int], needed: list[list[int]]) -> list[int]:
    """An order with what is made of older values ahead of a part, not amid its branches.

    A part begins where branches joined last. What several of its items read may be made of a value
    from before that, as in a cell that takes two values and adjusts one of them.

    Args:
        order: Items, each behind all that it needs.
        needed: What each item needs.
    """
    readers: dict[int, set[int]] = {item: set() for item in order}
    for item in order:
        for before in needed[item]:
            readers[before].add(item)
    found = list(order)
    places = {item: place for place, item in enumerate(found)}

    def newest(start: int, end: int) -> int:
        """The place of the newest value from before some places that is needed there."""
        read = (places[one] for item in found[start:end] for one in needed[item])
        return max((place for place in read if place < start), default=-1)

    # The last ones first: what is only for a later one goes with that.
    for item in reversed(order):
        if len(readers[item]) < 2:
            continue
        end = places[item] + 1
        start = _start(found, end - 1, readers)
        taken = newest(start, end)
        joint = start - 1
        while joint >= 0 and len(needed[found[joint]]) < 2:
            joint -= 1
        if taken < joint < start - 1 and taken <= newest(_start(found, joint, readers), joint + 1):
            found[joint + 1 : end] = found[start:end] + found[joint + 1 : start]
            places |= {one: place for place, one in enumerate(found[joint:end], joint)}
    return found


def _start(order: list[int], last: int, readers: dict[int, set[int]]) -> int:
    """The place from which on all items are only for the one at the last place."""
    own, start = {order[last]}, last
    while start and readers[order[start - 1]] and readers[order[start - 1]] <= own:
        start -= 1
        own.add(order[start])
    return start


def _nodes(item: "Node | Scope") -> list[Node]:
    return [item] if isinstance(item, Node) else list(item.nodes)


def _reads(item: "Node | Scope") -> list[str]:
    """What an item reads that it does not make itself."""
    own = {node.name for node in _nodes(item)}
    return [name for node in _nodes(item) for name in node.inputs if name not in own]
