"""What a report says, and that it says it in every form."""

import io
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from seqgen.verify import Report, Row

EQUAL = Row("torch", "inference", "float64", "equal", 1e-16, 2e-10, 4)
DIFFERENT = replace(EQUAL, status="different", error=math.inf, layer="conv", note="shape (1, 2)")
EXPORTER = replace(EQUAL, route="torch -> onnx", status="exporter", error=0.5)
NOT_RUN = replace(EQUAL, status="not run", error=None, note="PyTorch sees no CUDA device")
WRONG = (DIFFERENT, EXPORTER, NOT_RUN)
HOSTILE = "<script>alert('\"&amp;[/red][bold]\x1b[31m\x00\n%s{0}"


def printed(report: Report, **console: object) -> str:
    """What a console shows of a report."""
    out = io.StringIO()
    report.print(Console(file=out, **console))
    return out.getvalue()


def hostile() -> Report:
    """A report whose every text is an attack."""
    row = replace(DIFFERENT, layer=HOSTILE, note=HOSTILE)
    return Report(HOSTILE, (row, replace(row, status="not run")), {"keras": HOSTILE})


def test_is_ok_if_all_rows_are_equal() -> None:
    assert Report("net", (EQUAL, EQUAL)).ok


def test_is_not_ok_without_rows() -> None:
    assert not Report("net", ()).ok
    assert "nothing was compared" in Report("net", ()).verdict


@pytest.mark.parametrize("row", WRONG, ids=[row.status for row in WRONG])
def test_is_not_ok_with_any_other_row(row: Row) -> None:
    report = Report("net", (EQUAL, row, EQUAL))
    assert not report.ok
    assert not report.to_dict()["ok"]
    assert f"1 {row.status}" in report.verdict
    assert "not proven equal" in report.to_html()


def test_is_valid_json_with_infinite_errors() -> None:
    report = Report("net", (EQUAL, *WRONG), {"torch": "2.13"}, "cuda")
    said = json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert [row["error"] for row in said["rows"]] == [1e-16, "inf", 0.5, None]
    assert said["rows"][1]["layer"] == "conv"
    assert (said["name"], said["device"], said["versions"]) == ("net", "cuda", {"torch": "2.13"})


def test_junit_counts_what_did_not_run_as_an_error() -> None:
    suite = ElementTree.fromstring(Report("net", (EQUAL, *WRONG)).to_junit())
    counted = {name: suite.attrib[name] for name in ("tests", "failures", "errors")}
    assert counted == {"tests": "4", "failures": "2", "errors": "1"}
    kinds = [[kind.tag for kind in case] for case in suite]
    assert kinds == [[], ["failure"], ["failure"], ["error"]]
    assert suite[1].attrib == {"classname": "torch", "name": "inference float64"}
    assert "first at layer 'conv'" in suite[1][0].attrib["message"]
    assert "no CUDA device" in suite[3][0].attrib["message"]


def test_junit_of_hostile_names_is_xml() -> None:
    suite = ElementTree.fromstring(hostile().to_junit())
    assert "<script>alert('\"&amp;" in suite.attrib["name"]


def test_html_of_hostile_names_has_no_tag_of_theirs() -> None:
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    page = hostile().to_html()
    parser.feed(page)
    assert "script" not in tags
    assert tags.count("tr") == 3
    assert "\x00" not in page


def test_html_shows_every_row_with_its_layer() -> None:
    page = Report("net", (EQUAL, *WRONG), {"torch": "2.13"}).to_html()
    assert page.count("<tr") == 5
    for cell in ("conv", "PyTorch sees no CUDA device", "torch -&gt; onnx", "1.0e-16", "inf"):
        assert f"<td>{cell}</td>" in page


def test_print_has_no_colour_codes_in_a_pipe() -> None:
    text = printed(Report("net", (EQUAL, *WRONG)), width=80)
    assert "\x1b" not in text
    assert "equal" in text


def test_print_has_colours_in_a_terminal() -> None:
    report = Report("net", (EQUAL, *WRONG))
    text = printed(report, width=80, force_terminal=True, color_system="standard")
    assert "\x1b[32m" in text


def test_print_gives_each_row_one_line_of_80_columns() -> None:
    rows = (EQUAL, EXPORTER, replace(EQUAL, route="keras -> onnx", check="parameters", cases=100))
    lines = printed(Report("net", rows), width=80).splitlines()
    table = [line for line in lines if line.lstrip().startswith(("keras", "torch"))][:3]
    assert [line.split()[-1] for line in table] == ["4", "4", "100"]
    assert all(len(line) <= 80 for line in table)


def test_print_does_not_wrap_a_remark() -> None:
    row = replace(DIFFERENT, note="word " * 30)
    lines = printed(Report("net", (row,)), width=80).splitlines()
    remarks = [line for line in lines if "first at layer 'conv'" in line]
    assert remarks == [
        f"torch, inference in float64: different first at layer 'conv': {'word ' * 30}".strip()
    ]


def test_print_shortens_what_is_very_long() -> None:
    row = replace(DIFFERENT, note="word " * 300)
    assert max(map(len, printed(Report("net", (row,)), width=80).splitlines())) < 300


def test_print_says_once_what_all_rows_of_a_route_say() -> None:
    rows = (NOT_RUN, replace(NOT_RUN, check="training"))
    text = printed(Report("net", rows), width=80)
    assert "torch, inference in float64, training in float64: not run: PyTorch sees" in text


def test_print_of_hostile_names_prints_them() -> None:
    text = printed(hostile(), width=80)
    assert "[/red][bold]" in text
    assert "\x1b" not in text
