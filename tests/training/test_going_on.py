"""Training that is stopped in the middle of an epoch goes on as if it had not been."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seqgen

SILENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
# Who reads the samples of this batch is asked to stop, as by Ctrl-C or by a scheduler of jobs.
SAMPLES = """
import os
import signal
import numpy as np

class Samples(np.ndarray):
    reads = 0

    def __getitem__(self, rows):
        Samples.reads += not isinstance(rows, slice)
        if Samples.reads == int(os.environ.get("STOP_AT", 0)):
            os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
        return super().__getitem__(rows)

def arrays():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 90)
    x = (rng.normal(size=(90, 6)) + y[:, None]).astype("float32")
    held = {"x_val": x[:10], "y_val": y[:10]}
    return {"x": x.view(Samples), "y": y, **held}

def halved(epoch, rate):
    return rate / 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs whose training has something to remember of everything."""
    out = tmp_path_factory.mktemp("going_on")
    layers = seqgen.layers
    model = seqgen.Sequential(
        [
            seqgen.Input((6,)),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.4),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        seqgen.optimizers.Adam(0.01, use_ema=True), "binary_crossentropy", ["accuracy", "AUC"]
    )
    model.fit(
        "samples:arrays",
        epochs=3,
        batch_size=4,
        callbacks=[
            seqgen.callbacks.LearningRateScheduler("samples:halved"),
            seqgen.callbacks.SwapEMAWeights(swap_on_epoch=True),
            seqgen.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
            seqgen.callbacks.ModelCheckpoint(
                "saved/{epoch:02d}.weights.h5", save_weights_only=True
            ),
            seqgen.callbacks.BackupAndRestore("backup", save_freq=7, delete_checkpoint=False),
        ],
    )
    seqgen.generate(model, out, targets=("keras", "torch"), initialize=0)
    (out / "samples.py").write_text(SAMPLES)
    return out


def run(folder: Path, target: str, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"{target}_train.py", "--weights", "weights.safetensors", *flags]
    return subprocess.run(command, cwd=folder, env=SILENT | more, capture_output=True, text=True)


def kept(path: Path, target: str) -> list[np.ndarray]:
    """What training ended with, and what its last checkpoint holds."""
    if target == "keras":
        with np.load(path / "model.npz") as file, np.load(path / "backup" / "last.npz") as last:
            return [*file.values(), *last.values()]
    torch = pytest.importorskip("torch")
    model = torch.load(path / "model.pt", weights_only=True)
    last = torch.load(path / "backup" / "last.pt", weights_only=True)
    found = [*model.values(), *last["trainer"]["average"], last["random"]["cpu"]]
    found += [v for state in last["trainer"]["optimizer"]["state"].values() for v in state.values()]
    return [value.numpy() for value in found]


def table(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("target", "stops"),
    [("keras", {25: "SIGTERM"}), ("torch", {12: "SIGINT", 25: "SIGTERM"})],
    ids=["keras", "torch"],
)
def test_stopped_in_an_epoch(folder: Path, target: str, stops: dict[int, str]) -> None:
    pytest.importorskip("keras" if target == "keras" else "torch")
    whole = run(folder, target, "--out", f"{target}_whole")
    assert whole.returncode == 0, whole.stderr[-2000:]
    parts = f"{target}_parts"
    for stop, signal in stops.items():
        stopped = run(folder, target, "--out", parts, STOP_AT=str(stop), SIGNAL=signal)
        assert stopped.returncode == 1
        assert "stopped after batch" in stopped.stderr, stopped.stderr[-2000:]
    # A backup is gone on from without being asked.
    last = run(folder, target, "--out", parts)
    assert last.returncode == 0, last.stderr[-2000:]
    assert "ran out of data" not in last.stderr
    assert table(folder / f"{target}_whole") == table(folder / parts)
    names = sorted(path.name for path in (folder / parts / "saved").iterdir())
    assert [name[:2] for name in names] == ["01", "02", "03"]
    both = (kept(folder / out, target) for out in (f"{target}_whole", parts))
    for a, b in zip(*both, strict=True):
        np.testing.assert_array_equal(a, b)
