"""Numbers that differ between the uses of a class, and stand in its source as parameters."""

import operator
from collections.abc import Callable
from typing import Any


class Varying:
    """A number of each use of a class; it prints as the parameter, or as what is made of it.

    Macros print numbers and count with them; they do so with all values at once. A comparison is
    true or false for all: `!=` where any value differs, so that an argument is written as soon as
    one use needs it.

    Attributes:
        values: The number of each use.
        text: The source code that gives it.
    """

    values: tuple[Any, ...]
    text: str

    def _made(self, other: Any, how: Callable[[Any, Any], Any], text: str) -> Any:
        others = other.values if isinstance(other, Varying) else (other,) * len(self.values)
        return varying(tuple(map(how, self.values, others)), text)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, int) and other == 1:
            return self
        return self._made(other, operator.mul, f"{self.text} * {other}")

    def __rmul__(self, other: Any) -> Any:
        return self._made(other, lambda a, b: b * a, f"{other} * {self.text}")

    def __add__(self, other: Any) -> Any:
        return self._made(other, operator.add, f"{self.text} + {other}")

    def __sub__(self, other: Any) -> Any:
        return self._made(other, operator.sub, f"{self.text} - {other}")

    def __floordiv__(self, other: Any) -> Any:
        return self._made(other, operator.floordiv, f"({self.text}) // {other}")

    def __ne__(self, other: object) -> bool:
        others = other.values if isinstance(other, Varying) else (other,) * len(self.values)
        return any(map(operator.ne, self.values, others))

    def __eq__(self, other: object) -> bool:
        return not self != other

    def __hash__(self) -> int:
        return hash(self.values)

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


class _Int(Varying, int):
    """A whole number."""


class _Float(Varying, float):
    """A number."""


def varying(values: tuple[Any, ...], text: str) -> Any:
    """A number of each use: the number itself where it is the same for all."""
    if len(set(values)) == 1:
        return values[0]
    kind: Any = _Int if all(isinstance(value, int) for value in values) else _Float
    made = kind(values[0])
    made.values, made.text = values, text
    return made
