"""The kinds of arguments that layers take.

A kind knows how to check and normalize a value as Keras would (`parse`), what to say when it
cannot (`expected`), and how JSON Schema says the same (`schema`). Layers declare their arguments
with `arg(kind, default)`.
"""

import dataclasses
import difflib
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JsonSchema = dict[str, Any]
# Sizes beyond this are typing errors; products of them would not fit the formats written.
LARGEST_INT = 2**31 - 1


@dataclass(frozen=True)
class Kind:
    """A kind of argument.

    Attributes:
        expected: What an error says was expected.
        parse: Takes the raw value and the rank of the layer (number of spatial axes, 0 if it has
            none) and returns the normalized value, or raises `ValueError` or `TypeError`.
        schema: JSON Schema of the values accepted, as a function of the rank.
        brief: Gives the shortest value that `parse` normalizes to the given one.
        of_layers: Whether values are layers, or sequences of them.
    """

    expected: str
    parse: Callable[[Any, int], Any]
    schema: Callable[[int], JsonSchema]
    brief: Callable[[Any], Any] = lambda value: value
    of_layers: bool = False


def arg(kind: Kind, default: Any = dataclasses.MISSING, kw_only: bool = False) -> Any:
    """Declare a layer's argument. Without a default it must be given."""
    return dataclasses.field(default=default, kw_only=kw_only, metadata={"kind": kind})


