"""The ONNX program that trains against Keras itself: losses, gradients, variables and slots."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

import seqgen
from seqgen.generator import Options, generate_programs
from seqgen.verify import Pool, Row
from seqgen.verify.bench import Settings, as_given
from seqgen.verify.training import verify_training

CASES = yaml.safe_load((Path(__file__).parent / "onnx.yaml").read_text(encoding="utf-8"))


def cases() -> dict[str, Any]:
    found = dict(CASES["models"])
    for loss, activation in CASES["losses"]:
        found[f"loss {loss} {activation}"] = {
            "input": [4],
            "layers": [{"Dense": {"units": 3, "activation": activation}}],
            "training": {"optimizer": "SGD", "loss": loss},
        }
    for activations in CASES["activations"]:
        layers = [{"Dense": {"units": 6, "activation": each}} for each in activations]
        last = {"Dense": {"units": 3, "activation": "softmax"}}
        found[f"activations {activations}"] = {"input": [4], "layers": [*layers, last]}
    return found


SPECS = cases()
PLAIN = {"optimizer": {"SGD": {"learning_rate": 0.1}}, "loss": "categorical_crossentropy"}


def rows_of(
    name: str, pool: Pool, folder: Path, edit: Callable[[str, str], str] = as_given
) -> list[Row]:
    model = seqgen.Sequential.from_dict({"seqgen": 1, "training": PLAIN, **SPECS[name]})
    settings = Settings(options=Options(targets=("onnx",)), edit=edit)
    # onnxruntime itself has convolutions in float32 only.
    both = name in CASES["in_float32"] and edit is as_given
    dtypes = ("float64", "float32") if both else ("float64",)
    return verify_training(
        model.graph(), settings, pool, folder / "training", lambda _: None, dtypes
    )


@pytest.mark.parametrize("name", SPECS)
def test_onnx_trains_as_keras_does(name: str, pool: Pool, tmp_path: Path) -> None:
    rows = rows_of(name, pool, tmp_path)
    assert rows
    assert all(row.status == "equal" for row in rows), [r for r in rows if r.status != "equal"]


@pytest.mark.parametrize("name", CASES["wrong"])
def test_wrong_programs_are_caught(name: str, pool: Pool, tmp_path: Path) -> None:
    case = CASES["wrong"][name]

    def edit(file: str, text: str) -> str:
        for old, new in case["edits"].items() if file == "onnx_train.py" else ():
            assert old in text, old
            text = text.replace(old, new)
        return text

    assert "different" in {row.status for row in rows_of(case["model"], pool, tmp_path, edit)}


def run(folder: Path, *flags: str, ok: bool = True) -> str:
    command = [sys.executable, "onnx_train.py", *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode == 0) == ok, done.stderr[-2000:]
    return done.stdout if ok else done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, weights and data of a small classifier with dropout."""
    out = tmp_path_factory.mktemp("onnx_programs")
    layers = seqgen.layers
    model = seqgen.Sequential(
        [
            seqgen.Input((4, 4, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.SpatialDropout2D(0.3),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax"),
        ],
        name="small",
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit("data.npz", epochs=4, batch_size=8, validation_split=0.25)
    seqgen.generate(model, out, targets="onnx", initialize=0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 44)
    x = rng.normal(size=(44, 4, 4, 1)) + y[:, None, None, None]
    np.savez(out / "data.npz", x=x.astype("float32"), y=y)
    return out


def test_going_on_is_the_same_as_not_stopping(folder: Path) -> None:
    run(folder, "--out", "whole")
    run(folder, "--out", "parts", "--epochs", "2")
    run(folder, "--out", "parts", "--resume")
    with np.load(folder / "whole" / "last.npz") as a, np.load(folder / "parts" / "last.npz") as b:
        assert set(a.files) == set(b.files)
        assert all(np.array_equal(a[name], b[name]) for name in a.files)
    whole, parts = ((folder / name / "log.csv").read_text() for name in ("whole", "parts"))
    assert whole == parts


def test_the_trained_model_gives_what_evaluation_said(folder: Path) -> None:
    run(folder, "--out", "trained", "--epochs", "2")
    said = run(folder, "--out", "trained", "--evaluate")
    session = onnxruntime.InferenceSession(folder / "trained" / "model.onnx")
    with np.load(folder / "data.npz") as data:
        x, y = data["x"][33:].transpose(0, 3, 1, 2), data["y"][33:]
    (p,) = session.run(None, {session.get_inputs()[0].name: x})
    assert f"val_accuracy {np.mean(p.argmax(-1) == y):.4g}" in said


def test_smoke_is_short_and_leaves_a_checkpoint(folder: Path) -> None:
    said = run(folder, "--out", "smoke", "--smoke")
    assert said.count("epoch") == 1
    assert (folder / "smoke" / "last.npz").exists()


@pytest.mark.parametrize("name", CASES["refused"])
def test_what_it_cannot_say_is_left_out_with_the_reason(name: str) -> None:
    case = CASES["refused"][name]
    spec = {"seqgen": 1, "input": [6], "layers": ["Dense"], "training": PLAIN, **case["spec"]}
    spec["layers"] = [{"Dense": 3} if layer == "Dense" else layer for layer in spec["layers"]]
    options = Options(targets=("onnx",), layout=case.get("layout", "native"))
    made = generate_programs(seqgen.Sequential.from_dict(spec).graph(), options, "")
    left_out = made.content["targets"]["onnx"]["left_out"]
    assert case["reason"] in left_out["onnx_train.py"]
    assert "onnx_train.py" not in made.files


def test_verification_says_what_was_left_out(pool: Pool, tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((3,)), seqgen.layers.Dense(2)])
    model.compile("Adagrad", "mse")
    reason = "no onnx_train.py: no optimizer Adagrad"

    def of(*targets: str) -> list[Row]:
        settings = Settings(options=Options(targets=targets))
        folder = tmp_path / "-".join(targets)
        return verify_training(model.graph(), settings, pool, folder, lambda _: None, ("float64",))

    rows = of("torch", "onnx")
    assert {(row.route, row.status) for row in rows} == {("torch", "equal")}
    assert reason in rows[0].note
    (row,) = of("onnx")
    assert (row.route, row.status) == ("onnx", "not run")
    assert reason in row.note
