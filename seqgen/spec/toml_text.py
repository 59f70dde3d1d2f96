"""TOML into located values. TOML has no null; the string "null" stands for it."""

import re
import tomllib
from typing import Any

from seqgen.spec.located import DEEPEST, Faults, Located, locate

HEADER = re.compile(r"[ \t]*\[\[[ \t]*layers[ \t]*\]\]")
ARRAY = re.compile(r"^[ \t]*layers[ \t]*=[ \t]*\[", re.MULTILINE)
PART = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|.', re.DOTALL
)

# A key of many parts; reading one takes time that grows with the square of their number.
PART_OF_KEY = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
DEEP_KEY = re.compile(rf"""(?<![\w"'-])(?:{PART_OF_KEY}){{{DEEPEST}}}""", re.ASCII)


def _with_null(item: Located, key: str = "") -> Located:
    if isinstance(item.value, list):
        return Located([_with_null(part) for part in item.value])
    if isinstance(item.value, dict):
        return Located({name: _with_null(part, name) for name, part in item.value.items()})
    return Located(None) if item.value == "null" and key != "name" else item


def _array_lines(text: str) -> list[int]:
    """The line on which each item of `layers = [...]` begins."""
    start = ARRAY.search(text)
    if start is None:
        return []
    lines: list[int] = []
    line, depth, begins = text.count("\n", 0, start.end()) + 1, 1, True
    for match in PART.finditer(text, start.end()):
        part = match[0]
        if begins and depth == 1 and not part.isspace() and part[0] not in "#],":
            lines.append(line)
            begins = False
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(part, 0)
        begins = begins or (part == "," and depth == 1)
        if depth == 0:
            break
        line += part.count("\n")
    return lines


def _mark(item: Any, line: int) -> None:
    """Say of a value, and of all within, that it stands on a line."""
    item.line = line
    parts = item.value.values() if isinstance(item.value, dict) else item.value
    for part in parts if isinstance(item.value, (list, dict)) else ():
        _mark(part, line)


def _mark_layers(root: Located, text: str) -> None:
    layers = root.value.get("layers")
    if layers is None or not isinstance(layers.value, list):
        return
    headers = [i for i, line in enumerate(text.splitlines(), 1) if HEADER.match(line)]
    for item, line in zip(layers.value, headers or _array_lines(text), strict=False):
        _mark(item, line)


def parse_toml(text: str, faults: Faults) -> Located | None:
    """The table of a TOML text; None if it is empty. Lines are those of the layers.

    Raises:
        SpecError: It is no TOML, or nested too deeply.
    """
    deep = DEEP_KEY.search(text)
    if deep:
        line = text.count("\n", 0, deep.start()) + 1
        raise faults.stop(f"a key is nested deeper than {DEEPEST} levels", line)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place[1]) if place else text.count("\n") + 1
        raise faults.stop(f"not valid TOML: {error}", line) from None
    except (RecursionError, ValueError) as error:
        shown = "nested too deeply" if isinstance(error, RecursionError) else error
        raise faults.stop(f"not valid TOML: {shown}") from None
    root = _with_null(locate(values, faults))
    _mark_layers(root, text)
    return root if values else None
