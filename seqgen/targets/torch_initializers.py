"""How PyTorch programs draw first values: from the distributions of Keras's initializers."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.initializers import SCALINGS, fans
from seqgen.layers.objects import FORGET_BIAS, INITIALIZERS, Named
from seqgen.targets.base import Move
from seqgen.training.settings import full

# The fans of a kernel of PyTorch, whose first dim is what comes out.
FANS = {"fan_in": "p[0].numel()", "fan_out": "p[:, 0].numel()"}
AVERAGE = f"({FANS['fan_in']} + {FANS['fan_out']})"
# Uniform distributions that PyTorch has functions for.
OWN = {
    "GlorotUniform": ("xavier_uniform_", ""),
    "HeUniform": ("kaiming_uniform_", ', nonlinearity="relu"'),
    "LecunUniform": ("kaiming_uniform_", ', nonlinearity="linear"'),
}


@dataclass(frozen=True)
class Group:
    """Parameters whose first values are drawn alike.

    Attributes:
        condition: Whether a parameter of a `name` is among them, as source code.
        lines: The statements that draw values into one, `p`.
    """

    condition: str
    lines: tuple[str, ...]


def groups(placed: Sequence[tuple[str, Move]]) -> list[Group]:
    """The variables of a program, grouped by how they are drawn.

    Args:
        placed: Every variable by its name in the program.

    Raises:
        UnsupportedError: A program cannot draw one so.
    """
    drawn: dict[tuple[str, ...], list[str]] = {}
    for name, move in placed:
        initializer = move.weight.initializer
        drawn.setdefault(tuple(_lines(initializer, move)), []).append(name)
    everything = [name for name, _ in placed]
    return [Group(_condition(names, everything), lines) for lines, names in drawn.items()]


def _condition(names: Sequence[str], everything: Sequence[str]) -> str:
    """What holds for some names, and for no others, as source code.

    It looks at the shortest ends, in whole parts, that no other name has.
    """
    others = set(everything) - set(names)
    ends: dict[str, None] = {}
    whole: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        found = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        clear = next((end for end in found if not any(o.endswith(end) for o in others)), None)
        # A name may be the end of another one.
        (whole if clear is None else ends)[clear or name] = None
    tests = [f"name.endswith({_one_of(ends)})"] if ends else []
    if whole:
        tests.append(f"name {'in' if len(whole) > 1 else '=='} {_one_of(whole)}")
    return " or ".join(tests)


def _one_of(names: Iterable[str]) -> str:
    """A name alone, or several as a tuple, as source code."""
    first, *more = map(json.dumps, names)
    return f"({', '.join((first, *more))})" if more else first


def _lines(initializer: Named, move: Move) -> list[str]:
    """The statements that draw values of an initializer into a parameter."""
    name = initializer.name
    if name == FORGET_BIAS:
        inner: Named = initializer.kwargs["bias_initializer"]
        if move.steps:
            raise _unsupported(initializer, move)
        return [*_lines(inner, move), "p.chunk(4)[1].fill_(1.0)"]
    given = full(initializer, INITIALIZERS)
    seed = given.get("seed")
    source = "" if seed is None else f", generator=torch.Generator().manual_seed({seed})"
    if name in ("Zeros", "Ones"):
        return [f"nn.init.{name.lower()}_(p)"]
    if name == "RandomNormal":
        return [f"nn.init.normal_(p, {given['mean']!r}, {given['stddev']!r}{source})"]
    if name == "RandomUniform":
        return [f"nn.init.uniform_(p, {given['minval']!r}, {given['maxval']!r}{source})"]
    if name == "TruncatedNormal":
        mean, deviation = given["mean"], given["stddev"]
        ends = f"{mean - 2 * deviation!r}, {mean + 2 * deviation!r}"
        return [f"nn.init.trunc_normal_(p, {mean!r}, {deviation!r}, {ends}{source})"]
    if name in SCALINGS:
        scale, mode, distribution = SCALINGS[name]
        given = {**given, "scale": scale, "mode": mode, "distribution": distribution}
    if "distribution" in given:
        return _scaled(name, given, move, source)
    return _laid_out(initializer, given, move, source)


def _scaled(name: str, given: dict[str, Any], move: Move, source: str) -> list[str]:
    """The statements that draw values whose variance hangs on the size of the kernel."""
    fan, agrees = _fan(given, move)
    if agrees and name in OWN:
        function, more = OWN[name]
        return [f"nn.init.{function}(p{more}{source})"]
    if given["distribution"] == "uniform":
        variance = _quotient(3 * given["scale"], fan)
        return [f"limit = {variance}", f"nn.init.uniform_(p, -limit, limit{source})"]
    deviation = _quotient(given["scale"], fan)
    if given["distribution"] == "untruncated_normal":
        return [f"nn.init.normal_(p, std={deviation}{source})"]
    return [f"truncated_normal_(p, {deviation}{source})"]


def _quotient(scale: float, fan: str | float) -> str:
    """The root of a scale over a fan, as source code."""
    if not isinstance(fan, str):
        return repr(math.sqrt(scale / max(1.0, fan)))
    if fan == AVERAGE:
        scale *= 2
    return f"math.sqrt({scale:g} / {fan})"


def _fan(given: dict[str, Any], move: Move) -> tuple[str | float, bool]:
    """The fan of a kernel: of its dims as source code if these tell it, otherwise a number."""
    counts = fans(move.weight.shape, given["input_axes"], given["output_axes"])
    shape, mode = move.shapes[-1], given["mode"]
    counted = (math.prod(shape[1:]), math.prod((*shape[:1], *shape[2:])))
    place = {"fan_in": slice(0, 1), "fan_out": slice(1, 2), "fan_avg": slice(0, 2)}[mode]
    if len(shape) > 1 and sum(counts[place]) == sum(counted[place]):
        return FANS.get(mode, AVERAGE), True
    return sum(counts[place]) / len(counts[place]), False


def _laid_out(initializer: Named, given: dict[str, Any], move: Move, source: str) -> list[str]:
    """The statements that set values each of which has its place: drawn as Keras lays them out."""
    shape = move.weight.shape
    name, way = initializer.name, move.spell("permute")
    if any(step == "row" for step, _ in move.steps):
        raise _unsupported(initializer, move)
    if name == "Constant":
        value = given["value"]
        if isinstance(value, (int, float)):
            return [f"nn.init.constant_(p, {value!r})"]
        made = f"torch.tensor({value!r}).expand{shape}"
        return [f"p.copy_({made}{way})"]
    factor = f"{given['gain']!r} * " if given["gain"] != 1 else ""
    if name == "Identity":
        return [f"p.copy_({factor}torch.eye{shape}{way})"]
    options = (f", gain={given['gain']!r}" if factor else "") + source
    rows = math.prod(shape[:-1])
    if len(shape) == len(move.shapes[-1]) and _last_becomes_first(move):
        return [f"nn.init.orthogonal_(p{options})"]
    made = f"nn.init.orthogonal_(torch.empty({rows}, {shape[-1]}){options})"
    return [f"p.copy_({made}.reshape{shape}{way})"]


def _last_becomes_first(move: Move) -> bool:
    """Whether PyTorch sees the matrix that Keras sees, or its transpose, rows perhaps in order."""
    rank = len(move.weight.shape)
    if rank == 2:
        return True
    whole = [numbers for step, numbers in move.steps if step == "transpose"]
    return len(move.steps) == len(whole) == 1 and whole[0][0] == rank - 1


def _unsupported(initializer: Named, move: Move) -> UnsupportedError:
    message = f"target 'torch' draws no {initializer.name} into a variable that it has in parts"
    return UnsupportedError(f"'{move.weight.key}': {message}; use another initializer")
