"""Training programs run as a user runs them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seqgen

SILENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs, weights and data of a small classifier."""
    out = tmp_path_factory.mktemp("programs")
    layers = seqgen.layers
    model = seqgen.Sequential(
        [
            seqgen.Input((4, 4, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        name="small",
    )
    adam = seqgen.optimizers.Adam(use_ema=True, ema_momentum=0.5)
    model.compile(adam, "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(
        "data.npz",
        epochs=4,
        steps_per_epoch=3,
        batch_size=8,
        validation_split=0.25,
        callbacks=[
            {"EarlyStopping": {"patience": 5, "restore_best_weights": True}},
            {"ReduceLROnPlateau": {"patience": 1, "min_delta": 0.5, "factor": 0.5}},
            {"LearningRateScheduler": "rates:slower"},
            "SwapEMAWeights",
            {
                "ModelCheckpoint": {
                    "filepath": "{epoch}-{val_loss:.2f}.keras",
                    "save_best_only": True,
                }
            },
            "TerminateOnNaN",
        ],
    )
    seqgen.generate(model, out, targets=("keras", "torch"), initialize=0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 44)
    x = rng.normal(size=(44, 4, 4, 1)) + y[:, None, None, None]
    np.savez(out / "data.npz", x=x.astype("float32"), y=y)
    (out / "rates.py").write_text("def slower(epoch, rate):\n    return rate * 0.9\n")
    (out / "mapped").mkdir()
    np.save(out / "mapped" / "x.npy", x.astype("float32"))
    np.save(out / "mapped" / "y.npy", y)
    return out


def run(folder: Path, target: str, *flags: str, ok: bool = True) -> str:
    command = [sys.executable, f"{target}_train.py", "--weights", "weights.safetensors", *flags]
    done = subprocess.run(command, cwd=folder, env=SILENT, capture_output=True, text=True)
    assert (done.returncode == 0) == ok, done.stderr[-2000:]
    return done.stdout if ok else done.stderr


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_going_on_is_the_same_as_not_stopping(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    run(folder, "torch", "--out", "whole")
    run(folder, "torch", "--out", "parts", "--epochs", "2")
    text = run(folder, "torch", "--out", "parts", "--resume")
    assert "epoch 3/4" in text
    assert "epoch 2/4" not in text
    assert rows(folder, "whole") == rows(folder, "parts")
    whole, parts = (
        torch.load(folder / name / "model.pt", weights_only=True) for name in ("whole", "parts")
    )
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name])


def test_both_programs_follow_the_same_curve(folder: Path) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    for target in ("keras", "torch"):
        run(folder, target, "--out", f"{target}_curve", "--data", "mapped")
    for a, b in zip(rows(folder, "keras_curve"), rows(folder, "torch_curve"), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert float(a[name]) == pytest.approx(float(b[name]), rel=2e-4, abs=1e-6), name
    saved = [
        sorted(path.stem for path in (folder / f"{target}_curve").glob(f"?-*{ending}"))
        for target, ending in (("keras", ".keras"), ("torch", ".pt"))
    ]
    assert saved[0]
    assert saved[0] == saved[1]


@pytest.mark.parametrize("target", ["keras", "torch"])
def test_smoke_then_evaluate(folder: Path, target: str) -> None:
    pytest.importorskip("keras" if target == "keras" else "torch")
    flags = ("--out", f"{target}_smoke", "--precision", "float16", "--device", "cpu")
    assert "epoch 1/" in run(folder, target, *flags, "--smoke")
    assert "val_loss" in run(folder, target, *flags, "--evaluate")


def test_what_is_watched_must_be_there(folder: Path) -> None:
    pytest.importorskip("torch")
    text = run(folder, "torch", "--validation-split", "0", "--out", "unwatched", ok=False)
    assert "val_loss is watched" in text


def test_missing_labels_are_reported(folder: Path) -> None:
    pytest.importorskip("torch")
    np.savez(folder / "wrong.npz", x=np.zeros((3, 4, 4, 1)))
    text = run(folder, "torch", "--data", "wrong.npz", ok=False)
    assert "expected arrays x and y" in text
