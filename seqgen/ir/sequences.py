"""Steps over time that passes put in where the spec has recurrent layers and masks."""

from dataclasses import dataclass

from seqgen.ir.graph import Node, Op
from seqgen.layers.base import Layer

Values = float | tuple[float, ...]


@dataclass(frozen=True)
class _OverSteps(Op):
    """A step of recurrent layers and their masks."""

    family = "recurrent"
    layout = "spec"


@dataclass(frozen=True)
class Mask(_OverSteps):
    """Which values differ from one; with `features`, which steps do in any feature."""

    value: Values
    features: bool = False


@dataclass(frozen=True)
class Lengths(_OverSteps):
    """How many steps of each sequence a mask keeps."""


@dataclass(frozen=True)
class Reverse(_OverSteps):
    """The steps from the last to the first."""

    layout = "any"


@dataclass(frozen=True)
class KeptFirst(_OverSteps):
    """The steps that a mask keeps moved to the front, in order; what follows them is arbitrary."""


@dataclass(frozen=True)
class Spread(_OverSteps):
    """Steps that stand at the front put back where a mask has them.

    A step that the mask leaves out repeats the one before, zeros if there is none, or has zeros
    with `zeros`.
    """

    zeros: bool = False


@dataclass(frozen=True)
class LastStep(_OverSteps):
    """The last step of a sequence."""


@dataclass(frozen=True)
class Join(_OverSteps):
    """The results of two directions as one: by `concat`, `sum`, `mul` or `ave`."""

    layout = "any"

    mode: str


@dataclass(frozen=True)
class JoinHalves(_OverSteps):
    """The results of two directions, which stand side by side, as one: `sum`, `mul` or `ave`."""

    mode: str


@dataclass(frozen=True)
class MergeTime(Op):
    """Every step of every sample as a sample of its own."""

    family = "wrappers"
    layout = "within_time"


@dataclass(frozen=True)
class SplitTime(Op):
    """The steps of each sample together again; the second input tells how many there are."""

    family = "wrappers"
    layout = "within_time"


@dataclass(frozen=True)
class Steps(Op):
    """The sizes of the first two axes: samples and steps."""

    family = "wrappers"
    layout = "any"


@dataclass(frozen=True)
class _Recurrence(Op):
    """A cell that runs over the steps of a sequence.

    Attributes:
        cell: What a step computes.
        return_sequences: Whether the result is every output, or the last one.
        batch: The batch size of the states that are kept from batch to batch; None if none are.
        layout: What it wants its sequence in.
        zeros: Whether the output is zero at a step that a mask leaves out; it repeats the one
            before else.
    """

    family = "recurrent"

    cell: Layer
    return_sequences: bool
    batch: int | None
    layout: str
    zeros: bool = False

    @property
    def kind(self) -> str:
        """Name of the macros and of the rows of weights: how it runs, and what."""
        return f"{type(self).__name__}{type(self.cell).__name__}"


@dataclass(frozen=True)
class Fused(_Recurrence):
    """By an operator of the target, one way or both ways at once."""

    bidirectional: bool = False


@dataclass(frozen=True)
class Loop(_Recurrence):
    """Step by step.

    Attributes:
        state_shape: Of each state where states are images, channels first and without the batch.
    """

    leading = 2

    state_shape: tuple[int, ...] = ()

    def channel_axis(self, rank: int) -> int:
        """Which axis of a sequence of images holds the channels."""
        return 2 if self.cell.data_format == "channels_first" else rank - 1


@dataclass(frozen=True)
class BothWays(Op):
    """A cell that runs forwards and one that runs backwards, and their results joined.

    The variables of the second one begin with `backward_`.
    """

    family = "recurrent"
    leading = 2

    forward: Fused | Loop
    backward: Fused | Loop
    mode: str

    @property
    def row(self) -> str:
        """Which rows of a table of weights are those of both."""
        return f"BothWays{self.forward.kind}{self.backward.kind}"

    @property
    def layout(self) -> str:  # type: ignore[override]
        """That of the two."""
        return self.forward.layout

    def channel_axis(self, rank: int) -> int:
        """Which axis of a sequence of images holds the channels."""
        return self.forward.channel_axis(rank)


def keeps_states(node: Node) -> bool:
    """Whether a node goes on with a batch where the batch before ended."""
    op = node.layer.forward if isinstance(node.layer, BothWays) else node.layer
    return isinstance(op, Fused | Loop) and op.batch is not None
