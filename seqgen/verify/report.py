"""What a verification found, for people, for programs and for CI."""

import html
import json
import math
from dataclasses import asdict, dataclass, field
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
        return json.dumps(self.to_dict(), indent=2)

    def to_junit(self) -> str:
        """The report as a JUnit test suite, a test case a row."""
        failed = sum(row.status in ("different", "exporter") for row in self.rows)
        skipped = sum(row.status == "not run" for row in self.rows)
        suite = ElementTree.Element(
            "testsuite",
            name=f"seqgen.{self.name}",
            tests=str(len(self.rows)),
            failures=str(failed),
            skipped=str(skipped),
        )
        for row in self.rows:
            case = ElementTree.SubElement(
                suite, "testcase", classname=row.route, name=f"{row.check} {row.dtype}"
            )
            if row.status == "not run":
                ElementTree.SubElement(case, "skipped", message=row.note)
            elif row.status != "equal":
                ElementTree.SubElement(case, "failure", message=describe(row))
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)

    def to_html(self) -> str:
        """The report as a page."""
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        body = "".join(
            f'<tr class="{row.status.replace(" ", "-")}">'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(row))
            + "</tr>"
            for row in self.rows
        )
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        verdict = "equal" if self.ok else "not proven equal"
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(self.name)}'
            "</title><style>body{font-family:sans-serif}td,th{padding:.2em .8em;text-align:left}"
            ".equal td{color:#060}.different td{color:#b00;font-weight:bold}"
            f".exporter td{{color:#850}}.not-run td{{color:#777}}</style>"
            f"<h1>{html.escape(self.name)}: {verdict}</h1><table><tr>{head}</tr>{body}</table>"
            f"<p>{html.escape(versions)}, {html.escape(self.device)}</p></html>\n"
        )

    def print(self, console: Any = None) -> None:
        """Print the report as a table; colours only where the output is a terminal."""
        from rich.console import Console
        from rich.table import Table

        console = console or Console()
        table = Table(title=f"{self.name} on {self.device}", title_justify="left")
        for name in COLUMNS:
            table.add_column(name, overflow="fold", no_wrap=name not in FOLDED)
        for row in self.rows:
            table.add_row(*cells(row), style=STYLES[row.status])
        console.print(table)


COLUMNS = ("route", "check", "dtype", "result", "error", "limit", "cases", "first layer, note")


FOLDED = COLUMNS[-1:]


def cells(row: Row) -> tuple[str, ...]:
    """A row as texts, one for each column."""
    number = lambda value: "" if value is None else f"{value:.1e}"  # noqa: E731
    remark = ", ".join(part for part in (row.layer, row.note) if part)
    count = str(row.cases) if row.cases else ""
    figures = (number(row.error), number(row.tolerance), count)
    return (row.route, row.check, row.dtype, row.status, *figures, remark)


def describe(row: Row) -> str:
    """A row that failed, in a sentence."""
    where = f" first at layer '{row.layer}'" if row.layer else ""
    error = "" if row.error is None else f", relative error {row.error:.2e}"
    limit = "" if row.tolerance is None else f" (tolerance {row.tolerance:.1e})"
    note = f": {row.note}" if row.note else ""
    return f"{row.status}{where}{error}{limit}{note}"
