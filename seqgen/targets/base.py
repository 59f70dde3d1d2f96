"""What a target is: data. Which passes run, where weights go, what it refuses."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node, Order
from seqgen.ir.types import Permutation
from seqgen.layers.base import Weight

if TYPE_CHECKING:
    from seqgen.render import Macros

Pass = Callable[[Model], Model]
# What is done to an array, and the numbers that say how.
Action = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Row:
    """Where a target keeps a variable, and how it lies there.

    Attributes:
        name: The target's name of it; several where each row of it has one of its own there.
        perm: Which axis of the Keras array stands at each place, None if all stay; or gives that,
            from the node.
        shape: Gives the final shape where axes are merged or split, from the node.
        axes: What each axis of the Keras array runs over, as far as layout moves it: `in` and
            `out` for features of the input and the output.
        follows_layout: The array has the axes of the layer's input without the batch, and lies
            as the input does.
        gates: Which of the gates, side by side on the last axis, stands at each place; empty if
            all stay.
    """

    name: str | tuple[str, ...]
    perm: Permutation | Callable[[Node], Permutation] | None = None
    shape: Callable[[Node], tuple[int, ...]] | None = None
    axes: tuple[str, ...] = ()
    follows_layout: bool = False
    gates: tuple[int, ...] = ()


def _shape_after(step: str, numbers: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an array of `shape` after a step."""
    if step == "transpose":
        return tuple(shape[axis] for axis in numbers)
    if step == "reshape":
        return numbers
    return shape[1:] if step == "row" else shape


@dataclass(frozen=True)
class Move:
    """The way of one variable from the weights file into a target.

    Attributes:
        weight: The variable.
        name: The target's name of it, below the module.
        steps: What is done to the Keras array, in order: (`reshape`, sizes), (`transpose`,
            permutation), (`row`, which) or (`take`, axis and places).
        last: Whether no other move takes the same variable after this one.
    """

    weight: Weight
    name: str
    steps: tuple[Action, ...]
    last: bool = True

    @property
    def regates(self) -> bool:
        """Whether gates change places on the way."""
        return any(step == "take" for step, _ in self.steps)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The variable as the target has it."""
        for step, numbers in self.steps:
            if step == "take":
                axis, *places = numbers
                array = array.take(places, axis)
            else:
                array = array[numbers[0]] if step == "row" else getattr(array, step)(numbers)
        return array

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of the Keras array, and that after each step."""
        shapes = [self.weight.shape]
        for step, numbers in self.steps:
            shapes.append(_shape_after(step, numbers, shapes[-1]))
        return tuple(shapes)

    def invert(self, array: np.ndarray) -> np.ndarray:
        """The Keras array of what the target has: the way back of `apply`.

        Of one row it makes an array with this row alone; `restored` puts the rows together.
        """
        for (step, numbers), shape in zip(self.steps[::-1], self.shapes[-2::-1], strict=True):
            if step == "take":
                axis, *places = numbers
                array = array.take(np.argsort(places), axis)
            elif step == "row":
                array = array[np.newaxis]
            else:
                back = shape if step == "reshape" else tuple(map(int, np.argsort(numbers)))
                array = getattr(array, step)(back)
        return array

    def spell(self, transpose: str) -> str:
        """The steps as source code behind an array, with the framework's word for a transpose."""
        words = {"transpose": transpose, "reshape": "reshape"}
        text = ""
        for step, numbers in self.steps:
            if step == "take":
                axis, *places = numbers
                text += f"[{':, ' * axis}{places}]"
            elif step == "row":
                text += f"[{numbers[0]}]"
            else:
                text += f".{words[step]}({', '.join(map(str, numbers))})"
        return text


