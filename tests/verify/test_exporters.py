"""A framework's exporter that fails or differs is told apart from a program that is wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqgen.generator import Options
from seqgen.verify import Pool, Report, Row, Settings, verify_graph
from seqgen.verify.pool import WorkerError
from tests.cases import graph_of

SPEC = {"name": "net", "input": [3], "layers": [{"Dense": {"units": 2, "name": "out"}}]}
SETTINGS = Settings(Options(("torch",)), seeds=1)
Change = Callable[[dict[str, Any]], None]


class Changed:
    """A pool that does something more after a request of a kind."""

    def __init__(self, pool: Pool, op: str, change: Change) -> None:
        self._pool = pool
        self._op = op
        self._change = change

    def ask(self, framework: str, op: str, **request: Any) -> dict[str, Any]:
        answer = self._pool.ask(framework, op, **request)
        if op == self._op:
            self._change(request)
        return answer


def off_by_a_thousandth(request: dict[str, Any]) -> None:
    with np.load(request["output"]) as file:
        arrays = {name: file[name] * np.float32(1.001) for name in file.files}
    np.savez(request["output"], **arrays)


def fails(request: dict[str, Any]) -> None:
    raise WorkerError("no such operator")


def is_not_here(request: dict[str, Any]) -> None:
    raise WorkerError("onnxscript is not installed", not_here=True)


def exporter_row(report: Report) -> Row:
    return next(row for row in report.rows if row.route == "torch -> onnx")


def report_with(pool: Pool, op: str, change: Change, **more: Any) -> Report:
    return verify_graph(graph_of(SPEC), replace(SETTINGS, **more), Changed(pool, op, change))


def test_an_export_that_is_right_is_equal(pool: Pool) -> None:
    report = verify_graph(graph_of(SPEC), SETTINGS, pool)
    assert report.ok
    assert exporter_row(report).status == "equal"


@pytest.mark.parametrize(
    ("op", "change", "note", "error"),
    [
        ("file", off_by_a_thousandth, "", 1e-3),
        ("export", fails, "the export failed: no such operator", np.inf),
        ("file", fails, "the exported file does not run: no such operator", np.inf),
    ],
)
def test_an_exporter_to_blame_is_reported_as_such(
    op: str, change: Change, note: str, error: float, pool: Pool
) -> None:
    report = report_with(pool, op, change)
    row = exporter_row(report)
    assert (row.status, row.note) == ("exporter", note)
    assert row.error == pytest.approx(error, rel=0.01)
    assert not report.ok
    assert {other.status for other in report.rows if other is not row} == {"equal"}


def test_an_exporter_that_is_not_here_is_not_run(pool: Pool) -> None:
    report = report_with(pool, "export", is_not_here)
    row = exporter_row(report)
    assert (row.status, row.note) == ("not run", "onnxscript is not installed")
    assert not report.ok


def test_the_export_of_a_wrong_program_is_no_fault_of_the_exporter(pool: Pool) -> None:
    def edit(file: str, text: str) -> str:
        changed = text.replace("self.out(x)", "-self.out(x)")
        assert changed != text
        return changed

    report = verify_graph(graph_of(SPEC), replace(SETTINGS, edit=edit), pool)
    row = exporter_row(report)
    assert (row.status, row.layer) == ("different", "out")
    assert row.note == "the program itself is different"
