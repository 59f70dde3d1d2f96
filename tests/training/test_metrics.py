"""Metrics of training programs against Keras's own, over batches of which the last is partial."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import seqgen
from seqgen.layers.objects import REQUIRED
from seqgen.targets.metrics import OVERLAPS, log_name, metrics_of
from seqgen.training.metrics import METRICS
from seqgen.training.settings import Training
from seqgen.verify.training import labels
from seqgen.verify.workers.protocol import load_training

keras = pytest.importorskip("keras")
pytest.importorskip("torch")
GROUPS = yaml.safe_load((Path(__file__).parent / "metrics.yaml").read_text(encoding="utf-8"))
COUNT, BATCH = 17, 10
LIMITS = {"float64": 1e-9, "float32": 2e-6}
# Keras divides in float32 here, and has a constant of the other in float32.
ROUNDED = {**dict.fromkeys(OVERLAPS, 1e-6), "LogCoshError": 1e-7}


def kind_of(metric: Any) -> str:
    return next(iter(metric)) if isinstance(metric, dict) else metric


def model_of(group: dict[str, Any]) -> Any:
    size, metrics = group["size"], group["metrics"]
    # The results are the inputs but for the activation.
    dense = {"units": size[-1], "activation": group["activation"], "kernel_initializer": "Identity"}
    training = {
        "optimizer": "SGD",
        "loss": group["loss"],
        "metrics": [*metrics, *group.get("only_without_weights", [])],
        "weighted_metrics": list({kind_of(metric): metric for metric in metrics}.values()),
    }
    spec = {"seqgen": 1, "input": size, "layers": [{"Dense": dense}], "training": training}
    return seqgen.Sequential.from_dict({**spec, "dtype": group.get("dtype", "float64")})


def data_of(group: dict[str, Any], training: Training) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    shape = (COUNT, *group["size"])
    # Some results are equal to each other or to thresholds, some beyond what a sigmoid tells.
    x = np.where(rng.random(shape) < 0.5, rng.integers(-2, 3, shape) / 2, rng.normal(size=shape))
    x[1] = 40.0 * np.sign(rng.normal(size=shape[1:]))
    y = labels(rng, training.loss, shape, "float64")
    return {"x": x, "y": y, "sample_weight": rng.uniform(0.5, 2.0, shape[:-1])}


@pytest.fixture(autouse=True)
def in_float32() -> Iterator[None]:
    """Leave Keras's float type as it was: programs set theirs."""
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(policy)


def by_keras(folder: Path, data: dict[str, np.ndarray]) -> dict[str, Any]:
    program, made = load_training(str(folder / "keras_train.py"))
    model = made.build_model()
    made.load_weights(model, str(folder / "weights.safetensors"))
    program.compile_model(model)
    # To make a graph of many metrics takes longer than to compute them.
    model.run_eagerly = True
    return model.evaluate(
        data["x"], data["y"], BATCH, 0, data.get("sample_weight"), return_dict=True
    )


def by_torch(folder: Path, data: dict[str, np.ndarray]) -> dict[str, Any]:
    program, made = load_training(str(folder / "torch_train.py"))
    model = made.build_model()
    made.load_weights(model, str(folder / "weights.safetensors"))
    return program.evaluate(program.Trainer(model), data, BATCH)


@pytest.mark.parametrize("name", GROUPS)
def test_metrics_are_those_of_keras(name: str, tmp_path: Path) -> None:
    model = model_of(GROUPS[name])
    seqgen.generate(model, tmp_path, targets=("keras", "torch"), initialize=0)
    data = data_of(GROUPS[name], model.training)
    expected, received = by_keras(tmp_path, data), by_torch(tmp_path, data)
    assert {f"val_{log}" for log in expected} == received.keys()
    shape = (COUNT, *GROUPS[name]["size"])
    sparse = data["y"].ndim < data["x"].ndim
    kinds = {m.name: m.kind for m in metrics_of(model.training, shape, sparse)}
    wrong = []
    for log, value in expected.items():
        limit = ROUNDED.get(kinds.get(log, ""), LIMITS[model.dtype])
        if not np.allclose(received[f"val_{log}"], value, rtol=limit, atol=1e-12):
            wrong.append((log, value, received[f"val_{log}"]))
    assert not wrong


