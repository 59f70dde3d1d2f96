"""What a file of weights holds, as every format gives it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqgen.errors import MismatchError
from seqgen.layers.base import Weight
from seqgen.weights import Weights, check

# The names that a file has for each variable, by key: several where it lies there in parts.
Names = dict[str, tuple[str, ...]]
Match = Literal["names", "order"]


@dataclass(frozen=True)
class Search:
    """How the variables of a file are found.

    Attributes:
        match: By their names, or by the order of the modules that have them; None if the file may
            tell.
        spec_order: Of a module that is matched by order: whether it has features in the order of
            the spec, also where PyTorch's layers have the channels first.
    """

    match: Match | None = None
    spec_order: bool = False


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        weights: The variables in Keras layout, by key.
        left_out: Names of what it holds besides, and Keras has no variable for.
        names: What it calls each variable, if not what files of its kind do.
        matched: How its variables were found.
    """

    weights: Weights
    left_out: tuple[str, ...] = ()
    names: Names | None = None
    matched: Match = "names"


def checked(
    path: Path, weights: Weights, specs: Iterable[Weight], dtype: str, hint: str = ""
) -> Weights:
    """The weights of a file, which must be exactly those that are expected there.

    Raises:
        MismatchError: Lists all that do not fit, by the names of the file, the hint below.
    """
    try:
        check(weights, specs, dtype)
    except MismatchError as error:
        below = f"\n  {hint}" if hint else ""
        raise MismatchError(f"{path}: {error}{below}") from None
    return weights


def refused(path: Path, what: str, faults: list[str]) -> None:
    """Raise a `MismatchError` that lists all faults of a file, if there are any."""
    if faults:
        raise MismatchError("\n  ".join((f"{path}: {what}:", *faults)))
