"""A graph as the models that a Keras program makes: stacks, and functions that call layers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Nested, Node
from seqgen.ir.scopes import Scope, scope_tree
from seqgen.naming import identifier
from seqgen.targets.modules import Step, Variables

# What programs call by these names.
RESERVED = (
    "keras",
    "layers",
    "build_model",
    "load_file",
    "load_weights",
    "named",
    "CustomScaleLayer",
    "LayerScale",
    "StochasticDepth",
)


def is_operation(item: object) -> bool:
    """Whether an item is a node that calls a function of keras.ops."""
    return isinstance(item, Node) and getattr(item.layer, "is_operation", False)


@dataclass(frozen=True)
class Part:
    """A model of the program.

    Attributes:
        name: Its name.
        path: Its place in the spec; empty for the outermost.
        sequential: Whether it is a stack.
        entries: Its inputs.
        items: Of a stack: its layers, and models within.
        calls: Of a graph: its statements.
        parameters: Of a graph: the variables of its inputs.
        results: Of a graph: the variables of its outputs.
        function: Name of the function that makes it, if one does.
    """

    name: str
    path: str
    sequential: bool
    entries: tuple[Node, ...]
    items: tuple["Node | Part", ...] = ()
    calls: tuple["Statement", ...] = ()
    parameters: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    function: str = ""


@dataclass(frozen=True)
class Statement:
    """A call of a layer or model, or what makes one that is called more than once.

    Attributes:
        made: The layer's node, or the model.
        holder: The variable that holds it, if one does.
        defines: Whether the statement makes what that variable holds, and calls nothing.
        reads: The variables that it takes, in order.
        targets: The variables that it sets.
        arguments: What it is called with besides tensors.
        node: The node of this very call; None for a model.
    """

    made: Node | Part
    holder: str = ""
    defines: bool = False
    reads: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    arguments: tuple[tuple[str, object], ...] = ()
    node: Node | None = None

    @property
    def _tensors(self) -> Iterator[str]:
        """The tensors, those by name that the layer takes by name only."""
        ports = self.node.layer.ports if self.node else ()
        for read, port in zip_longest(self.reads, ports[: len(self.reads)]):
            yield f"{port}={read}" if self.node and port in self.node.layer.keyword_ports else read

    @property
    def taken(self) -> str:
        """What stands between the parentheses of the call."""
        given = ", ".join(self._tensors)
        if self.node.layer.takes_list if self.node else len(self.reads) > 1:
            given = f"[{given}]"
        return ", ".join((given, *(f"{name}={value!r}" for name, value in self.arguments)))


@dataclass
class Parts:
    """Makes the models of a program.

    Attributes:
        model: The graph.
        functions: The models that have a function of their own, inner ones first.
        main: The outermost model.
    """

    model: Model
    functions: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._nested = {nested.path: nested for nested in self.model.nested}
        self._made: dict[str, Part] = {}
        self._names: set[str] = set(RESERVED)
        entries = tuple(self.model.by_name[name] for name in self.model.inputs)
        whole = Nested(
            "", "", self.model.sequential, entries, self.model.inputs, self.model.outputs
        )
        self.main = self._part(scope_tree(self.model), whole, self.model.name)

    def _part(self, scope: Scope, nested: Nested, name: str) -> Part:
        """The model of a scope."""
        part = Part(name, nested.path, nested.sequential, nested.entries)
        if nested.sequential:
            items = tuple(self._within(item) for item in scope.items)
            part = replace(part, items=items)
        else:
            part = self._graph(scope, nested, part)
        if nested.path:
            self._made[nested.path] = part
        return part

    def _within(self, item: "Node | Scope") -> "Node | Part":
        if isinstance(item, Node):
            return item
        path = "/".join(item.path)
        nested = self._nested[path]
        if nested.same_as:
            return self._made[nested.same_as]
        return self._part(item, nested, item.path[-1])

    def _graph(self, scope: Scope, nested: Nested, part: Part) -> Part:
        """A model that is made by calls."""
        steps: list[Step] = []
        for item in scope.items:
            if isinstance(item, Node):
                steps.append(Step.of((item,)))
            else:
                call = self._nested["/".join(item.path)]
                given = tuple(self.model.by_name[name] for name in call.given)
                steps.append(Step(tuple(item.nodes), call.taken, given))
        given = tuple(self.model.by_name[name] for name in nested.given)
        holders = self._holders(scope)
        variables = Variables(self.model, steps, given, (*RESERVED, *holders.values()))
        named = list(variables.name(nested.taken, "inputs", kept=True))
        statements = tuple(self._statements(scope, named, holders))
        function = ""
        if nested.path:
            function = identifier(f"build_{part.name}", self._names)
            self._names.add(function)
        made = replace(
            part,
            calls=statements,
            parameters=tuple(variables.held[name] for name in nested.taken),
            results=tuple(variables.held[name] for name in nested.given),
            function=function,
        )
        if function:
            self.functions.append(made)
        return made

    def _holders(self, scope: Scope) -> dict[str, str]:
        """The variables that hold what is called several times, by the first call."""
        layers = (item for item in scope.items if not is_operation(item))
        counts = Counter(map(self._first, layers))
        holders: dict[str, str] = {}
        for first, count in counts.items():
            if count > 1:
                taken = ("inputs", *holders.values())
                holders[first] = identifier(first.rpartition("/")[2], taken, RESERVED)
        return holders

    def _statements(
        self, scope: Scope, steps: list[Step], holders: dict[str, str]
    ) -> Iterator[Statement]:
        """The statements of a graph, those that make what is called several times among them."""
        defined: set[str] = set()
        for item, step in zip(scope.items, steps, strict=True):
            first, made = self._first(item), self._within(item)
            if first.rpartition("/")[0] != "/".join(scope.path) and not is_operation(item):
                raise UnsupportedError(
                    f"'{first}' is used in another model within too: a program of Keras makes each "
                    "model by itself; call the model that has it"
                )
            if first in holders and first not in defined:
                defined.add(first)
                yield Statement(made, holders[first], True)
            node = item if isinstance(item, Node) else None
            arguments = (node or self._nested["/".join(item.path)]).arguments
            yield Statement(
                made, holders.get(first, ""), False, step.reads, step.targets, arguments, node
            )

    def _first(self, item: "Node | Scope") -> str:
        """The first call of what an item calls."""
        if isinstance(item, Node):
            return item.same_as or item.name
        path = "/".join(item.path)
        return self._nested[path].same_as or path