def test_weights_of_classes_are_those_of_training(tmp_path: Path) -> None:
    group = {**GROUPS["numbered_classes"], "only_without_weights": []}
    model = model_of(group)
    settings = {**model.training.to_plain(), "class_weight": {0: 2.0, 3: 0.5}, "shuffle": False}
    model.training = Training.parse(settings)
    seqgen.generate(model, tmp_path, targets=("keras", "torch"), initialize=0)
    data = data_of(group, model.training)
    x, y, held_out = data["x"], data["y"], {k: v[:5] for k, v in data.items()}
    program, made = load_training(str(tmp_path / "keras_train.py"))
    network = made.build_model()
    made.load_weights(network, str(tmp_path / "weights.safetensors"))
    program.compile_model(network)
    more = {"class_weight": program.CLASS_WEIGHT, "validation_data": tuple(held_out.values())}
    history = network.fit(x, y, BATCH, 1, shuffle=False, verbose=0, **more).history
    program, made = load_training(str(tmp_path / "torch_train.py"))
    network = made.build_model()
    made.load_weights(network, str(tmp_path / "weights.safetensors"))
    trainer, logs = program.Trainer(network), program.Logs()
    for rows in np.split(np.arange(COUNT), [BATCH]):
        batch = program.tensors({"x": x, "y": y}, rows, "cpu")
        loss, z = trainer.step(*batch)
        logs.update(loss, z, *batch[1:])
    received = logs.results() | program.evaluate(trainer, held_out, BATCH)
    assert received.keys() == history.keys()
    for name, (value,) in history.items():
        assert received[name] == pytest.approx(value, rel=1e-9), name
    np.savez(tmp_path / "both.npz", **data)
    with pytest.raises(SystemExit, match="leave out sample_weight"):
        program.load_data(tmp_path / "both.npz", 0.0)


def test_labels_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    model = model_of({**GROUPS["classes"], "metrics": [], "only_without_weights": []})
    seqgen.generate(model, tmp_path, targets="torch")
    program, _ = load_training(str(tmp_path / "torch_train.py"))
    part = {"x": np.zeros((2, 4)), "y": np.eye(4)[:2]}
    assert len(program.tensors(part, np.arange(2), "cpu")) == 3
    part["y"][1, 0] = 1.0
    with pytest.raises(SystemExit, match="labels add up to 1"):
        program.tensors(part, np.arange(2), "cpu")


def test_all_metrics_are_proven() -> None:
    said = [m for g in GROUPS.values() for m in g["metrics"] + g.get("only_without_weights", [])]
    assert METRICS.keys() - {"Accuracy"} <= set(map(kind_of, said))


@pytest.mark.parametrize("name", METRICS)
def test_names_in_logs_are_those_of_keras(name: str) -> None:
    values = {"num_classes": 3, "target_class_ids": [1]}
    needed = [k for k, (_, default) in METRICS[name].items() if default is REQUIRED]
    given = {k: values.get(k, 0.5) for k in needed}
    keras.backend.clear_session()
    assert getattr(keras.metrics, name)(**given).name == log_name(name)


def test_repeated_names_are_numbered_as_in_keras() -> None:
    names = ["mean_squared_error", "mean_squared_error"]
    both = keras.src.trainers.compile_utils.CompileMetrics(names, names)
    both.update_state(np.ones((2, 1)), np.zeros((2, 1)))
    training = Training.parse({"loss": "mse", "metrics": names, "weighted_metrics": names})
    assert [metric.name for metric in metrics_of(training, (None, 1), False)] == list(both.result())


