"""Windows of ONNX that slide, over the axes that the spec has, and what pads for them."""

from dataclasses import dataclass, replace

from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Value
from seqgen.importers.onnx_walk import Walk
from seqgen.passes.padding import same_pads

# Wider windows are typing errors, and would take long to look at.
WIDEST = 2**16
Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Sliding:
    """The attributes of windows that slide, for the axes that the spec has.

    Attributes:
        x: The input, its channels last.
        window: Sizes of the window.
        strides: How far it moves.
        dilations: How far apart its values stand.
        pads: How much is padded before and after; None where that hangs on open sizes.
        same: Whether padding is said by a word that is Keras's `same`.
        kept: Which of the spatial axes of the file the spec has.
    """

    x: Value
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pairs | None
    same: bool
    kept: tuple[int, ...]

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kept)

    @property
    def spans(self) -> list[int]:
        """How far the window reaches along each axis."""
        pairs = zip(self.window, self.dilations, strict=True)
        return [(size - 1) * dilation + 1 for size, dilation in pairs]

    @property
    def sizes(self) -> list[int | None]:
        """The spatial sizes of the input; None for an open one."""
        return [size if isinstance(size, int) else None for size in self.x.dims[1:-1]]


def sliding(walk: Walk, operator: Operator, x: Value, window: tuple[int, ...]) -> Sliding:
    """The windows, without the axes that are there in the file only to have more of them."""
    rank = len(window)
    if x.rank != rank + 2 or rank not in (1, 2, 3):
        operator.refuse(f"expected {rank + 2} axes, 3 to 5, received an input {x.shown}")
    strides = operator.integers("strides", rank, (1,) * rank)
    dilations = operator.integers("dilations", rank, (1,) * rank)
    given = operator.integers("pads", 2 * rank, (0,) * (2 * rank))
    sizes = (*window, *strides, *dilations)
    if not 1 <= min(sizes) <= max(sizes) <= WIDEST or min(given) < 0:
        operator.refuse(
            f"expected windows and strides of at least 1 and pads of at least 0: {given}"
        )
    pads = list(zip(given[:rank], given[rank:], strict=True))
    still = [(1, 1, (0, 0))] * rank
    told = list(zip(window, strides, pads, strict=True))
    # An axis that the spec lacks has size 1: a window of 1 leaves it alone.
    missing = [not x.axes[at + 2] and told[at] == still[at] for at in range(rank)]
    kept = tuple(at for at in range(rank) if not missing[at] or rank - sum(missing) == 0)
    moved = walk.arranged(_without(x, kept), (0, *range(2, len(kept) + 2), 1))
    word = operator.text("auto_pad", "NOTSET") or "NOTSET"
    picked = [tuple(values[at] for at in kept) for values in (window, strides, dilations)]
    found = Sliding(moved, *picked, [pads[at] for at in kept], word == "SAME_UPPER", kept)
    if word == "SAME_LOWER":
        return replace(found, pads=_lower(found))
    if word not in ("NOTSET", "VALID", "SAME_UPPER"):
        operator.refuse(f"expected NOTSET, VALID or SAME_UPPER, received {word!r}", "auto_pad")
    return replace(found, pads=[(0, 0)] * len(kept)) if word == "VALID" else found


def _without(x: Value, kept: tuple[int, ...]) -> Value:
    """The input without the spatial axes that the spec does not have."""
    return replace(x, axes=(*x.axes[:2], *(x.axes[at + 2] for at in kept)))


def _lower(windows: Sliding) -> Pairs | None:
    """The amounts of padding whose odd one stands before; None if sizes are open."""
    axes = zip(windows.sizes, windows.spans, windows.strides, strict=True)
    amounts = [same_pads(*axis) for axis in axes]
    return None if None in amounts else [pair[::-1] for pair in amounts if pair]


def back(windows: Sliding, y: Value, operator_rank: int) -> Value:
    """A result with the axes that the file has."""
    spec = windows.rank + 1
    places = {at: place for place, at in enumerate(windows.kept, 1)}
    spatial = tuple((places[at],) if at in places else () for at in range(operator_rank))
    return replace(y, axes=((0,), (spec,), *spatial))


def padded(walk: Walk, windows: Sliding, pads: Pairs) -> Value:
    """The input behind a ZeroPadding, if it is padded at all."""
    if all(pair == (0, 0) for pair in pads):
        return windows.x
    kind = f"ZeroPadding{windows.rank}D"
    return walk.layer(kind, windows.x, padding=tuple(pads), label="pad")
