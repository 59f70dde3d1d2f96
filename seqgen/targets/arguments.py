"""What differs between the uses of a function, found from the names and values of each use."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from seqgen import marks
from seqgen.naming import identifier
from seqgen.render import Source, literal

# What names of layers begin with in each use, and the same as names of weights have it.
STEM, DOTTED = "name", "layer"
# A number that stands in names.
NUMBER = "number"


class DiffersError(Exception):
    """Uses differ in more than arguments say."""


class Size(int):
    """A length that differs from use to use; it prints as an argument, which it asks for then."""

    values: tuple[int, ...]
    arguments: "Arguments"

    def __repr__(self) -> str:
        return str(self.arguments.value("channels", self.values))

    __str__ = __repr__


class Arguments:
    """The arguments of a function, or the variable of a loop, by what they are in each use.

    Args:
        texts: Arguments that are whole names.
        stems: What most names of layers begin with: the argument `STEM`, or a variable.
        numbers: How many numbers there may be that stand in names.
        number: What the first of them is called.
        number_values: What this one is in each use; empty for the one that is asked for first.
        taken: What no further argument may be called.
        derived: Whether the stem is a variable that is made of the first number.
        closed: Whether there are no arguments besides.

    Attributes:
        texts: The arguments that are parts of names.
        numbers: Numbers that stand in names.
        others: Other numbers, lists of numbers and words.
        variables: Source code of variables that are made of the arguments, where there are such.

    Raises:
        DiffersError: The stem is not made of a number.
    """

    def __init__(
        self,
        texts: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        stems: tuple[str, ...] = (),
        numbers: int = 0,
        number: str = NUMBER,
        number_values: tuple[int, ...] = (),
        taken: Collection[str] = (),
        derived: bool = False,
        closed: bool = False,
    ) -> None:
        self.texts = {**texts}
        self.numbers: dict[str, tuple[int, ...]] = {}
        self.others: dict[str, tuple[Any, ...]] = {}
        self.variables: dict[str, str] = {}
        self._most = numbers
        self._number = number
        self._number_values = number_values
        self._uses: Counter[str] = Counter()
        self._taken = taken
        self._closed = closed
        self._stems = stems
        self._stem = self._numbered(stems) if derived else ""
        if stems and not derived:
            self.texts[STEM] = stems

    @property
    def all(self) -> dict[str, tuple[Any, ...]]:
        """What every argument is in each use."""
        return {**self.texts, **self.numbers, **self.others}

    def name(self, names: tuple[str, ...]) -> str:
        """The name that is another one in each use, with marks where arguments stand.

        Raises:
            DiffersError: No arguments say it.
        """
        for argument, values in self.texts.items():
            if names == values:
                return marks.text(argument)
        around = _around(names, self._stems)
        if around:
            self._use_stem()
            return marks.text(STEM).join(around)
        around = _around(names, tuple(stem.replace("/", ".") for stem in self._stems))
        if around:
            self._use_stem()
            self.variables[DOTTED] = f'{STEM}.replace("/", ".")'
            return marks.text(DOTTED).join(around)
        return names[0] if len(set(names)) == 1 else self._numbered(names)

    @property
    def most_used(self) -> str:
        """The number that most names hang on."""
        return max(self.numbers, key=lambda argument: self._uses[argument])

    def _use_stem(self) -> None:
        if self._stem:
            self.variables[STEM] = literal(self._stem)

    def _numbered(self, names: tuple[str, ...]) -> str:
        parts = [re.split(r"([0-9]+)", name) for name in names]
        first = parts[0]
        if any(len(own) != len(first) for own in parts):
            raise DiffersError
        columns = list(zip(*parts, strict=True))
        differing = [place for place, column in enumerate(columns) if len(set(column)) > 1]
        if len(differing) > 1 or differing[0] % 2 == 0:
            raise DiffersError
        (place,) = differing
        values = tuple(map(int, columns[place]))
        if tuple(map(str, values)) != columns[place]:
            raise DiffersError
        role = re.split(r"[/.]", "".join(first[:place]))[-1]
        first[place] = marks.number(self.number(values, role))
        return "".join(first)

    def number(self, values: tuple[int, ...], role: str) -> str:
        """The source code of a number that stands in names.

        Args:
            values: The number in each use.
            role: What it numbers.

        Raises:
            DiffersError: No arguments say it.
        """
        if len(set(values)) == 1:
            return str(values[0])
        if not self.numbers and self._number_values:
            self.numbers[self._number] = self._number_values
        for argument, known in self.numbers.items():
            offsets = {own - other for own, other in zip(values, known, strict=True)}
            if len(offsets) == 1:
                (offset,) = offsets
                self._uses[argument] += 1
                sign = "+" if offset > 0 else "-"
                return f"{argument} {sign} {abs(offset)}" if offset else argument
        if len(self.numbers) == self._most:
            raise DiffersError
        argument = identifier(role, self.all, self._taken) if self.numbers else self._number
        self.numbers[argument] = values
        return argument

    def value(self, role: str, values: tuple[Any, ...]) -> Any:
        """What stands for a value: itself where it is the same in each use, or an argument.

        Args:
            role: What the argument is called.
            values: The value in each use.

        Raises:
            DiffersError: There are no such arguments.
        """
        if all(value == values[0] for value in values):
            return values[0]
        for argument, known in self.others.items():
            if known == values and re.sub(r"_\d+$", "", argument) == role:
                return Source(argument)
        if self._closed:
            raise DiffersError
        argument = identifier(role, self.all, self._taken)
        self.others[argument] = values
        return Source(argument)

    def size(self, values: tuple[int, ...]) -> int:
        """What stands for a length."""
        if len(set(values)) == 1:
            return values[0]
        made = Size(values[0])
        made.values, made.arguments = values, self
        return made


def _around(names: tuple[str, ...], stems: tuple[str, ...]) -> tuple[str, str] | None:
    """What stands before and behind the stem of each use in the name of that; None if not alike."""
    for found in re.finditer(re.escape(stems[0]), names[0]) if stems else ():
        before, after = names[0][: found.start()], names[0][found.end() :]
        if all(name == before + stem + after for name, stem in zip(names, stems, strict=True)):
            return before, after
    return None
