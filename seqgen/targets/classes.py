"""A lowered model as classes: one for the model, for each model within, and for what repeats."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node, consumers
from seqgen.ir.scopes import Scope
from seqgen.naming import class_name, identifier
from seqgen.targets.blocks import Block, Item, Kind, stages
from seqgen.targets.folding import fold
from seqgen.targets.modules import Call, Class, Step, Variables, add_node, correspondence, stateful
from seqgen.targets.repeats import Repeats


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

    def make(self, scope: Scope) -> Class:
        """The class of a scope, and with it those of the scopes within."""
        name = class_name("_".join((self.model.name, *scope.path)), self.taken)
        self.taken.add(name)
        kinds: list[Kind] = []
        items = fold(scope.items, self.model, kinds)
        repeats = Repeats(self, kinds)
        names = self._names(scope, items)
        steps = self._steps(items, names, repeats)
        taken, given = self._border(scope)
        made = self.finished(name, steps, names, taken, given)
        self._made["/".join(scope.path)] = made, scope
        return made

    def finished(
        self,
        name: str,
        steps: list[Step],
        names: dict[str, str],
        taken: tuple[str, ...],
        given: tuple[Node, ...],
        arguments: tuple[tuple[str, str], ...] | None = None,
        called: Mapping[str, str] = MappingProxyType({}),
    ) -> Class:
        """The class with variables for all values.

        Args:
            name: Its name.
            steps: Its statements.
            names: The attributes of its nodes.
            taken: Names of the values that it takes.
            given: The nodes whose values it gives.
            arguments: Of its constructor, if it is a part that the model has several times.
            called: What values are called, where that is not the name of the node.
        """
        variables = Variables(self.model, steps, given, names=called)
        named = tuple(variables.name(taken))
        own = [node for step in steps if not step.calls for node in step.nodes]
        frozen = (node for node in own if node.kind in self.still and not node.trainable)
        return Class(
            name,
            named,
            names,
            tuple(dict.fromkeys(names[node.name] for node in frozen)),
            taken,
            given,
            tuple(stateful(steps, names)),
            tuple(variables.held[value] for value in taken),
            tuple(variables.held[node.name] for node in given),
            arguments or (),
            arguments is not None,
        )

    def _steps(self, items: list[Item], names: dict[str, str], repeats: "Repeats") -> list[Step]:
        """The statements of a class."""
        steps: list[Step] = []
        attributes = set(names.values())
        for stage in stages(items, self.model):
            item = stage[0]
            if isinstance(item, Block):
                steps.append(repeats.stack(stage, attributes))
            elif isinstance(item, Scope):
                steps.append(self._submodule(item, names))
            else:
                add_node(steps, item)
        return steps

    def _submodule(self, scope: Scope, names: dict[str, str]) -> Step:
        """The call of what stands for a scope: a class of its own, or that of an earlier call."""
        path, nodes = "/".join(scope.path), tuple(scope.nodes)
        first = self._nested[path].same_as if path in self._nested else ""
        if not first:
            inner = self.make(scope)
            call = Call(inner)
            return Step(nodes, inner.taken, inner.given, (call,), names[path], f"{inner.name}()")
        inner, before = self._made[first]
        same = correspondence(tuple(before.nodes), nodes)
        if same is None:
            raise UnsupportedError(
                f"the model '{first}' is called on tensors for which it would have to compute in "
                "another layout than for its first call; give it inputs of the same layout"
            )
        taken = tuple(same[name] for name in inner.taken)
        given = tuple(self.model.by_name[same[node.name]] for node in inner.given)
        return Step(nodes, taken, given, (Call(inner, same=same),), names[path])

    def _border(self, scope: Scope) -> tuple[tuple[str, ...], tuple[Node, ...]]:
        """What a scope takes from outside, and what of it is needed there; the main line first."""
        if not scope.path:
            given = tuple(self.model.by_name[name] for name in self.model.outputs)
            return self.model.inputs, given
        own = {node.name: node for node in scope.nodes}
        read = [name for node in own.values() for name in node.inputs if name not in own]
        given = [node for node in own.values() if self._is_read_outside(node, own)]
        # A model of which nothing is needed is called all the same: it is part of the spec.
        given = given or [scope.last]
        taken = sorted(dict.fromkeys(read), key=lambda name: self.model.by_name[name].variable)
        return tuple(taken), tuple(sorted(given, key=lambda node: node.variable))

    def _is_read_outside(self, node: Node, own: Collection[str]) -> bool:
        readers = self.readers[node.name]
        return node.name in self.model.outputs or any(r.name not in own for r in readers)

    def _names(self, scope: Scope, items: list[Item]) -> dict[str, str]:
        """The attributes of a scope's own nodes and of the scopes within."""
        names: dict[str, str] = {}
        # What has an attribute, by the first call of it.
        attributes: dict[tuple[str, str], str] = {}
        for item in items:
            if isinstance(item, Scope):
                key = "/".join(item.path)
                nested = self._nested.get(key)
                first, part = (nested.same_as if nested else "") or key, ""
            elif isinstance(item, Node) and self.is_module(item):
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
