"""Callbacks: what specs say of them, what is refused, and which way what they watch is better."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen.targets.training import FALLING, Settings
from seqgen.training.metrics import METRICS


def made(*callbacks: Any, optimizer: Any = "sgd", metrics: Any = ("accuracy",)) -> Any:
    layers = [seqgen.Input((4,)), seqgen.layers.Dense(3, activation="softmax")]
    model = seqgen.Sequential(layers)
    model.compile(optimizer, "categorical_crossentropy", list(metrics))
    model.fit(callbacks=list(callbacks))
    return model


WRONG = [
    ({"ModelCheckpoint": "best.weights.h5"}, "a file of weights ends in .weights.h5"),
    ({"ModelCheckpoint": "best.pt"}, "a file name .* that ends in .keras, .h5"),
    ({"ModelCheckpoint": "{batch}.keras"}, "a file name without {batch}"),
    ({"ModelCheckpoint": {"filepath": "a.keras", "save_freq": 0}}, "'epoch' or a number"),
    ({"LearningRateScheduler": "lambda epoch: 0.1"}, "a function as 'module:function'"),
    ({"TensorBoard": {"histogram_freq": 1}}, "programs write the scalars"),
    ({"TensorBoard": {"write_images": True}}, "programs write the scalars"),
    (
        {"BackupAndRestore": {"backup_dir": "b", "double_checkpoint": True}},
        "must be false, since .* as a whole",
    ),
    ("SwapEMAWeights", "needs an optimizer with use_ema"),
]


@pytest.mark.parametrize(("callback", "message"), WRONG)
def test_faults_say_what_is_wrong(callback: Any, message: str) -> None:
    with pytest.raises(seqgen.SpecError, match=message):
        made(callback)


def test_each_callback_is_there_once() -> None:
    with pytest.raises(seqgen.SpecError, match="received EarlyStopping twice"):
        made("EarlyStopping", {"EarlyStopping": {"monitor": "loss"}})


def test_a_schedule_and_a_scheduler_do_not_go_together() -> None:
    schedule = seqgen.schedules.CosineDecay(0.1, 10)
    with pytest.raises(seqgen.SpecError, match="LearningRateScheduler cannot change"):
        made({"LearningRateScheduler": "a:b"}, optimizer=seqgen.optimizers.SGD(schedule))


REFUSED = [
    (
        {"EarlyStopping": {"monitor": "val_acc"}},
        "there is no val_acc to watch, only loss, val_loss",
    ),
    ({"EarlyStopping": {"monitor": "true_positives"}}, "say mode: min or max"),
    (
        {"ModelCheckpoint": {"filepath": "a.keras", "save_best_only": True, "save_freq": 3}},
        "what is best is known after an epoch",
    ),
]


@pytest.mark.parametrize(("callback", "message"), REFUSED)
def test_what_programs_cannot_do_is_refused(callback: Any, message: str, tmp_path: Path) -> None:
    model = made(callback, metrics=["accuracy", "TruePositives"])
    with pytest.raises(seqgen.UnsupportedError, match=message):
        seqgen.generate(model, tmp_path / "out", targets=("keras",))


NEEDED = {
    "MeanIoU": {"num_classes": 2},
    "OneHotMeanIoU": {"num_classes": 2},
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}


@pytest.mark.parametrize("name", METRICS)
def test_what_is_better_is_what_keras_says(name: str) -> None:
    keras = pytest.importorskip("keras")
    metric = getattr(keras.metrics, name)(**NEEDED.get(name, {}))
    assert getattr(metric, "_direction", "up") == ("down" if name in FALLING else "up")


@pytest.mark.parametrize(
    ("monitor", "mode", "falls"),
    [
        ("val_loss", "auto", True),
        ("accuracy", "auto", False),
        ("val_accuracy", "min", True),
        ("loss", "max", False),
    ],
)
def test_the_mode_of_a_callback(monitor: str, mode: str, falls: bool) -> None:
    model = made({"EarlyStopping": {"monitor": monitor, "mode": mode}})
    assert Settings(model.graph()).falls("EarlyStopping") is falls


def test_both_programs_write_the_same_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    model = made("TensorBoard")
    model.fit("data.npz", epochs=2, validation_split=0.5)
    seqgen.generate(model, tmp_path, targets=("keras", "torch"), initialize=0)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(20, 4)), y=np.eye(3)[rng.integers(0, 3, 20)])
    found: dict[str, dict[tuple[str, str], list[tuple[int, float]]]] = {}
    for target in ("keras", "torch"):
        command = [sys.executable, f"{target}_train.py", "--weights", "weights.safetensors"]
        silent = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        subprocess.run(command, cwd=tmp_path, env=silent, check=True, capture_output=True)
        found[target] = {}
        for part in ("train", "validation"):
            events = EventAccumulator(str(tmp_path / f"{target}_run" / "logs" / part)).Reload()
            for tag in events.Tags()["scalars"]:
                values = [(e.step, e.value) for e in events.Scalars(tag)]
                found[target][part, tag] = values
            for tag in events.Tags()["tensors"]:
                if tag != "keras":
                    values = [
                        (e.step, float(make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)
                    ]
                    found[target][part, tag] = values
    assert found["keras"].keys() == found["torch"].keys()
    assert ("validation", "evaluation_loss_vs_iterations") in found["torch"]
    for key, values in found["keras"].items():
        np.testing.assert_allclose(values, found["torch"][key], rtol=1e-4)
