"""Several processes train as one does on the same batches."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seqgen

SILENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}


def generated(out: Path, **training: object) -> Path:
    layers = seqgen.layers
    model = seqgen.Sequential(
        [
            seqgen.Input((6, 5, 2)),
            layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(momentum=0.5),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    adam = seqgen.optimizers.Adam(0.01, clipnorm=0.5)
    model.compile(adam, "sparse_categorical_crossentropy", ["accuracy"])
    # The last batch has one sample: less than there are processes.
    model.fit("data.npz", epochs=3, batch_size=5, callbacks=["TerminateOnNaN"], **training)
    seqgen.generate(model, out, targets=("keras", "torch"), initialize=0)
    rng = np.random.default_rng(0)
    y, y_val = rng.integers(0, 3, 21), rng.integers(0, 3, 7)
    x, x_val = rng.normal(size=(21, 6, 5, 2)), rng.normal(size=(7, 6, 5, 2))
    np.savez(out / "data.npz", x=x, y=y, sample_weight=0.1 + y, x_val=x_val, y_val=y_val)
    return out


def run(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=SILENT | more, capture_output=True, text=True
    )


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = generated(tmp_path, distributed=True)
    flags = ("torch_train.py", "--weights", "weights.safetensors")
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    for command in ((*flags, "--out", "one"), (*two, *flags, "--out", "two")):
        done = run(folder, *command)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("epoch 1/3") == 1
    for a, b in zip(rows(folder / "one"), rows(folder / "two"), strict=True):
        for name in a:
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4), name
    one, two_ = (
        torch.load(folder / name / "model.pt", weights_only=True) for name in ("one", "two")
    )
    for name, value in one.items():
        np.testing.assert_allclose(value, two_[name], rtol=1e-3, atol=1e-5)
    done = run(folder, *flags, "--out", "two", "--resume")
    assert "2 processes wrote the checkpoint" in done.stderr


def test_processes_are_refused_where_they_are_not_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = generated(tmp_path)
    done = run(folder, "torch_train.py", WORLD_SIZE="2", RANK="0")
    assert done.returncode == 1
    assert "distributed: true" in done.stderr


def test_a_loss_that_is_no_mean_is_refused(tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((4,)), seqgen.layers.Dense(3)])
    model.compile("sgd", seqgen.losses.MeanSquaredError(reduction="sum"))
    model.fit(distributed=True)
    with pytest.raises(seqgen.UnsupportedError, match="is no mean over the samples"):
        seqgen.generate(model, tmp_path / "out", targets=("torch",))
