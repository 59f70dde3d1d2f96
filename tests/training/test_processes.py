"""Several processes train as one does on the same batches."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen

SILENT = {
    **os.environ,
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
# The second process alone is asked to stop when it reads the samples of a batch.
SAMPLES = """
import os
import signal
import numpy as np

class Samples(np.ndarray):
    reads = 0

    def __getitem__(self, rows):
        Samples.reads += not isinstance(rows, slice)
        if Samples.reads == int(os.environ.get("STOP_AT", 0)) and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(rows)

def arrays():
    rng = np.random.default_rng(0)
    y, y_val = rng.integers(0, 3, 21), rng.integers(0, 3, 7)
    x, x_val = rng.normal(size=(21, 6, 5, 2)), rng.normal(size=(7, 6, 5, 2))
    held = {"x_val": x_val, "y_val": y_val}
    return {"x": x.view(Samples), "y": y, "sample_weight": 0.1 + y, **held}
"""


def generated(out: Path, target: str, **training: Any) -> Path:
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
    # The steps of Adam would be the same by gradients that are several times as large.
    settings = {"momentum": 0.9, "global_clipnorm": 5.0, "gradient_accumulation_steps": 2}
    sgd = seqgen.optimizers.SGD(0.05, **settings)
    metrics = ["accuracy", "sparse_categorical_crossentropy"]
    model.compile(sgd, "sparse_categorical_crossentropy", metrics)
    saved = seqgen.callbacks.ModelCheckpoint("saved/{epoch}.weights.h5", save_weights_only=True)
    # The last batch has one sample: less than there are processes.
    model.fit("samples:arrays", **{"epochs": 3, "batch_size": 5, "callbacks": [saved], **training})
    seqgen.generate(model, out, targets=target, initialize=0)
    (out / "samples.py").write_text(SAMPLES)
    return out


def started(folder: Path, *command: str, **more: str) -> subprocess.Popen[str]:
    flags = ("--weights", "weights.safetensors")
    return subprocess.Popen(
        [sys.executable, *command, *flags],
        cwd=folder,
        env=SILENT | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *command: str, **more: str) -> tuple[int, str, str]:
    """The exit status of a process and what it wrote."""
    process = started(folder, *command, **more)
    return process.wait(), *process.communicate()


def two(folder: Path, *command: str, **more: str) -> list[tuple[int, str, str]]:
    """What becomes of two processes, in the environment that torchrun gives them."""
    with socket.create_server(("localhost", 0)) as server:
        port = str(server.getsockname()[1])
    more |= {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    processes = [started(folder, *command, RANK=str(rank), **more) for rank in range(2)]
    texts = [process.communicate() for process in processes]
    return [(p.returncode, *text) for p, text in zip(processes, texts, strict=True)]


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(path: Path, target: str) -> list[np.ndarray]:
    if target == "keras":
        with np.load(path / "model.npz") as file:
            return list(file.values())
    torch = pytest.importorskip("torch")
    model = torch.load(path / "model.pt", weights_only=True)
    return [value.numpy() for value in model.values()]


@pytest.mark.parametrize("target", ["keras", "torch"])
def test_two_processes_train_as_one(target: str, tmp_path: Path) -> None:
    pytest.importorskip(target)
    # The Keras program can if it is asked for.
    folder = generated(tmp_path, target, **{"distributed": True} if target == "keras" else {})
    program = f"{target}_train.py"
    code, whole, errors = run(folder, program, "--out", "one")
    assert code == 0, errors[-2000:]
    for code, _, errors in two(folder, program, "--out", "two", STOP_AT="8"):
        assert code == 1
        assert "stopped after batch" in errors, errors[-2000:]
    (code, first, errors), (other, second, _) = two(folder, program, "--out", "two", "--resume")
    assert (code, other, second) == (0, 0, ""), errors[-2000:]
    assert first
    assert whole.endswith(first)
    for a, b in zip(rows(folder / "one"), rows(folder / "two"), strict=True):
        for name in a:
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-5), name
    for a, b in zip(*(weights(folder / out, target) for out in ("one", "two")), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert len(list((folder / "two" / "saved").iterdir())) == 3


def test_torchrun(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = generated(tmp_path, "torch", epochs=1)
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    code, text, errors = run(folder, *two, "torch_train.py")
    assert code == 0, errors[-2000:]
    assert text.count("epoch 1/1") == 1


@pytest.mark.parametrize(("target", "said"), [("keras", None), ("torch", False)])
def test_processes_are_refused_if_they_would_each_train(
    target: str, said: bool | None, tmp_path: Path
) -> None:
    pytest.importorskip(target)
    folder = generated(tmp_path, target, distributed=said)
    code, _, errors = run(folder, f"{target}_train.py", WORLD_SIZE="2", RANK="0")
    assert code == 1
    assert "this program trains in one process" in errors
    assert "distributed" in errors


def model_of(*layers: Any, **compiled: Any) -> seqgen.Sequential:
    model = seqgen.Sequential([seqgen.Input((4, 2)), *layers])
    model.compile("sgd", **compiled)
    return model


def test_what_several_processes_cannot_train_is_refused(tmp_path: Path) -> None:
    layers = seqgen.layers
    active = layers.Dense(3, activity_regularizer="l2")
    masked = (layers.Masking(), layers.BatchNormalization(), layers.GlobalAveragePooling1D())
    within = layers.TimeDistributed(layers.BatchNormalization())
    summed = seqgen.losses.MeanSquaredError(reduction="sum")
    for target, parts, loss, message in (
        ("keras", (layers.Dense(3),), summed, "is no mean over the samples"),
        ("keras", (active,), "mse", "activity_regularizer"),
        ("keras", masked, "mse", "masked samples"),
        ("keras", (within,), "mse", "within another layer"),
        ("torch", (active,), "mse", "activity_regularizer"),
        ("torch", masked, "mse", "masked samples"),
    ):
        model = model_of(*parts, loss=loss)
        model.fit(distributed=True)
        with pytest.raises(seqgen.UnsupportedError, match=f"distributed: .*{message}"):
            seqgen.generate(model, tmp_path / "out", targets=target)


def test_where_it_is_not_asked_for_the_torch_program_says_why_not(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = model_of(seqgen.layers.Dense(3, activity_regularizer="l2"), loss="mse")
    seqgen.generate(model, tmp_path, targets="torch", initialize=0)
    code, _, errors = run(tmp_path, "torch_train.py", "--data", "none.npz", WORLD_SIZE="2")
    assert code == 1
    assert "in one process: a layer has an activity_regularizer" in errors
