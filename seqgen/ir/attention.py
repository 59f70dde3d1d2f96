"""Steps of attention that passes put in where the spec has layers of it."""

from dataclasses import dataclass

from seqgen.ir.graph import Op


@dataclass(frozen=True)
class _OfAttention(Op):
    """A step of attention; steps are the last axis but one."""

    family = "attention"
    layout = "spec"


@dataclass(frozen=True)
class AttentionMask(_OfAttention):
    """Which steps of a query may attend to which of a value.

    Attributes:
        parts: What it is made of, an input each: `query` and `value` for masks of their steps,
            `pairs` for one of the pairs. Query and value stand in front of those.
        causal: Whether a step attends to none behind it.
        window: Whether it attends to those alone that are less than this number of steps away.
    """

    parts: tuple[str, ...]
    causal: bool
    window: int | None

    @property
    def counts_steps(self) -> bool:
        """Whether it depends on the numbers of steps."""
        return self.causal or self.window is not None


@dataclass(frozen=True)
class Attend(_OfAttention):
    """Attention without heads, of a query, a value, a key and, if there is one, a mask.

    Attributes:
        score: How query and key go together: `dot`, `concat` or `additive`.
        dropout: Of the weights of the steps.
    """

    score: str
    dropout: float


@dataclass(frozen=True)
class AttendHeads(_OfAttention):
    """Attention of several heads, of a query, a value, a key and, if there is one, a mask.

    Attributes:
        heads: How many the query has.
        key_heads: How many key and value have.
        dropout: Of the weights of the steps.
        causal: Whether a step attends to none behind it; a mask says so itself.
        zeros: Whether a step that may attend to nothing gets zeros, and not the mean of all.
    """

    heads: int
    key_heads: int
    dropout: float
    causal: bool
    zeros: bool
