"""Operations as targets write them: operands, slices, and factors in a shape that broadcasts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seqgen.ir.graph import Model, Node
from seqgen.layers.keys import forwards, is_index, key_text, reversed_axes, without_ends
from seqgen.render import Source, literal
from seqgen.targets.reshaping import ENDLESS


def operands(node: Node, reads: Sequence[str]) -> list[str]:
    """The operands of an operation as source code: what it reads, and numbers in their places."""
    left = iter(reads)
    numbers = (getattr(node.layer, name) for name in node.layer.tensors)
    return [next(left) if number is None else _number(number) for number in numbers]


def _number(value: float) -> str:
    return Source(f"({literal(value)})" if value < 0 else literal(value))


class Index(NamedTuple):
    """What brackets behind a PyTorch tensor say: steps there only go forwards.

    Attributes:
        turned: The axes to turn around first.
        key: What stands in the brackets.
    """

    turned: tuple[int, ...]
    key: str


def key_of(model: Model, node: Node) -> tuple[Any, ...]:
    """An item for each axis of what a GetItem reads, as that lies in memory."""
    items: tuple[Any, ...] = node.layer.items(model.input_of(node).physical)
    return items


def index_of(model: Model, node: Node) -> Index:
    """A GetItem as an index of PyTorch."""
    key = key_of(model, node)
    items = without_ends(tuple(map(forwards, key)))
    return Index(reversed_axes(tuple(item for item in key if item is not None)), key_text(items))


class Cut(NamedTuple):
    """A GetItem as operators of ONNX.

    Attributes:
        starts: Where the slice of each axis in `axes` begins.
        ends: Where it ends.
        axes: The axes that are sliced.
        steps: How far each step goes.
        squeezed: The axes that go after that.
        added: Where new axes stand in the result.
    """

    starts: list[int]
    ends: list[int]
    axes: list[int]
    steps: list[int]
    squeezed: list[int]
    added: list[int]

    @property
    def strided(self) -> bool:
        """Whether a step is not 1, which is what operators take where none is given."""
        return set(self.steps) != {1}


def cut_of(model: Model, node: Node) -> Cut:
    """A GetItem as a slice, a squeeze and an unsqueeze."""
    key = key_of(model, node)
    items = [item for item in key if item is not None]
    cuts = [(axis, *_bounds(item)) for axis, item in enumerate(items)]
    cuts = [(axis, *cut) for axis, *cut in cuts if cut != [0, ENDLESS, 1]]
    kept = [item for item in key if not is_index(item)]
    return Cut(
        [start for _, start, _, _ in cuts],
        [end for _, _, end, _ in cuts],
        [axis for axis, _, _, _ in cuts],
        [step for _, _, _, step in cuts],
        [axis for axis, item in enumerate(items) if is_index(item)],
        [place for place, item in enumerate(kept) if item is None],
    )


def _bounds(item: Any) -> tuple[int, int, int]:
    """Start, end and step of a slice, or of an index as a slice of one."""
    if is_index(item):
        return item, item + 1 if item != -1 else ENDLESS, 1
    step = item.step or 1
    start, end = (0, ENDLESS) if step > 0 else (ENDLESS, -ENDLESS)
    return (
        start if item.start is None else item.start,
        end if item.stop is None else item.stop,
        step,
    )


def scale_shape(node: Node) -> tuple[int, ...]:
    """The shape in which the factors of a LayerScale broadcast against its input."""
    (size,) = node.weights[0].shape
    perm = node.perm or tuple(range(node.type.rank))
    return (size, *(1,) * (node.type.rank - 1 - perm.index(node.type.rank - 1)))


FUNCTIONS = {
    "operands": operands,
    "index_of": index_of,
    "cut_of": cut_of,
    "scale_shape": scale_shape,
}
