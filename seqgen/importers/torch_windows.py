"""Padding as PyTorch has it, by amounts and rounded up, in Keras's words where they say the same.

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
        pad: How much PyTorch pads on both sides.
        ceil: Whether a window may hang over the end (`ceil_mode`).
    """

    size: int
    stride: int
    pad: int
    ceil: bool

    def count(self, size: int) -> int:
        """How many windows PyTorch has; the last one has to start inside the input."""
        room = size + 2 * self.pad - self.size
        count = (-(-room // self.stride) if self.ceil else room // self.stride) + 1
        return count - (self.ceil and (count - 1) * self.stride >= size + self.pad)

    def sizes(self, size: int | None) -> Iterator[int]:
        """The sizes to look at: all remainders of the stride for an open one."""
        least = max(1, self.size - 2 * self.pad)
        yield from range(least, least + 4 * (self.size + self.stride)) if size is None else (size,)

    def is_valid(self, size: int | None, padded: int = 0) -> bool:
        """Whether the windows are those of `valid` padding, of an input padded on both sides."""
        return self.pad == padded and all(
            self.count(n) == (n + 2 * padded - self.size) // self.stride + 1
            for n in self.sizes(size)
        )

    def is_same(self, size: int | None, padded: int = 0) -> bool:
        """Whether the windows are those of `same` padding, of an input padded on both sides."""
        for n in self.sizes(size):
            pads = same_pads(n + 2 * padded, self.size, self.stride)
            before = pads[0] if pads else 0
            count = -(-(n + 2 * padded) // self.stride)
            if (before, count) != (self.pad - padded, self.count(n)):
                return False
        return True

    def margins(self, size: int | None) -> tuple[int, int] | None:
        """Amounts of padding with which the windows are those of `valid`; None if it is open."""
        if size is None:
            return (self.pad, self.pad) if not self.ceil or self.stride == 1 else None
        reach = (self.count(size) - 1) * self.stride + self.size
        return self.pad, max(0, reach - size - self.pad)


def padding_of(
    windows: Sequence[Window], sizes: Sequence[int | None], padded: bool = False
) -> str | None:
    """Keras's word for the padding of a pooling; None if it has none.

    Args:
        windows: One for each axis.
        sizes: Of the input.
        padded: Whether PyTorch's padding was added to the input as values.
    """
    pairs = [(w, n, w.pad if padded else 0) for w, n in zip(windows, sizes, strict=True)]
    if all(window.is_valid(n, padded) for window, n, padded in pairs):
        return "valid"
    return "same" if all(window.is_same(n, padded) for window, n, padded in pairs) else None


def is_same_convolution(
    sizes: Sequence[int | None],
    spans: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
) -> bool:
    """Whether a convolution that pads by some amounts is one with `same` padding."""
    axes = zip(sizes, spans, strides, pads, strict=True)
    return all(same_pads(size, span, stride) == (pad, pad) for size, span, stride, pad in axes)


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution in Keras's words, and what is cropped off behind it."""

    padding: str
    output_padding: tuple[int, ...] | None
    cropping: tuple[tuple[int, int], ...] | None = None


def transposed(
    spans: Sequence[int], strides: Sequence[int], pads: Sequence[int], extras: Sequence[int]
) -> Transposed | None:
    """PyTorch's `padding` and `output_padding` of a transposed convolution; None if Keras cannot.

    Where Keras crops the same, nothing else is needed. Else everything is made and then cropped.
    """
    wanted = [(pad, pad - extra) for pad, extra in zip(pads, extras, strict=True)]
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
