"""Plain values that know on which line of a file they stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqgen.errors import Fault, SpecError

# Deeper than any spec; what is deeper is an attack, or a mistake.
DEEPEST = 100
LARGEST_FILE = 20_000_000
LONGEST_NUMBER = 400


@dataclass(slots=True)
class Located:
    """A value: a scalar, a list of located values, or a dictionary of them by name."""

    value: Any
    line: int | None = None

    @property
    def plain(self) -> Any:
        """The value without lines."""
        if isinstance(self.value, list):
            return [item.plain for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain for key, item in self.value.items()}
        return self.value


class Faults:
    """What is wrong with a file, collected."""

    # More would not be read; suggestions for each take time.
    MOST = 200

    def __init__(self, file: str | None) -> None:
        self.file = file
        self._found: list[Fault] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def count(self) -> int:
        """How many there are so far."""
        return len(self._found)

    @property
    def full(self) -> bool:
        """Whether there are so many that looking on makes no sense."""
        return len(self._found) >= self.MOST

    def add(self, fault: Fault | str, line: int | None = None) -> None:
        """Note a fault at a line."""
        if isinstance(fault, str):
            fault = Fault(fault)
        if len(self._found) == self.MOST:
            fault = Fault(f"there are more than {self.MOST} faults; the rest is not listed")
        if len(self._found) <= self.MOST:
            self._found.append(fault.at(file=self.file, line=line))

    def check(self) -> None:
        """Raise a `SpecError` with all faults if there are any."""
        if self._found:
            raise SpecError(sorted(self._found, key=lambda fault: fault.line or 0))

    def stop(self, message: str, line: int | None = None) -> SpecError:
        """The error for a fault behind which nothing can be read."""
        self.add(message, line)
        return SpecError(self._found)


def locate(value: Any, faults: Faults, depth: int = 0) -> Located:
    """Plain values as located ones, without lines."""
    if depth > DEEPEST:
        raise faults.stop(f"it is nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        for key in value:
            # Classes are numbers, which all formats of files write as text.
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                faults.add(f"expected names as keys, received {str(key)[:60]!r}")
        items = {str(key): locate(item, faults, depth + 1) for key, item in value.items()}
        return Located(items)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return Located([locate(item, faults, depth + 1) for item in value])
    return Located(value)


def integer(text: str, base: int, faults: Faults, line: int | None) -> int:
    """An integer of bounded length."""
    if len(text) > LONGEST_NUMBER:
        raise faults.stop(f"a number of {len(text)} digits is too large", line)
    return int(text, base)


def real(text: str, faults: Faults, line: int | None) -> float:
    """A finite number."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise faults.stop(f"the number {text[:40]} is too large", line)
    return value
