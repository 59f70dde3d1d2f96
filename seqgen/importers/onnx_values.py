"""Tensors of an ONNX graph as tensors of a spec whose axes lie in another order.

A Transpose moves no values here, and neither does a Reshape that merges whole axes or inserts such
of size 1: they only change how the axes of the file stand for those of the spec. Layers that move
values are made where something needs them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.importers.onnx_arrays import Array
from seqgen.ir.types import Dim
from seqgen.layers.reshaping import Reshape

if TYPE_CHECKING:
    from seqgen.spec.tensors import Tensor

# For each axis of the file the axes of the spec that it stands for, merged in this order; none for
# an axis of size 1 that the spec does not have.
Axes = tuple[tuple[int, ...], ...]


def product(sizes: Iterable[Dim]) -> Dim:
    """The product of sizes, of which some may be open."""
    sizes = tuple(sizes)
    known = math.prod(size for size in sizes if isinstance(size, int))
    names = sorted(size for size in sizes if isinstance(size, str))
    return "*".join([*names, *([str(known)] if known != 1 else [])]) if names else known


@dataclass(frozen=True, eq=False)
class Made:
    """How the last layer of a tensor came about, as long as nothing else reads its result."""

    kind: str
    inputs: "tuple[Value, ...]"
    weights: tuple[Array, ...]
    arguments: dict[str, Any]
    name: str | None


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor.

    Attributes:
        tensor: What the spec has.
        dims: Its sizes, with a name of its own for each that is open.
        axes: Which of its axes the axes of the file stand for.
        positive: Whether all numbers are known to be at least 0.
        made: How it was made.
    """

    tensor: "Tensor"
    dims: tuple[Dim, ...]
    axes: Axes
    positive: bool = False
    made: Made | None = None

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The sizes that the file has."""
        return tuple(product(self.dims[axis] for axis in group) for group in self.axes)

    @property
    def rank(self) -> int:
        """Number of axes that the file has."""
        return len(self.axes)

    @property
    def shown(self) -> str:
        """The shape of the file as errors show it, the batch open."""
        sizes = (size if isinstance(size, int) else None for size in self.shape[1:])
        return str((None, *sizes))

    @property
    def is_plain(self) -> bool:
        """Whether each axis of the file is one of the spec."""
        return all(len(group) == 1 for group in self.axes)


@dataclass(frozen=True)
class Sizes:
    """Whole numbers, of which some are open sizes: what a graph computes of a Shape."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.values.shape


@dataclass(frozen=True)
class Zeros:
    """Numbers that are all 0, as many as an open size says: states to begin with."""


@dataclass(frozen=True)
class Stack:
    """Tensors that the file has behind each other along its first axis, which is not the batch:
    the last states of several layers, of which mostly a few are read."""

    advice = "take one of the states of several layers with Gather, and not all of them at once"

    parts: tuple[Value, ...]

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The sizes that the file has."""
        first = self.parts[0].shape
        return (sum(int(part.shape[0]) for part in self.parts), *first[1:])


def plain(rank: int) -> Axes:
    """Axes in the order of the spec."""
    return tuple((axis,) for axis in range(rank))


def _matched(
    atoms: Sequence[tuple[int, Dim]], sizes: Sequence[Dim]
) -> tuple[list[tuple[int, ...]], int] | None:
    """Groups of axes from the first on with these sizes, and how many axes are in them."""
    groups: list[tuple[int, ...]] = []
    at = 0
    for size in sizes:
        start = at
        if size == 1 and at < len(atoms) and atoms[at][1] == 1:
            at += 1
        while product(dim for _, dim in atoms[start:at]) != size:
            if at == len(atoms):
                return None
            at += 1
        groups.append(tuple(axis for axis, _ in atoms[start:at]))
    return groups, at


def regrouped(x: Value, target: Sequence[Dim]) -> Axes | None:
    """The axes of a tensor merged to a shape; None if one would have to be split for it.

    Args:
        x: The tensor.
        target: The shape; one size may be -1 for what is left.
    """
    atoms = [(axis, x.dims[axis]) for group in x.axes for axis in group]
    split = target.index(-1) if -1 in target else len(target)
    head = _matched(atoms, target[:split])
    if head is None:
        return None
    groups, used = head
    rest = atoms[used:]
    if split == len(target):
        if any(dim != 1 for _, dim in rest):
            return None
        return (*groups[:-1], groups[-1] + tuple(axis for axis, _ in rest)) if groups else None
    tail = _matched(rest[::-1], target[:split:-1])
    if tail is None:
        return None
    ends, used = tail
    middle = [axis for axis, _ in rest[: len(rest) - used]]
    back = [list(group[::-1]) for group in ends[::-1]]
    # An axis of size 1 that nothing asked for stays with what follows it, not with the batch.
    while back and len(middle) > 1 and x.dims[middle[-1]] == 1:
        back[0].insert(0, middle.pop())
    return (*groups, tuple(middle), *map(tuple, back))


def inverse_rows(x: Value, group: tuple[int, ...]) -> np.ndarray:
    """For merged axes in the order of the spec, where the file has each of their numbers."""
    sizes = [int(x.dims[axis]) for axis in group]
    places = np.arange(math.prod(sizes)).reshape(sizes)
    return places.transpose(np.argsort(group)).reshape(-1)


def unsplit(x: Value, groups: Axes) -> Value | None:
    """The tensor whose axes a Reshape split, where they are merged again; None if it is another."""
    call = x.tensor.call
    if call is None or not isinstance(call.item, Reshape):
        return None
    (before,) = call.inputs
    atoms = iter(range(len(x.dims)))
    sizes = tuple(product(x.dims[next(atoms)] for _ in group) for group in groups)
    same = len(before.type.shape) == len(sizes) and all(
        size == own or (not isinstance(size, int) and not isinstance(own, int))
        for size, own in zip(sizes, before.type.shape, strict=True)
    )
    return replace(x, tensor=before, dims=sizes) if same else None


def rejoined(x: Value) -> Value:
    """A tensor without a Reshape that split axes which the file has merged; as it is otherwise."""
    order = sorted(range(x.rank), key=x.axes.__getitem__)
    groups = tuple(x.axes[at] for at in order)
    if tuple(axis for group in groups for axis in group) != tuple(range(len(x.dims))):
        return x
    before = None if x.is_plain else unsplit(x, groups)
    axes = tuple((order.index(at),) for at in range(x.rank))
    return x if before is None else replace(before, axes=axes, made=None)
