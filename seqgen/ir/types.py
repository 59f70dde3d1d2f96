"""What flows along an edge: a tensor type with named axes and symbolic sizes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

# A size is an integer, or the name of a size that stays open until run time.
Dim = int | str
Permutation = tuple[int, ...]

BATCH = "batch"
TIMED = "time_"
SPATIAL_AXES = {
    1: ("time",),
    2: ("height", "width"),
    3: ("depth", "height", "width"),
}


def axis_names(rank: int, data_format: str = "channels_last") -> tuple[str, ...]:
    """Axis names of a tensor with `rank` axes, the batch included.

    With one spatial axis the last axis is called channels as well: a step of a sequence holds
    channels to a convolution and features to a Dense layer, and both mean the same axis. A format
    that begins with `time_` has steps before the axes of a sample.
    """
    if rank == 1:
        return (BATCH,)
    if data_format.startswith(TIMED):
        inner = axis_names(rank - 1, data_format.removeprefix(TIMED))
        return (BATCH, "time", *inner[1:])
    if rank == 2:
        return (BATCH, "features")
    spatial = SPATIAL_AXES.get(rank - 2) or tuple(f"axis_{i}" for i in range(1, rank - 1))
    if data_format == "channels_first":
        return (BATCH, "channels", *spatial)
    return (BATCH, *spatial, "channels")


@dataclass(frozen=True)
class TensorType:
    """Shape, axis names and dtype of a tensor, the batch axis included.

    A size of None is one that a layer's shape rule leaves open; inference names it.
    """

    shape: tuple[Dim | None, ...]
    axes: tuple[str, ...]
    dtype: str

    @classmethod
    def of(
        cls, sizes: Iterable[Dim | None], dtype: str, data_format: str = "channels_last"
    ) -> "TensorType":
        """The type of a batch of tensors with these sizes (the batch axis is added)."""
        shape = (BATCH, *sizes)
        return cls(shape, axis_names(len(shape), data_format), dtype)

    @property
    def rank(self) -> int:
        """Number of axes, the batch included."""
        return len(self.shape)

    @property
    def sizes(self) -> tuple[Dim | None, ...]:
        """The shape without the batch axis."""
        return self.shape[1:]

    @property
    def keras_shape(self) -> tuple[int | None, ...]:
        """The shape as Keras prints it: None for every open size, the batch included."""
        return tuple(size if isinstance(size, int) else None for size in self.shape)

    @property
    def static(self) -> bool:
        """Whether every size but the batch is known."""
        return all(isinstance(size, int) for size in self.sizes)

    def with_sizes(self, sizes: Iterable[Dim | None], data_format: str = "") -> "TensorType":
        """The same dtype with other sizes; axes are named anew if rank or format says so."""
        shape = (self.shape[0], *sizes)
        if len(shape) == self.rank and not data_format:
            return replace(self, shape=shape)
        return replace(
            self, shape=shape, axes=axis_names(len(shape), data_format or "channels_last")
        )

    def permuted(self, perm: Permutation) -> "TensorType":
        """The type after a transpose by `perm`."""
        return replace(
            self,
            shape=tuple(self.shape[i] for i in perm),
            axes=tuple(self.axes[i] for i in perm),
        )


def channels_first_perm(rank: int, channel_axis: int, leading: int = 1) -> Permutation:
    """The permutation that moves `channel_axis` to the place behind the leading axes."""
    rest = (axis for axis in range(leading, rank) if axis != channel_axis)
    return (*range(leading), channel_axis, *rest)


def inverse(perm: Permutation) -> Permutation:
    """The permutation that undoes `perm`."""
    return tuple(perm.index(axis) for axis in range(len(perm)))


def compose(first: Permutation, second: Permutation) -> Permutation:
    """The one permutation that equals transposing by `first` and then by `second`."""
    return tuple(first[axis] for axis in second)
