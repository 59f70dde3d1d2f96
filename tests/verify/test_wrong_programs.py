"""The oracle can fail: programs that are wrong in one place, each with the layer to blame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import seqgen
from seqgen.generator import Options
from seqgen.verify import Pool, Report, Row, Settings, verify_graph
from tests.cases import graph_of

SPECS = yaml.safe_load((Path(__file__).parent / "wrong_programs.yaml").read_text(encoding="utf-8"))
WRONG = [(spec, wrong) for spec in SPECS for wrong in spec["wrong"]]
# In which a program is compared most strictly; onnxruntime computes most operators in no other.
STRICTEST = {"keras": "float64", "torch": "float64", "onnx": "float32"}


def edit_of(target: str, edits: dict[str, str]) -> Callable[[str, str], str]:
    """The edit of a target's program that replaces texts, each of which stands there once."""

    def edit(file: str, text: str) -> str:
        if file != f"{target}_model.py":
            return text
        dtype = 'dtype="float64", ' if 'dtype="float64"' in text else ""
        for old, new in edits.items():
            old, new = old.replace("{dtype}", dtype), new.replace("{dtype}", dtype)
            assert text.count(old) == 1, f"{text.count(old)} times in {file}: {old}\n{text}"
            text = text.replace(old, new)
        return text

    return edit


def row_of(report: Report, check: str, target: str) -> Row:
    """The row of a check."""
    return next(row for row in report.rows if (row.route, row.check) == (target, check))


@pytest.mark.parametrize("spec", SPECS, ids=[spec["name"] for spec in SPECS])
def test_unchanged_programs_are_equal(spec: dict[str, Any], pool: Pool) -> None:
    options = Options(layout=spec.get("layout", "native"))
    report = verify_graph(graph_of(spec), Settings(options, exporters=False), pool)
    assert report.ok, report.rows


@pytest.mark.parametrize(
    ("spec", "wrong"),
    WRONG,
    ids=[f"{spec['name']}-{wrong['target']}-{wrong['name']}" for spec, wrong in WRONG],
)
def test_wrong_programs_are_different(
    spec: dict[str, Any], wrong: dict[str, Any], pool: Pool
) -> None:
    target, check = wrong["target"], wrong.get("check", "inference")
    options = Options((target,), spec.get("layout", "native"))
    edit = edit_of(target, wrong["edits"])
    settings = Settings(options, seeds=1, exporters=False, edit=edit)
    report = verify_graph(graph_of({**spec, "dtype": STRICTEST[target]}), settings, pool)
    row = row_of(report, check, target)
    assert (row.status, row.layer) == ("different", wrong["layer"]), row
    assert not report.ok


def test_there_are_many_wrong_programs_for_every_target() -> None:
    targets = [wrong["target"] for _, wrong in WRONG]
    assert len(targets) >= 200
    assert min(targets.count(target) for target in STRICTEST) >= 40


def nested() -> seqgen.Sequential:
    """Models within a model, with the same names in each."""
    dense = seqgen.layers.Dense
    inner = seqgen.Sequential([dense(4, name="entry"), dense(3, "relu", name="middle")], name="in")
    outer = seqgen.Sequential([dense(4, name="entry"), inner], name="within")
    last = dense(2, name="middle")
    return seqgen.Sequential([seqgen.Input((5,)), dense(4, name="entry"), outer, last], name="net")


@pytest.mark.parametrize(
    ("target", "edits", "layer"),
    [
        ("torch", {"F.relu(self.middle(x))": "self.middle(x)"}, "within/in/middle"),
        (
            "torch",
            {'weights.pop("within.entry.bias")': 'weights.pop("within.entry.bias") * 0'},
            "within/entry",
        ),
        ("torch", {'weights.pop("middle.bias")': 'weights.pop("middle.bias") * 0'}, "middle"),
        (
            "torch",
            {'weights.pop("within.in.entry.bias")': 'weights.pop("within.in.bias")'},
            "within/in/entry",
        ),
        ("keras", {', activation="relu"': ""}, "within/in/middle"),
        ("onnx", {'"Relu"': '"Neg"'}, "within/in/middle"),
        ("onnx", {'weights.pop("entry.bias")': 'weights.pop("entry.bias") * 0'}, "entry"),
    ],
)
def test_layers_of_nested_models_are_blamed_by_their_paths(
    target: str, edits: dict[str, str], layer: str, pool: Pool
) -> None:
    options, edit = Options((target,)), edit_of(target, edits)
    settings = Settings(options, seeds=1, exporters=False, edit=edit)
    row = row_of(verify_graph(nested().graph(), settings, pool), "inference", target)
    assert (row.status, row.layer) == ("different", layer), row


def test_unchanged_nested_models_are_equal(pool: Pool) -> None:
    report = verify_graph(nested().graph(), Settings(exporters=False), pool)
    assert report.ok, report.rows
