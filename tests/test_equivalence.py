"""Every case of tests/specs, generated for all targets and compared with Keras itself."""

from typing import Any

import pytest

from seqgen.errors import UnsupportedError
from seqgen.generator import Options
from seqgen.targets import TARGETS
from seqgen.verify import Pool, Settings, verify_graph
from seqgen.verify.report import describe
from tests.cases import graph_of, load_cases

CASES = load_cases()


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_programs_compute_what_keras_computes(case: dict[str, Any], pool: Pool) -> None:
    graph = graph_of(case)
    refused = case.get("refused", {})
    for target, reason in refused.items():
        with pytest.raises(UnsupportedError, match=reason):
            TARGETS[target].lower(graph, "native")
    targets = tuple(target for target in TARGETS if target not in refused)
    layout, opset = case.get("layout", "native"), case.get("opset", 21)
    # What formats the programs changes no meaning, and takes a quarter of the time.
    options = Options(targets, layout, opset, formatted=False)
    report = verify_graph(graph, Settings(options, seeds=1, exporters=False), pool)
    may_not_run = case.get("not_run", {})
    for row in report.rows:
        here = row.dtype in may_not_run or (row.route in may_not_run and row.dtype == graph.dtype)
        expected = ("not run",) if here else ("equal",)
        assert row.status in expected, f"{row.route} {row.check} {row.dtype}: {describe(row)}"
    assert {row.route for row in report.rows} == set(targets)
