"""YAML into located values, by the core schema of YAML 1.2, without aliases and tags."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from seqgen.spec.located import DEEPEST, Faults, Located, integer, real

NULL = re.compile(r"|~|null|Null|NULL")
BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
DECIMAL = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEX = re.compile(r"0x[0-9a-fA-F]+")
REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
NOT_A_NUMBER = re.compile(r"\.(nan|NaN|NAN)")

RESOLVERS: tuple[tuple[re.Pattern[str], Callable[[str, Faults, int], Any]], ...] = (
    (NULL, lambda text, faults, line: None),
    (BOOLEAN, lambda text, faults, line: text.lower() == "true"),
    (DECIMAL, lambda text, faults, line: integer(text, 10, faults, line)),
    (OCTAL, lambda text, faults, line: integer(text[2:], 8, faults, line)),
    (HEX, lambda text, faults, line: integer(text[2:], 16, faults, line)),
    (REAL, real),
    (INFINITE, lambda text, faults, line: float("-inf" if text[0] == "-" else "inf")),
    (NOT_A_NUMBER, lambda text, faults, line: float("nan")),
)


def _resolve(text: str, faults: Faults, line: int) -> Any:
    """The value of a plain scalar."""
    if len(text) > 5 and (text[0].isalpha() or text[0] == "_"):
        return text
    for pattern, convert in RESOLVERS:
        if pattern.fullmatch(text):
            return convert(text, faults, line)
    return text


def _events(text: str, faults: Faults) -> Iterator[Any]:
    """The events of one document; what has no place in a spec is refused."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            _refuse(event, faults)
            yield event
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise faults.stop(f"not valid YAML: {error.reason}", line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = mark.line + 1 if mark else None
        message = f"not valid YAML: {error.problem or error.context}"
        raise faults.stop(message, place) from None
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        raise faults.stop(f"not valid YAML: {type(error).__name__}") from None


def _refuse(event: Any, faults: Faults) -> None:
    line = event.start_mark.line + 1
    if getattr(event, "anchor", None) is not None:
        raise faults.stop("anchors and aliases are not allowed; write the value out", line)
    if getattr(event, "tag", None) is not None:
        raise faults.stop(f"tags are not allowed, received {event.tag[:60]!r}", line)


class _Builder:
    """Puts values into the lists and mappings that are open."""

    def __init__(self, faults: Faults) -> None:
        self.root: Located | None = None
        self._faults = faults
        self._open: list[Located] = []
        self._keys: list[str | None] = []

    def put(self, item: Located) -> None:
        """Add a value, or the key of one, to what was opened last."""
        if not self._open:
            self.root = item
        elif isinstance(self._open[-1].value, list):
            self._open[-1].value.append(item)
        elif self._keys[-1] is None:
            self._keys[-1] = self._key(item)
        else:
            key, self._keys[-1] = self._keys[-1], None
            if key in self._open[-1].value:
                self._faults.add(f"the key {key[:60]!r} is given twice", item.line)
            self._open[-1].value[key] = item

    def _key(self, item: Located) -> str:
        if isinstance(item.value, int) and not isinstance(item.value, bool):
            # Classes are numbers, which other formats write as text.
            return str(item.value)
        if not isinstance(item.value, str):
            shown = "a list or a mapping" if isinstance(item.value, (list, dict)) else item.value
            raise self._faults.stop(f"expected a name as key, received {shown}", item.line)
        return item.value

    def open(self, item: Located) -> None:
        """Begin a list or a mapping."""
        if len(self._open) >= DEEPEST:
            message = f"it is nested deeper than {DEEPEST} levels"
            raise self._faults.stop(message, item.line)
        if self._open and isinstance(self._open[-1].value, dict) and self._keys[-1] is None:
            self._key(item)
        self.put(item)
        self._open.append(item)
        self._keys.append(None)

    def close(self) -> None:
        """End what was opened last."""
        self._open.pop()
        self._keys.pop()


def parse_yaml(text: str, faults: Faults) -> Located | None:
    """The document of a YAML text; None if it is empty.

    Raises:
        SpecError: It is no YAML, or uses aliases, tags, several documents or too much depth.
    """
    builder, documents = _Builder(faults), 0
    for event in _events(text, faults):
        line, name = event.start_mark.line + 1, type(event).__name__
        if name == "DocumentStartEvent":
            documents += 1
            if documents > 1:
                raise faults.stop("expected one document, received a second one", line)
        elif name == "ScalarEvent":
            plain = event.implicit[0] and not event.style
            value = _resolve(event.value, faults, line) if plain else event.value
            builder.put(Located(value, line))
        elif name in ("SequenceStartEvent", "MappingStartEvent"):
            builder.open(Located([] if name[0] == "S" else {}, line))
        elif name in ("SequenceEndEvent", "MappingEndEvent"):
            builder.close()
    return builder.root
