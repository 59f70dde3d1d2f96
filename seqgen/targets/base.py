"""What a target is: data. Which passes run, where weights go, what it refuses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node, Order
from seqgen.ir.types import Permutation
from seqgen.layers.base import Weight

if TYPE_CHECKING:
    from seqgen.render import Macros

Pass = Callable[[Model], Model]


@dataclass(frozen=True)
class Row:
    """Where a target keeps a variable, and how it lies there.

    Attributes:
        name: The target's name of it.
        perm: Which axis of the Keras array stands at each place, None if all stay; or gives that,
            from the node.
        shape: Gives the final shape where axes are merged or split, from the node.
        axes: What each axis of the Keras array runs over, as far as layout moves it: `in` and
            `out` for features of the input and the output.
        follows_layout: The array has the axes of the layer's input without the batch, and lies
            as the input does.
    """

    name: str
    perm: Permutation | Callable[[Node], Permutation] | None = None
    shape: Callable[[Node], tuple[int, ...]] | None = None
    axes: tuple[str, ...] = ()
    follows_layout: bool = False


@dataclass(frozen=True)
class Move:
    """The way of one variable from the weights file into a target.

    Attributes:
        weight: The variable.
        name: The target's name of it, below the module.
        steps: What is done to the Keras array, in order: (`reshape`, sizes) or
            (`transpose`, permutation).
    """

    weight: Weight
    name: str
    steps: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Target:
    """A framework that programs are generated for.

    Attributes:
        name: As `--target` has it.
        files: Templates (below the target's folder) and the files they make.
        passes: From the spec's model to the one that the templates spell, by layout.
        weights: For each layer, its variables by their Keras name; one of `*` holds for every
            layer that has none of its own.
        rewrites: Layers that a pass replaces by others, so that no macro spells them.
        refuses: Layers that the target cannot say, with the reason.
        limits: Say of a layer of the spec why the target cannot say its arguments, None if it can.
        functions: What the macros call, by name.
        templates: The folder with the templates of a target of another package.
        page: Makes what the page of the program is given, from the lowered model.
    """

    name: str
    files: Mapping[str, str]
    passes: Mapping[str, tuple[Pass, ...]]
    weights: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)
    rewrites: frozenset[str] = frozenset()
    refuses: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Callable[[Node], str | None], ...] = ()
    templates: Path | None = None
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    page: Callable[["Target", Model, "Macros"], dict[str, Any]] = lambda *_: {}

    def lower(self, model: Model, layout: str) -> Model:
        """The model as the target's templates spell it.

        Raises:
            UnsupportedError: The target cannot say a layer of the model.
        """
        for node in model.layers:
            reasons = (self.refuses.get(node.kind), *(limit(node) for limit in self.limits))
            for reason in filter(None, reasons):
                raise UnsupportedError(f"{node.layer.label}: target '{self.name}' {reason}")
        for run in self.passes[layout]:
            model = run(model)
        return model

    def moves(self, model: Model, node: Node) -> list[Move]:
        """The way of each of a node's variables into the target."""
        rows = self.weights.get(node.kind, {})
        if node.wrapper:
            rows = {**rows, **self.weights[type(node.wrapper).__name__]}
        variables = node.weights + node.state
        return [move(model, node, weight, rows[weight.name]) for weight in variables]


def _feature_axes(node: Node, row: Row, weight: Weight) -> tuple[list[int], list[list[int]]]:
    """Sizes with every reordered axis taken apart, and for each axis the places of its parts."""
    orders: dict[str, Order | None] = {"in": node.rows, "out": node.columns}
    # Features are reordered only where they are vectors, whose variables have the axes named.
    named = len(row.axes) == len(weight.shape)
    names = row.axes if named else ("",) * len(weight.shape)
    sizes: list[int] = []
    groups: list[list[int]] = []
    for name, size in zip(names, weight.shape, strict=True):
        order = orders.get(name) if size != 1 else None
        parts = list(order.sizes) if order else [size]
        perm = order.perm if order else (0,)
        groups.append([len(sizes) + axis for axis in perm])
        sizes += parts
    return sizes, groups


def _layout_perm(node: Node, model: Model, weight: Weight) -> Permutation | None:
    """The permutation of an array that has the axes of the input without the batch."""
    perm = model.input_of(node).perm
    if perm is None or len(perm) != len(weight.shape) + 1 or len(perm) < 3:
        return None
    return tuple(axis - 1 for axis in perm[1:])


def move(model: Model, node: Node, weight: Weight, row: Row) -> Move:
    """The way of one variable, as reshapes and transposes of its Keras array."""
    given = row.perm(node) if callable(row.perm) else row.perm
    perm = _layout_perm(node, model, weight) if row.follows_layout else given
    perm = perm or tuple(range(len(weight.shape)))
    sizes, groups = _feature_axes(node, row, weight)
    steps: list[tuple[str, tuple[int, ...]]] = []
    final = tuple(weight.shape[axis] for axis in perm)
    if len(sizes) > len(weight.shape):
        steps.append(("reshape", tuple(sizes)))
    flat = tuple(place for axis in perm for place in groups[axis])
    if flat != tuple(range(len(flat))):
        steps.append(("transpose", flat))
    shape = row.shape(node) if row.shape else final
    if shape != final or len(sizes) > len(weight.shape):
        steps.append(("reshape", shape))
    return Move(weight, row.name, tuple(steps))