BINARY = {"loss": "bce", "size": [1]}
NUMBERED = {"loss": "sparse_categorical_crossentropy", "size": [3]}
REFUSED = [
    (NUMBERED, {"metrics": "mse"}, "takes labels of the shape of results"),
    (NUMBERED, {"metrics": "AUC"}, "takes labels of the shape of results"),
    (BINARY, {"metrics": "SparseCategoricalAccuracy"}, "takes numbers of classes"),
    (BINARY, {"metrics": {"Precision": {"class_id": 1}}}, "class_id=1 is too large"),
    (BINARY, {"metrics": {"Recall": {"top_k": 2}}}, "top_k=2 is too large"),
    (BINARY, {"metrics": {"AUC": {"num_labels": 1}}}, "where multi_label is true"),
    (BINARY, {"metrics": {"AUC": {"label_weights": [1, 2]}}}, "2 numbers for 1 results"),
    (BINARY, {"metrics": {"BinaryIoU": {"target_class_ids": [2]}}}, "no such class"),
    (BINARY, {"metrics": {"OneHotMeanIoU": {"num_classes": 2, "sparse_y_pred": True}}}, "to false"),
    (BINARY, {"metrics": "TopKCategoricalAccuracy"}, "has no float64"),
    (BINARY, {"weighted_metrics": "BinaryIoU"}, "counts by whole weights"),
    (
        NUMBERED,
        {"weighted_metrics": {"SparseCategoricalCrossentropy": {"ignore_class": 0}}},
        "no ignore_class with weights",
    ),
    ({"loss": "mse", "size": [2, 3]}, {"metrics": "R2Score"}, "expected results of rank 2"),
    (
        {"loss": "mse", "size": [3]},
        {"weighted_metrics": {"CosineSimilarity": 0}},
        "along that axis",
    ),
    (
        {"loss": {"CategoricalCrossentropy": {"axis": 1, "label_smoothing": 0.1}}, "size": [2, 3]},
        {},
        "no label_smoothing along axis 1",
    ),
    ({"loss": "CTC", "size": [5, 3]}, {"metrics": "accuracy"}, "CTC: there are no metrics"),
    ({"loss": "CTC", "size": [3]}, {}, "expected a result of rank 3"),
    (BINARY, {"metrics": {"AUC": {"name": "loss"}}}, "logs have the loss under this name"),
    ({"loss": "Circle", "size": [2, 3]}, {}, "expected a result of rank 2"),
    (
        {"loss": "bce", "size": [3]},
        {"metrics": "F1Score", "callbacks": {"EarlyStopping": "val_f1_score"}},
        "has several values",
    ),
]


@pytest.mark.parametrize(("group", "more", "message"), REFUSED)
def test_what_metrics_do_not_take_is_refused(
    group: dict[str, Any], more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = model_of({"activation": "sigmoid", "metrics": [], **group})
    plain = {**model.training.to_plain(), **more}
    model.training = Training.parse(plain)
    with pytest.raises(seqgen.UnsupportedError, match=message):
        seqgen.generate(model, tmp_path / "out", targets="torch")


def test_results_with_a_mask_are_refused(tmp_path: Path) -> None:
    words = {"Embedding": {"input_dim": 9, "output_dim": 4, "mask_zero": True}}
    spec = {"seqgen": 1, "input": {"shape": [5], "dtype": "int32"}, "layers": [words, {"Dense": 3}]}
    model = seqgen.Sequential.from_dict({**spec, "training": {"loss": "mse"}})
    with pytest.raises(seqgen.UnsupportedError, match="no loss of results that have a mask"):
        seqgen.generate(model, tmp_path / "out", targets=("keras", "torch"))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"Precision": {"thresholds": [0.9, 0.1]}}, "ascending ones"),
        ({"R2Score": {"num_regressors": 2}}, "the only number that Keras takes"),
        ({"SparseCategoricalCrossentropy": {"axis": 1}}, "the only axis that Keras takes"),
        ("AUROC", "did you mean"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(metric: Any, message: str) -> None:
    with pytest.raises(seqgen.SpecError, match=message):
        Training.parse({"loss": "mse", "metrics": metric})
