"""Steps that passes put in where the spec makes one tensor of several."""

from dataclasses import dataclass

from seqgen.ir.graph import Op
from seqgen.ir.types import Permutation


@dataclass(frozen=True)
class _OfMerges(Op):
    """A step of layers that have several inputs."""

    family = "merging"
    layout = "spec"


@dataclass(frozen=True)
class AddAxes(_OfMerges):
    """A number of axes of size 1 behind the batch."""

    count: int

    def keeps_order(self, perm: Permutation) -> bool:
        """Whether the other axes stand in the order of the input after a transpose by `perm`."""
        others = [axis for axis in perm if not 1 <= axis <= self.count]
        return others == sorted(others)


@dataclass(frozen=True)
class Filled(_OfMerges):
    """A value at the steps that a mask leaves out."""

    value: float


@dataclass(frozen=True)
class Chosen(_OfMerges):
    """The first input at the steps that a mask keeps, and the second at the others."""


@dataclass(frozen=True)
class EitherMask(_OfMerges):
    """What one of several masks keeps."""


@dataclass(frozen=True)
class FullMask(_OfMerges):
    """A mask that keeps every step."""


@dataclass(frozen=True)
class UnitLength(_OfMerges):
    """Divided by the Euclidean norm along an axis, or by `least` where that is smaller."""

    axis: int
    least: float


@dataclass(frozen=True)
class Einsum(_OfMerges):
    """Sums of products of two tensors, by the labels of their axes."""

    equation: str


@dataclass(frozen=True)
class RowDots(_OfMerges):
    """The sum of the products of each row of two batches of vectors."""
