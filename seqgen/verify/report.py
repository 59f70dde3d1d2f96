"""What a verification found, for people, for programs and for CI."""

import html
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from textwrap import shorten
from typing import Any, Literal
from xml.etree import ElementTree

Status = Literal["equal", "different", "exporter", "not run"]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        route: What was run: `keras`, `torch`, `onnx`, or the exporter between two of them.
        check: What was compared: `parameters`, `inference`, `training`.
        dtype: In which the route computed.
        status: `equal`, `different`, `exporter` (the programs agree, the framework's exporter
            does not) or `not run`.
        error: Largest relative error; null if nothing could be compared.
        tolerance: What it was measured against.
        cases: Number of inputs (each of its own size and seed).
        layer: The first layer that differs.
        note: Why it did not run, or what differs.
    """

    route: str
    check: str
    dtype: str
    status: Status
    error: float | None = None
    tolerance: float | None = None
    cases: int = 0
    layer: str | None = None
    note: str = ""


STYLES = {"equal": "green", "different": "bold red", "exporter": "yellow", "not run": "dim"}


@dataclass(frozen=True)
class Report:
    """All comparisons of a model.

    Attributes:
        name: Name of the model.
        rows: The comparisons.
        versions: Of the frameworks that ran.
        device: On which they ran.
    """

    name: str
    rows: tuple[Row, ...]
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def ok(self) -> bool:
        """Whether everything asked for ran and was equal."""
        return bool(self.rows) and all(row.status == "equal" for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values; an infinite error is the text `inf`."""
        plain = {**asdict(self), "ok": self.ok}
        plain["rows"] = [
            {k: "inf" if v == math.inf else v for k, v in row.items()} for row in plain["rows"]
        ]
        return plain

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def to_junit(self) -> str:
        """The report as a JUnit test suite, a test case a row; what did not run is an error."""
        kinds = [OUTCOMES.get(row.status) for row in self.rows]
        suite = ElementTree.Element(
            "testsuite",
            name=printable(f"seqgen.{self.name}"),
            tests=str(len(kinds)),
            failures=str(kinds.count("failure")),
            errors=str(kinds.count("error")),
        )
        for row, kind in zip(self.rows, kinds, strict=True):
            name = f"{row.check} {row.dtype}"
            case = ElementTree.SubElement(suite, "testcase", classname=row.route, name=name)
            if kind is not None:
                ElementTree.SubElement(case, kind, message=printable(describe(row)))
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)

    def to_html(self) -> str:
        """The report as a page."""
        columns = (*COLUMNS, "first layer", "note")
        head = "".join(f"<th>{name}</th>" for name in columns)
        body = "".join(
            f'<tr class="{row.status.replace(" ", "-")}">'
            + "".join(f"<td>{escaped(cell)}</td>" for cell in (*cells(row), row.layer, row.note))
            + "</tr>"
            for row in self.rows
        )
        return PAGE.format(
            name=escaped(self.name),
            verdict=escaped(self.verdict),
            head=head,
            body=body,
            versions=escaped(self.environment),
        )

    @property
    def verdict(self) -> str:
        """The result in a line."""
        if self.ok:
            return f"equal: all {len(self.rows)} comparisons"
        counts = Counter(row.status for row in self.rows if row.status != "equal")
        listed = ", ".join(f"{count} {status}" for status, count in counts.items())
        hint = "; --no-exporters leaves those out" if counts["exporter"] else ""
        return f"not proven equal: {listed or 'nothing was compared'}{hint}"

    @property
    def environment(self) -> str:
        """What the programs ran on."""
        versions = [f"{name} {version}" for name, version in self.versions.items()]
        return ", ".join([*versions, self.device])

    def print(self, console: Any = None) -> None:
        """Print the report as a table; colours only where the output is a terminal.

        What is wrong with a row stands in a line of its own below, which is not wrapped.
        """
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = console or Console()
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in COLUMNS:
            table.add_column(name, no_wrap=True, justify="right" if name in NUMBERS else "left")
        for row in self.rows:
            table.add_row(*map(Text, cells(row)), style=STYLES[row.status])
        console.print(Text(printable(f"{self.name} ({self.environment})")), soft_wrap=True)
        console.print(table)
        for line, status in self._remarks():
            console.print(Text(printable(line), STYLES[status]), soft_wrap=True)
        console.print(Text(self.verdict, "green" if self.ok else "bold red"), soft_wrap=True)

    def _remarks(self) -> Iterator[tuple[str, Status]]:
        """What is wrong or to be known, in a line for all rows of a route that say the same."""
        places: dict[tuple[str, str, Status], list[str]] = {}
        for row in self.rows:
            if row.status != "equal" or row.note:
                text = row.note if row.status == "equal" else describe(row, SHORT)
                told = (row.route, text, row.status)
                places.setdefault(told, []).append(f"{row.check} in {row.dtype}")
        for (route, text, status), checks in places.items():
            yield f"{route}, {', '.join(checks)}: {text}", status


COLUMNS = ("route", "check", "dtype", "result", "error", "limit", "inputs")
NUMBERS = COLUMNS[-3:]
# How long a note in the terminal is; the other forms of the report have all of it.
SHORT = 200
OUTCOMES = {"different": "failure", "exporter": "failure", "not run": "error"}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}</title>
<style>
body {{ font-family: sans-serif }}
td, th {{ padding: .2em .8em; text-align: left }}
.equal td {{ color: #060 }}
.different td {{ color: #b00; font-weight: bold }}
.exporter td {{ color: #850 }}
.not-run td {{ color: #777 }}
</style>
<h1>{name}: {verdict}</h1>
<table>
<tr>{head}</tr>
{body}
</table>
<p>{versions}</p>
</html>
"""


def printable(text: str) -> str:
    """A text without the control characters that terminals obey and XML forbids."""
    return "".join(c if c.isprintable() else " " for c in text)


def escaped(text: str | None) -> str:
    """A text as HTML shows it."""
    return html.escape(printable(text or ""))


def cells(row: Row) -> tuple[str, ...]:
    """A row as texts, one for each column."""
    figures = ["" if value is None else f"{value:.1e}" for value in (row.error, row.tolerance)]
    count = str(row.cases) if row.cases else ""
    return (row.route, row.check, row.dtype, row.status, *figures, count)


def describe(row: Row, longest: int | None = None) -> str:
    """A row that failed, in a sentence."""
    where = f" first at layer '{row.layer}'" if row.layer else ""
    finite = row.error is not None and math.isfinite(row.error)
    error = f", relative error {row.error:.2e}" if finite else ""
    limit = f" (tolerance {row.tolerance:.1e})" if finite and row.tolerance else ""
    text = row.note if longest is None else shorten(row.note, longest, placeholder=" ...")
    note = f": {text}" if text else ""
    return f"{row.status}{where}{error}{limit}{note}"
