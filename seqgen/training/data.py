"""What a training program reads: the setting `data`, from a path or from an object."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqgen.layers.arguments import TEXT, JsonSchema, Kind, choice, near_miss
from seqgen.training.callbacks import FUNCTION_NAME

FORMATS = ("arrays", "csv", "function", "images", "parquet")
TABLES = ("csv", "parquet")


@dataclass(frozen=True)
class Data:
    """Data to train on.

    Attributes:
        path: A file or folder, or a function as `module:function`.
        format: One of `FORMATS`.
        x: The columns of a table that are a sample, in the order of its values.
        y: The columns of its label.
        sample_weight: The column of its weight, if it has one.
    """

    path: str
    format: str = "arrays"
    x: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    sample_weight: str | None = None

    def to_plain(self) -> Any:
        """The setting as a spec file holds it."""
        said: dict[str, Any] = {"path": self.path}
        if self.format != format_of(self.path):
            said["format"] = self.format
        columns = {"x": list(self.x), "y": list(self.y), "sample_weight": self.sample_weight}
        said |= {name: value for name, value in columns.items() if value}
        return said if len(said) > 1 else self.path


def format_of(path: str) -> str:
    """The format that a path has if nothing else is said."""
    if FUNCTION_NAME.fullmatch(path):
        return "function"
    ending = re.search(r"\.(csv|parquet)$", path)
    return ending[1] if ending else "arrays"


def _columns(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not values:
        raise TypeError
    return tuple(TEXT.parse(item, 0) for item in values)


COLUMNS = Kind(
    "the name of a column, or a list of names",
    lambda value, rank: _columns(value),
    lambda rank: {
        "anyOf": [
            TEXT.schema(rank),
            {"type": "array", "minItems": 1, "items": TEXT.schema(rank)},
        ]
    },
)
FORMAT = choice(*FORMATS)
PARTS = {"path": TEXT, "format": FORMAT, "x": COLUMNS, "y": COLUMNS, "sample_weight": TEXT}


def _parse(value: Any, rank: int) -> Data:
    if isinstance(value, Data):
        return value
    given = dict(value) if isinstance(value, Mapping) else {"path": value}
    for name in given:
        if name not in PARTS:
            raise ValueError(f"; there is no '{name}' in it{near_miss(str(name), PARTS)}")
    if "path" not in given:
        raise ValueError("; it has a path")
    values = {}
    for name, item in given.items():
        try:
            values[name] = PARTS[name].parse(item, rank)
        except (TypeError, ValueError) as error:
            raise ValueError(f"; '{name}' is {PARTS[name].expected}") from error
    made = Data(**{"format": format_of(values["path"]), **values})
    columns = [name for name in ("x", "y", "sample_weight") if name in given]
    if made.format in TABLES and not (made.x and made.y):
        raise ValueError("; say which columns: {path: ..., x: [columns], y: column}")
    if made.format not in TABLES and columns:
        raise ValueError(f"; a table has columns, not {made.format}")
    if made.format == "function" and not FUNCTION_NAME.fullmatch(made.path):
        raise ValueError("; a function is 'module:function'")
    return made


def _schema(rank: int) -> JsonSchema:
    properties = {name: kind.schema(rank) for name, kind in PARTS.items()}
    said = {"type": "object", "required": ["path"], "properties": properties}
    return {"anyOf": [TEXT.schema(rank), {**said, "additionalProperties": False}]}


DATA = Kind("a path, or {path: ..., format: ..., x: columns, y: columns}", _parse, _schema)
