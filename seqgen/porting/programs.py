"""Where the generated programs have the variables of a model, and how they lie there."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqgen.errors import SpecError
from seqgen.folder import MANIFEST, recorded
from seqgen.ir.graph import Model
from seqgen.layers.base import Weight
from seqgen.layers.objects import Named
from seqgen.passes.layout import LAYOUTS
from seqgen.porting.content import Names
from seqgen.render import Rendering
from seqgen.targets import TARGETS
from seqgen.targets.base import Move, restored
from seqgen.targets.onnx import DEFAULT_OPSET
from seqgen.tensor_file import Lazy
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

# Nothing is drawn for what a file must hold.
NOTHING = Named("Zeros")
NATIVE = "native"


@dataclass(frozen=True)
class Placing:
    """Where a target's program has the variables of a model.

    Attributes:
        lowered: The model as the target's templates spell it.
        placed: Each name in the program, with the way that leads there.
    """

    lowered: Model
    placed: tuple[tuple[str, Move], ...]

    @cached_property
    def by_key(self) -> dict[str, list[tuple[str, Move]]]:
        """The names and ways of each variable."""
        found: dict[str, list[tuple[str, Move]]] = {}
        for name, move in self.placed:
            found.setdefault(move.weight.key, []).append((name, move))
        return found

    @property
    def names(self) -> Names:
        """The names of each variable."""
        return {key: tuple(name for name, _ in ways) for key, ways in self.by_key.items()}

    @property
    def specs(self) -> list[Weight]:
        """What a file of the program must hold, by the program's names."""
        return [
            Weight(name, move.shapes[-1], NOTHING, key=name, dtype=move.weight.dtype)
            for name, move in self.placed
        ]

    def laid_out(self, weights: Weights) -> Weights:
        """Weights in Keras layout as the program has them, by its names."""

        def entry(move: Move) -> Lazy:
            key = move.weight.key
            load: Callable[[], np.ndarray] = lambda: move.apply(weights[key])  # noqa: E731
            return Lazy(move.shapes[-1], weights.dtype(key), load)

        return Weights({name: entry(move) for name, move in self.placed})

    def restored(self, stored: Weights) -> Weights:
        """Weights as the program has them in Keras layout; they must fit."""

        def entry(ways: list[tuple[str, Move]]) -> Lazy:
            names, moves = zip(*ways, strict=True)
            load: Callable[[], np.ndarray] = lambda: restored(  # noqa: E731
                moves, [stored[name] for name in names]
            )
            return Lazy(moves[0].weight.shape, stored.dtype(names[0]), load)

        return Weights({key: entry(ways) for key, ways in self.by_key.items()})


def placing(model: "Sequential", target: str, layout: str) -> Placing:
    """Where a target's program has the variables of a model.

    Raises:
        UnsupportedError: The target cannot say the model, so that there is no program.
    """
    return placing_of(target, TARGETS[target].lower(model.graph(), layout))


def placing_of(target: str, lowered: Model) -> Placing:
    """Where a target's program has the variables of a lowered model."""
    moves = Rendering(TARGETS[target], lowered, opset=DEFAULT_OPSET).page["moves"]
    # ONNX has the names of the weights file.
    pairs = [move if isinstance(move, tuple) else (move.weight.key, move) for move in moves]
    return Placing(lowered, tuple(pairs))


def layout_of(model: "Sequential", path: Path, given: str | None) -> str:
    """The layout of the program that a file of weights belongs to.

    Raises:
        SpecError: The manifest beside the file says another one than was given.
    """
    if given not in (None, *LAYOUTS):
        raise SpecError(f"expected layout 'native' or 'spec', received '{given}'")
    known = recorded(path.parent)
    own = known.get("spec_sha256") == hashlib.sha256(model.to_json().encode()).hexdigest()
    said = known.get("layout") if own else None
    if said not in LAYOUTS:
        return given or NATIVE
    if given not in (None, said):
        raise SpecError(
            f"{path}: {MANIFEST} beside it says layout '{said}', not '{given}'; leave out --layout"
        )
    return str(said)
