"""Arrays that belong to variables: those of the oracle beside those of a program."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from seqgen.targets.base import Move
from seqgen.verify.bench import Bench
from seqgen.verify.compare import difference
from seqgen.verify.report import Row
from seqgen.verify.rows import layer_of, moves_by_key, names_of

# The size, as part of that of the largest array, below which errors are no longer relative.
SMALLEST = 1e-5


@dataclass(frozen=True)
class Pair:
    """An array of the oracle that belongs to a variable, and what a program has for it.

    Attributes:
        name: What it is called.
        key: The variable.
        wanted: The oracle's, as the program lays it out: one, or one for each part.
        found: The program's; None where it has none. Where it is the same along an axis it may
            have one number there.
    """

    name: str
    key: str
    wanted: list[np.ndarray]
    found: list[np.ndarray | None]

    @property
    def error(self) -> float:
        """The largest relative error of a part."""
        # One array may be that of every part.
        wanted = self.wanted * (len(self.found) if len(self.wanted) == 1 else 1)
        pairs = zip(wanted, self.found, strict=True)
        return max((apart(a, b) for a, b in pairs), default=math.inf)

    @property
    def size(self) -> float:
        """The largest number that is expected."""
        return max((float(np.abs(part).max()) for part in self.wanted if part.size), default=0.0)


def apart(expected: np.ndarray, received: np.ndarray | None) -> float:
    """The relative error of an array."""
    if received is None:
        return math.inf
    if received.ndim == expected.ndim:
        received = np.broadcast_to(received, expected.shape)
    return difference(expected, received).error


@dataclass(frozen=True)
class Placing:
    """Where the variables of a model are in a target's program.

    Attributes:
        bench: The programs.
        target: The target.
    """

    bench: Bench
    target: str

    @cached_property
    def moves(self) -> dict[str, list[Move]]:
        """The way of each variable; none where it stays as it is in Keras."""
        return moves_by_key(self.bench, self.target)

    @cached_property
    def names(self) -> Mapping[str, Any]:
        """The target's names of each variable."""
        found: Mapping[str, Any] = self.bench.manifest.content["targets"][self.target]["weights"]
        return found

    def pair(
        self, key: str, value: np.ndarray, received: Mapping[Any, np.ndarray], *slots: str
    ) -> Pair:
        """An array of a variable beside the program's, which may be of a slot of the two names."""
        wanted = [move.apply(value) for move in self.moves.get(key, ())] or [value]
        names = names_of(self.names, key)
        if not slots:
            return Pair(key, key, wanted, [received.get(name) for name in names])
        slot, own = slots
        found = [received.get((own, name)) for name in names]
        return Pair(f"{key} ({slot})", key, wanted, found)


def by_name(bench: Bench, row: Row, pairs: Sequence[Pair]) -> Row:
    """Compare arrays of variables; the first that differs is named."""
    assert row.tolerance is not None
    # A gradient that is zero but for rounding has no size to compare with but that of the others.
    least, largest = SMALLEST * max((pair.size for pair in pairs), default=0.0), 0.0
    for pair in pairs:
        error = pair.error * (pair.size / least if 0 < pair.size < least else 1.0)
        largest = max(largest, error)
        if error > row.tolerance:
            layer, note = layer_of(bench.graph, pair.key), f"first: {pair.name}"
            return replace(row, status="different", error=error, layer=layer, note=note)
    return replace(row, error=largest, cases=len(pairs))