def near_miss(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'relu'?"` if `name` is close to one of the known names, else empty."""
    known = list(known)
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean '{lowered[close[0]]}'?" if close else ""


def short(value: Any) -> str:
    """A value as it appears in an error message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _integer(value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError
    if not low <= value <= LARGEST_INT:
        raise ValueError
    return int(value)


def integer(low: int, expected: str) -> Kind:
    """An integer of at least `low`."""
    return Kind(
        expected,
        lambda value, rank: _integer(value, low),
        lambda rank: {"type": "integer", "minimum": low, "maximum": LARGEST_INT},
    )


def _real(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError
    if not (low <= value <= high) or math.isnan(value):
        raise ValueError
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def real(low: float = -math.inf, high: float = math.inf, expected: str = "a number") -> Kind:
    """A real number in [low, high]."""
    bounds = {"minimum": low, "maximum": high}
    finite = {key: bound for key, bound in bounds.items() if math.isfinite(bound)}
    return Kind(
        expected,
        lambda value, rank: _real(value, low, high),
        lambda rank: {"type": "number", **finite},
    )


def _boolean(value: Any, rank: int) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def choice(*options: str, any_case: bool = False) -> Kind:
    """One of a fixed set of strings; in capitals too where Keras takes them."""

    def parse(value: Any, rank: int) -> str:
        if any_case and isinstance(value, str):
            value = value.lower()
        if value not in options:
            hint = near_miss(value, options) if isinstance(value, str) else ""
            raise ValueError(hint)
        return value

    listed = ", ".join(f"'{option}'" for option in options)
    return Kind(f"one of {listed}", parse, lambda rank: {"enum": list(options)})


def optional(kind: Kind) -> Kind:
    """The same kind, or None."""
    return Kind(
        f"{kind.expected}, or null",
        lambda value, rank: None if value is None else kind.parse(value, rank),
        lambda rank: {"anyOf": [kind.schema(rank), {"type": "null"}]},
        lambda value: None if value is None else kind.brief(value),
        kind.of_layers,
    )


def defaulting(kind: Kind, default: Any) -> Kind:
    """The same kind, where None stands for a default."""
    with_null = optional(kind)
    return Kind(
        with_null.expected,
        lambda value, rank: default if value is None else kind.parse(value, rank),
        with_null.schema,
    )


def null(why: str) -> Kind:
    """Nothing but None: an argument that Keras has and that is refused for the reason given."""

    def parse(value: Any, rank: int) -> None:
        if value is not None:
            raise ValueError(f"; it is not supported: {why}")

    return Kind("null", parse, lambda rank: {"type": "null"})


def _sequence(value: Any, length: int | None = None) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError
    items = list(value)
    if length is not None and len(items) != length:
        raise ValueError
    return items


def scalar(values: Any) -> Any:
    """One value for a tuple that repeats it: (3, 3) -> 3."""
    return values[0] if isinstance(values, tuple) and len(set(values)) == 1 else values


def spatial(low: int) -> Kind:
    """An integer, or one per spatial axis; a scalar counts for every axis, as in Keras."""

    def parse(value: Any, rank: int) -> tuple[int, ...]:
        if isinstance(value, numbers.Integral):
            return (_integer(value, low),) * rank
        return tuple(_integer(item, low) for item in _sequence(value, rank))

    def schema(rank: int) -> JsonSchema:
        one = {"type": "integer", "minimum": low, "maximum": LARGEST_INT}
        many = {"type": "array", "items": one, "minItems": rank, "maxItems": rank}
        return {"anyOf": [one, many]}

    least = "positive" if low == 1 else "non-negative"
    return Kind(f"a {least} integer, or one for each spatial axis", parse, schema, scalar)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, numbers.Integral):
        return (_integer(value, 0),) * 2
    before, after = _sequence(value, 2)
    return _integer(before, 0), _integer(after, 0)


def _margins(value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """Amounts (before, after) for each spatial axis, in all the ways in which Keras takes them."""
    if isinstance(value, numbers.Integral):
        return (_pair(value),) * rank
    items = _sequence(value)
    # In one dimension Keras takes (before, after); ((before, after),) is what it becomes here.
    if rank == 1 and not (len(items) == 1 and isinstance(items[0], Iterable)):
        return (_pair(items),)
    return tuple(_pair(item) for item in _sequence(items, rank))


def _brief_margins(margins: tuple[tuple[int, int], ...]) -> Any:
    if len(margins) == 1:
        return scalar(margins[0])
    same = len({amount for pair in margins for amount in pair}) == 1
    return margins[0][0] if same else margins


def _margins_schema(rank: int) -> JsonSchema:
    one = {"type": "integer", "minimum": 0, "maximum": LARGEST_INT}
    pair = {"type": "array", "items": one, "minItems": 2, "maxItems": 2}
    each = {"type": "array", "items": {"anyOf": [one, pair]}, "minItems": rank, "maxItems": rank}
    return {"anyOf": [one, each, pair] if rank == 1 else [one, each]}


def _axes(value: Any, rank: int) -> int | tuple[int, ...]:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    axes = tuple(_integer(item, -LARGEST_INT) for item in _sequence(value))
    if not axes or len(set(axes)) != len(axes):
        raise ValueError
    return axes


def _array_of(kind: JsonSchema) -> JsonSchema:
    return {"anyOf": [kind, {"type": "array", "items": kind, "minItems": 1}]}


def integers(low: int, expected: str) -> Kind:
    """A sequence of integers of at least `low`, of any length; a scalar is a sequence of one."""

    def parse(value: Any, rank: int) -> tuple[int, ...]:
        items = [value] if isinstance(value, numbers.Integral) else _sequence(value)
        return tuple(_integer(item, low) for item in items)

    one = {"type": "integer", "minimum": low}
    return Kind(expected, parse, lambda rank: {"anyOf": [one, {"type": "array", "items": one}]})


def open_sizes(low: int, expected: str) -> Kind:
    """A sequence of integers of at least `low`, where None leaves a size open."""

    def parse(value: Any, rank: int) -> tuple[int | None, ...]:
        return tuple(None if item is None else _integer(item, low) for item in _sequence(value))

    item = {"anyOf": [{"type": "integer", "minimum": low}, {"type": "null"}]}
    return Kind(expected, parse, lambda rank: {"type": "array", "items": item})


def shape_of(values: Any) -> tuple[int, ...]:
    """Shape of a number or of nested tuples of numbers; `ValueError` if they are ragged."""
    if not isinstance(values, tuple):
        return ()
    shapes = {shape_of(item) for item in values}
    if len(shapes) != 1:
        raise ValueError
    return (len(values), *shapes.pop())


def _numbers(value: Any, rank: int) -> Any:
    """A number or a nested sequence of numbers, as nested tuples."""
    if hasattr(value, "tolist"):  # a NumPy array or scalar
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        values = tuple(_numbers(item, rank) for item in value)
        shape_of(values)
        return values
    return _real(value, -math.inf, math.inf)


def _text(value: Any, rank: int) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


BOOLEAN = Kind("true or false", _boolean, lambda rank: {"type": "boolean"})
INTEGER = integer(-LARGEST_INT, "an integer")
POSITIVE = integer(1, "a positive integer")
REAL = real()
NON_NEGATIVE_REAL = real(0.0, expected="a number of at least 0")
PROBABILITY = real(0.0, 1.0, "a number from 0 to 1")
TEXT = Kind("a string", _text, lambda rank: {"type": "string", "minLength": 1})
SPATIAL = spatial(1)
MARGINS = Kind(
    "a non-negative integer, or one or a pair (before, after) for each spatial axis",
    _margins,
    _margins_schema,
    _brief_margins,
)
AXES = Kind("an axis or several different axes", _axes, lambda rank: _array_of({"type": "integer"}))
NUMBERS = Kind(
    "a number or an array of numbers",
    _numbers,
    lambda rank: {"anyOf": [{"type": "number"}, {"type": "array"}]},
)
DATA_FORMAT = defaulting(choice("channels_last", "channels_first", any_case=True), "channels_last")
DTYPES = ("float32", "float64", "float16", "bfloat16")
DTYPE = choice(*DTYPES)
