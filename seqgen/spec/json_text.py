"""JSON into located values."""

import json
import re
from typing import Any

from seqgen.spec.located import DEEPEST, Faults, Located, integer, real

TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
    (?P<mark>[\[\]{},:])
    |(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")
    |(?P<real>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+))
    |(?P<integer>-?(?:0|[1-9][0-9]*))
    |(?P<word>true|false|null|-?Infinity)
    |(?P<end>\Z)
    )""",
    re.VERBOSE,
)
# Infinity is no JSON, but Python writes and reads it.
WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


class _Parser:
    """A parser by recursive descent; its depth is bounded."""

    def __init__(self, text: str, faults: Faults) -> None:
        self._text = text
        self._faults = faults
        self._end = 0
        self._line = 1
        self._next()

    def _next(self) -> None:
        """Read a token."""
        match = TOKEN.match(self._text, self._end)
        if match is None:
            rest = self._text[self._end :].lstrip(" \t\n\r")
            self._line += self._text.count("\n", self._end, len(self._text) - len(rest))
            raise self._wrong(rest)
        self._kind = match.lastgroup or "end"
        self._token = match[self._kind]
        self._line += self._text.count("\n", self._end, match.end())
        self._end = match.end()

    def _wrong(self, received: str, expected: str = "a value") -> Exception:
        shown = repr(received[:20]) if received else "the end"
        return self._faults.stop(
            f"not valid JSON: expected {expected}, received {shown}", self._line
        )

    def document(self) -> Located | None:
        """The one value of the text; None if it is empty."""
        if self._kind == "end":
            return None
        value = self._value(0)
        if self._kind != "end":
            raise self._wrong(self._token, "the end")
        return value

    def _value(self, depth: int) -> Located:
        if depth > DEEPEST:
            raise self._faults.stop(f"it is nested deeper than {DEEPEST} levels", self._line)
        if self._kind == "mark" and self._token in "[{":
            return self._items(depth) if self._token == "[" else self._members(depth)
        value = Located(self._scalar(), self._line)
        self._next()
        return value

    def _scalar(self) -> Any:
        if self._kind == "string":
            return self._string()
        if self._kind == "integer":
            return integer(self._token, 10, self._faults, self._line)
        if self._kind == "real":
            return real(self._token, self._faults, self._line)
        if self._kind == "word":
            return WORDS[self._token]
        raise self._wrong(self._token)

    def _string(self) -> str:
        try:
            return str(json.loads(self._token))
        except ValueError:
            raise self._wrong(self._token, "a valid string") from None

    def _items(self, depth: int) -> Located:
        made, items = Located([], self._line), []
        self._next()
        while self._token != "]" or self._kind != "mark":
            items.append(self._value(depth + 1))
            self._separate("]")
        self._next()
        made.value = items
        return made

    def _members(self, depth: int) -> Located:
        made: Located = Located({}, self._line)
        self._next()
        while self._token != "}" or self._kind != "mark":
            if self._kind != "string":
                raise self._wrong(self._token, "a name in quotes")
            key, line = self._string(), self._line
            self._next()
            if (self._kind, self._token) != ("mark", ":"):
                raise self._wrong(self._token, "a colon")
            self._next()
            if key in made.value:
                self._faults.add(f"the key {key[:60]!r} is given twice", line)
            made.value[key] = self._value(depth + 1)
            self._separate("}")
        self._next()
        return made

    def _separate(self, close: str) -> None:
        """Step over a comma, which no closing bracket may follow."""
        if self._kind == "mark" and self._token == close:
            return
        if (self._kind, self._token) != ("mark", ","):
            raise self._wrong(self._token, f"a comma or {close}")
        self._next()
        if self._kind == "mark" and self._token == close:
            raise self._wrong(self._token)


def parse_json(text: str, faults: Faults) -> Located | None:
    """The value of a JSON text; None if it is empty.

    Raises:
        SpecError: It is no JSON, or nested too deeply.
    """
    return _Parser(text, faults).document()
