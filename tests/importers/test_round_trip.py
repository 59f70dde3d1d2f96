"""Graphs of specs as programs of Keras, which are saved and imported again."""

from pathlib import Path
from typing import Any

import pytest

import seqgen
from tests.cases import SPEC_KEYS, load_cases

keras = pytest.importorskip("keras")

# Without operations, which are functions in a program and lose their names.
CASES = [
    case
    for case in load_cases()
    if "graph" in case and case["id"].startswith(("merging", "attention")) and "refused" not in case
    if "ops." not in str(case["graph"])
]
# Keras numbers the inputs of models within, and notes what it chose for attention and axes.
NOT_TO_THE_LETTER = ("Model", "MultiHeadAttention", "GroupedQueryAttention", "LayerNormalization")


def program_of(model: Any, folder: Path) -> str:
    seqgen.generate(model, folder, targets=("keras",))
    return (folder / "keras_model.py").read_text(encoding="utf-8")


def built(program: str) -> Any:
    keras.backend.clear_session()
    names: dict[str, Any] = {"__name__": "keras_model"}
    exec(program, names)
    return names["build_model"]()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_graph_comes_back(case: dict[str, Any], tmp_path: Path) -> None:
    spec = {key: value for key, value in case.items() if key in SPEC_KEYS}
    program = program_of(seqgen.load({"seqgen": 1, **spec}), tmp_path / "first")
    built(program).save(tmp_path / "model.keras")
    imported = seqgen.from_keras(tmp_path / "model.keras")
    second = program_of(imported, tmp_path / "second")
    if not any(f"'{word}" in str(case["graph"]) for word in NOT_TO_THE_LETTER):
        assert second == program
    again = seqgen.from_keras(built(second))
    assert again.to_dict() == imported.to_dict()
