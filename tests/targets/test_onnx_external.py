"""ONNX programs whose weights go to a file of their own: the large form, made small for tests."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from seqgen.generator import Options, generate_programs
from seqgen.ir.graph import Model
from seqgen.targets import onnx as target
from seqgen.verify import Pool, Settings, verify_graph
from seqgen.weights import Weights, random_weights
from tests.cases import graph_of

# Convolutions, whose kernels are transposed, and a Dense whose rows are reordered.
CNN = {
    "name": "cnn",
    "input": [9, 8, 3],
    "layers": [
        {"Conv2D": {"filters": 5, "kernel_size": 3, "activation": "relu"}},
        {"MaxPooling2D": 2},
        "Flatten",
        {"Dense": {"units": 6, "use_bias": False}},
        {"Dense": 4},
    ],
}
MLP = {"name": "mlp", "input": [7], "layers": [{"Dense": 5}], "dtype": "float64"}
CASES: list[dict[str, Any]] = [CNN, MLP]


def write_program(graph: Model, folder: Path, layout: str = "native") -> None:
    """Write a program and its weights."""
    folder.mkdir(exist_ok=True)
    for name, text in generate_programs(graph, Options(("onnx",), layout), "").files.items():
        (folder / name).write_text(text, encoding="utf-8")
    random_weights(graph.weights, dtype=graph.dtype).save(folder / "weights.safetensors")


def run_program(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program of a folder in it."""
    command = [sys.executable, "onnx_model.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def outputs(folder: Path) -> list[np.ndarray]:
    """What onnxruntime makes of the model of a folder."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    entry = session.get_inputs()[0]
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[entry.type]
    x = np.random.default_rng(0).standard_normal((2, *entry.shape[1:])).astype(dtype)
    return list(session.run(None, {entry.name: x}))


@pytest.fixture
def external(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "EMBEDDED_LIMIT", 0)


@pytest.mark.parametrize("layout", ["native", "spec"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_both_forms_compute_the_same(
    case: dict[str, Any], layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(case)
    results = {}
    for form, limit in (("embedded", target.EMBEDDED_LIMIT), ("external", 0)):
        monkeypatch.setattr(target, "EMBEDDED_LIMIT", limit)
        write_program(graph, tmp_path / form, layout)
        done = run_program(tmp_path / form)
        assert done.returncode == 0, done.stderr
        onnx.checker.check_model(str(tmp_path / form / "model.onnx"), full_check=True)
        results[form] = outputs(tmp_path / form)
    for embedded, outside in zip(results["embedded"], results["external"], strict=True):
        np.testing.assert_array_equal(embedded, outside)


@pytest.mark.usefixtures("external")
def test_weights_lie_aligned_in_the_file_beside_the_model(tmp_path: Path) -> None:
    graph = graph_of(CNN)
    write_program(graph, tmp_path)
    assert run_program(tmp_path).returncode == 0
    names = {"onnx_model.py", "weights.safetensors", "model.onnx", "model.onnx.data"}
    assert set(os.listdir(tmp_path)) == names
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    end = 0
    for tensor in model.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        offset, length = int(place["offset"]), int(place["length"])
        assert not tensor.raw_data
        assert place["location"] == "model.onnx.data"
        assert offset % 65536 == 0
        assert offset >= end
        assert length == int(np.prod(tensor.dims)) * 4
        end = offset + length
    assert (tmp_path / "model.onnx.data").stat().st_size == end
    assert [tensor.name for tensor in model.graph.initializer] == [w.key for w in graph.weights]
    assert [entry.name for entry in model.graph.input] == ["input_layer"]


def test_the_size_of_the_weights_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(MLP)
    size = (7 * 5 + 5) * 8
    assert target.weights_size(graph) == size

    def program(limit: int) -> str:
        monkeypatch.setattr(target, "EMBEDDED_LIMIT", limit)
        return generate_programs(graph, Options(("onnx",)), "").files["onnx_model.py"]

    assert ".data" not in program(size)
    assert ".data" in program(size - 1)


@pytest.mark.parametrize("limit", [0, target.EMBEDDED_LIMIT], ids=["external", "embedded"])
@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_wrong_weights_change_nothing(
    change: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "EMBEDDED_LIMIT", limit)
    write_program(graph_of(CNN), tmp_path)
    assert run_program(tmp_path).returncode == 0
    path = tmp_path / "weights.safetensors"
    arrays = dict(Weights.open(path))
    if change == "missing":
        del arrays["dense_4.kernel"]
    else:
        arrays["dense_4.scale"] = np.ones(4, np.float32)
    Weights(arrays).save(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    done = run_program(tmp_path)
    assert done.returncode != 0
    assert f"dense_4.{'kernel' if change == 'missing' else 'scale'}" in done.stderr
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("external")
def test_one_tensor_at_a_time_is_in_memory(tmp_path: Path) -> None:
    layers = [{"Dense": {"units": 1024, "use_bias": False}}] * 64
    write_program(graph_of({"name": "tall", "input": [1024], "layers": layers}), tmp_path)
    weights = (tmp_path / "weights.safetensors").stat().st_size
    script = (
        "import resource, sys, onnx_model\n"
        "def held(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = held(); sys.argv = ['']; onnx_model.main(); print(held() - start)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert weights > 250_000_000
    assert int(done.stdout) * 1024 < 60_000_000


@pytest.mark.usefixtures("external")
def test_the_verifier_runs_the_large_form(pool: Pool) -> None:
    settings = Settings(Options(("onnx",)), seeds=1, exporters=False)
    report = verify_graph(graph_of(CNN), settings, pool)
    assert [row.status for row in report.rows] == ["equal"] * len(report.rows)
    assert {row.check for row in report.rows} == {"parameters", "inference"}


@pytest.mark.usefixtures("external")
def test_the_verifier_names_the_layer_of_the_large_form(pool: Pool) -> None:
    def edit(file: str, text: str) -> str:
        changed = text.replace('"MaxPool"', '"AveragePool"')
        assert changed != text
        return changed

    settings = Settings(Options(("onnx",)), seeds=1, exporters=False, edit=edit)
    report = verify_graph(graph_of(CNN), settings, pool)
    (row,) = [row for row in report.rows if row.check == "inference"]
    assert (row.status, row.layer) == ("different", "max_pooling2d_1")