def restored(moves: Sequence[Move], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The Keras array of a variable from what the target has: an array for each of its moves."""
    parts = [move.invert(array) for move, array in zip(moves, arrays, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
        prepare: Passes that run before the limits are asked: they unfold what holds layers within.
        remarks: What a reader of a report should know of a program's parameters, from the lowered
            model.
        training: Template, below the target's folder, and file of the training program, if the
            target has one.
        training_page: Makes what its page is given, from the settings and the page of the model.
        trains_some: Whether a training program is left out, with a reason, where the target cannot
            say the settings; otherwise they are refused.
        states: What programs take and give besides inputs and outputs, from the lowered model: the
            names on both sides and the shape.
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
    prepare: tuple[Pass, ...] = ()
    remarks: Callable[[Model], Iterable[str]] = lambda _: ()
    training: tuple[str, str] | None = None
    training_page: Callable[[Any, dict[str, Any]], dict[str, Any]] = lambda *_: {}
    trains_some: bool = False
    states: Callable[[Model], Iterable[tuple[str, str, tuple[int, ...]]]] = lambda _: ()

    def lower(self, model: Model, layout: str) -> Model:
        """The model as the target's templates spell it.

        Raises:
            UnsupportedError: The target cannot say a layer of the model.
        """
        for run in self.prepare:
            model = run(model)
        for node in model.layers:
            reasons = (self.refuses.get(node.kind), *(limit(node) for limit in self.limits))
            for reason in filter(None, reasons):
                raise UnsupportedError(f"{node.layer.label}: target '{self.name}' {reason}")
        for run in self.passes[layout]:
            model = run(model)
        return model

    def moves(self, model: Model, node: Node) -> list[Move]:
        """The way of each of a node's variables into the target."""
        rows = self.weights.get(node.row, {})
        if node.wrapper:
            rows = {**rows, **self.weights[type(node.wrapper).__name__]}
        variables = node.weights + node.state
        return [
            made for weight in variables for made in moves(model, node, weight, rows[weight.name])
        ]

    def all_moves(self, model: Model) -> list[Move]:
        """The way of every variable of a lowered model into the target, each once.

        Raises:
            UnsupportedError: Nodes that share a variable need it laid out in different ways.
        """
        found: dict[str, list[Move]] = {}
        for node in model.nodes:
            own: dict[str, list[Move]] = {}
            for move in self.moves(model, node):
                own.setdefault(move.weight.key, []).append(move)
            for key, way in own.items():
                steps = [move.steps for move in way]
                if steps != [move.steps for move in found.setdefault(key, way)]:
                    raise UnsupportedError(
                        f"'{node.source}' would need the shared weight '{key}' in another layout "
                        f"than it has for its first call; target '{self.name}' has one of each"
                    )
        return [move for way in found.values() for move in way]


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


def _regated(shape: tuple[int, ...], gates: tuple[int, ...]) -> Iterator[Action]:
    """The steps that put the gates on the last axis in another order."""
    if gates:
        *axes, width = shape
        yield "reshape", (*axes, len(gates), width // len(gates))
        yield "take", (len(axes), *gates)
        yield "reshape", shape


def _shortened(steps: Iterable[Action]) -> tuple[Action, ...]:
    """The steps without reshapes that the next one makes needless."""
    kept: list[Action] = []
    for step in steps:
        if kept and kept[-1][0] == step[0] == "reshape":
            kept.pop()
        kept.append(step)
    return tuple(kept)


def moves(model: Model, node: Node, weight: Weight, row: Row) -> list[Move]:
    """The ways of one variable into a target: one, or one for each of its rows."""
    if isinstance(row.name, str):
        return [Move(weight, row.name, _shortened(_steps(model, node, weight, row)))]
    if len(weight.shape) == 1:
        return [Move(weight, row.name[0], tuple(_regated(weight.shape, row.gates)))]
    return [
        Move(
            weight,
            name,
            (("row", (i,)), *_regated(weight.shape[1:], row.gates)),
            i == len(row.name) - 1,
        )
        for i, name in enumerate(row.name)
    ]


def _steps(model: Model, node: Node, weight: Weight, row: Row) -> Iterator[Action]:
    """The reshapes and transposes of the Keras array of a variable."""
    yield from _regated(weight.shape, row.gates)
    given = row.perm(node) if callable(row.perm) else row.perm
    perm = _layout_perm(node, model, weight) if row.follows_layout else given
    perm = perm or tuple(range(len(weight.shape)))
    sizes, groups = _feature_axes(node, row, weight)
    final = tuple(weight.shape[axis] for axis in perm)
    if len(sizes) > len(weight.shape):
        yield "reshape", tuple(sizes)
    flat = tuple(place for axis in perm for place in groups[axis])
    if flat != tuple(range(len(flat))):
        yield "transpose", flat
    shape = row.shape(node) if row.shape else final
    if shape != final or len(sizes) > len(weight.shape):
        yield "reshape", shape
