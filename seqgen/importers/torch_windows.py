"""Padding by amounts and rounded up, as PyTorch and ONNX have it, in Keras's words for the same.

Sizes are those of one spatial axis each; None is an open one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seqgen.passes.cropping import crop
from seqgen.passes.padding import same_pads


@dataclass(frozen=True)
class Window:
    """A pooling window along one axis.

    Attributes:
        size: How long it is.
        stride: How far it moves.
        pad: How much is padded on both sides.
        ceil: Whether a window may hang over the end (`ceil_mode`).
        after: How much is padded behind, where that is another amount.
    """

    size: int
    stride: int
    pad: int
    ceil: bool
    after: int | None = None

    @property
    def pads(self) -> tuple[int, int]:
        """How much is padded before and after."""
        return self.pad, self.pad if self.after is None else self.after

    def count(self, size: int) -> int:
        """How many windows PyTorch has; the last one has to start inside the input."""
        room = size + sum(self.pads) - self.size
        count = (-(-room // self.stride) if self.ceil else room // self.stride) + 1
        return count - (self.ceil and (count - 1) * self.stride >= size + self.pad)

    def sizes(self, size: int | None) -> Iterator[int]:
        """The sizes to look at: all remainders of the stride for an open one."""
        least = max(1, self.size - sum(self.pads))
        yield from range(least, least + 4 * (self.size + self.stride)) if size is None else (size,)

    def is_valid(self, size: int | None, padded: bool = False) -> bool:
        """Whether the windows are those of `valid` padding, perhaps of an input that is padded."""
        added = sum(self.pads) if padded else 0
        return (padded or self.pads == (0, 0)) and all(
            self.count(n) == (n + added - self.size) // self.stride + 1 for n in self.sizes(size)
        )

    def is_same(self, size: int | None, padded: bool = False) -> bool:
        """Whether the windows are those of `same` padding, perhaps of an input that is padded."""
        added, left = (sum(self.pads), 0) if padded else (0, self.pad)
        for n in self.sizes(size):
            pads = same_pads(n + added, self.size, self.stride)
            before = pads[0] if pads else 0
            if (before, -(-(n + added) // self.stride)) != (left, self.count(n)):
                return False
        return True

    def margins(self, size: int | None) -> tuple[int, int] | None:
        """Amounts of padding with which the windows are those of `valid`; None if it is open."""
        if size is None:
            return self.pads if not self.ceil or self.stride == 1 else None
        reach = (self.count(size) - 1) * self.stride + self.size
        return self.pad, max(0, reach - size - self.pad)


def padding_of(
    windows: Sequence[Window], sizes: Sequence[int | None], padded: bool = False
) -> str | None:
    """Keras's word for the padding of a pooling; None if it has none.

    Args:
        windows: One for each axis.
        sizes: Of the input.
        padded: Whether the padding was added to the input as values.
    """
    pairs = list(zip(windows, sizes, strict=True))
    if all(window.is_valid(size, padded) for window, size in pairs):
        return "valid"
    return "same" if all(window.is_same(size, padded) for window, size in pairs) else None


def is_same_convolution(
    sizes: Sequence[int | None],
    spans: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> bool:
    """Whether a convolution that pads by amounts (before, after) is one with `same` padding."""
    axes = zip(sizes, spans, strides, pads, strict=True)
    return all(same_pads(size, span, stride) == amounts for size, span, stride, amounts in axes)


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution in Keras's words, and what is cropped off behind it."""

    padding: str
    output_padding: tuple[int, ...] | None
    cropping: tuple[tuple[int, int], ...] | None = None


def transposed(
    spans: Sequence[int], strides: Sequence[int], wanted: Sequence[tuple[int, int]]
) -> Transposed | None:
    """A transposed convolution that crops by amounts (before, after); None if Keras cannot.

    Where Keras crops the same, nothing else is needed. Else everything is made and then cropped.
    A negative amount adds to the result.
    """
    wanted = list(wanted)
    axes = list(zip(spans, strides, strict=True))
    for padding in ("valid", "same"):
        if [crop(*axis, padding, None) for axis in axes] == wanted:
            return Transposed(padding, None)
    same = _extras(axes, wanted)
    if same:
        return Transposed("same", same)
    more = tuple(max(0, -after) for _, after in wanted)
    if any(extra >= stride for extra, stride in zip(more, strides, strict=True)):
        return None
    default = tuple(max(0, stride - span) for span, stride in axes)
    cropping = tuple((before, max(0, after)) for before, after in wanted)
    plain = all(cut == (0, 0) for cut in cropping)
    return Transposed("valid", None if more == default else more, None if plain else cropping)


def _extras(
    axes: Sequence[tuple[int, int]], wanted: Sequence[tuple[int, int]]
) -> tuple[int, ...] | None:
    """Keras's `output_padding` with which `same` crops some amounts; None if there is none."""
    found = []
    for (span, stride), amounts in zip(axes, wanted, strict=True):
        fits = (n for n in range(stride) if crop(span, stride, "same", n) == amounts)
        # Keras takes no 0 where the window is even.
        extra = next((n for n in fits if n or span % 2), None)
        if extra is None:
            return None
        found.append(extra)
    return tuple(found)
