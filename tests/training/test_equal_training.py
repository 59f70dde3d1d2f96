"""Training programs against Keras itself: losses, first gradients and variables after 20 steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import seqgen
from seqgen.generator import Options
from seqgen.training.losses import LOSSES
from seqgen.training.optimizers import OPTIMIZERS, SCHEDULES
from seqgen.training.settings import full, plain
from seqgen.verify import Pool, Report
from seqgen.verify.bench import Settings, as_given
from seqgen.verify.training import neighbours, verify_training
from seqgen.verify.workers.protocol import load_training

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8"))
CLASSIFIES = "sparse_categorical_crossentropy"


def dense(activation: str = "softmax") -> list[Any]:
    """The fewest layers that show a loss or a schedule."""
    return ["Flatten", {"Dense": {"units": 3, "activation": activation}}]


def convolutional() -> list[Any]:
    convolution = {"Conv2D": {"filters": 4, "kernel_size": 3, "activation": "relu"}}
    return [convolution, "BatchNormalization", *dense()]


def model_of(training: dict[str, Any], **more: Any) -> Any:
    spec = {"seqgen": 1, "input": [6, 6, 2], "layers": convolutional(), **more}
    return seqgen.Sequential.from_dict({**spec, "training": training})


def cases() -> dict[str, Any]:
    found = {}
    for optimizer in CASES["optimizers"]:
        found[f"optimizer {optimizer}"] = model_of({"optimizer": optimizer, "loss": CLASSIFIES})
    for schedule in CASES["schedules"]:
        optimizer = {"SGD": {"learning_rate": schedule, "momentum": 0.5}}
        settings = {"optimizer": optimizer, "loss": CLASSIFIES}
        found[f"schedule {schedule}"] = model_of(settings, layers=dense())
    for loss, activation in CASES["losses"]:
        settings = {"optimizer": "SGD", "loss": loss}
        found[f"loss {loss} {activation}"] = model_of(settings, layers=dense(activation))
    for name, spec in CASES["models"].items():
        found[name] = seqgen.Sequential.from_dict({"seqgen": 1, **spec})
    return found


MODELS = cases()


def trained(
    model: Any,
    pool: Pool,
    folder: Path,
    edit: Callable[[str, str], str] = as_given,
    dtype: str = "float64",
    targets: tuple[str, ...] = ("keras", "torch"),
) -> Report:
    settings = Settings(Options(targets=targets, formatted=False), edit=edit)
    rows = verify_training(
        model.graph(), settings, pool, folder / "training", lambda _: None, [dtype]
    )
    return Report(model.name, tuple(rows))


# Of these the Keras program has the very classes that the oracle has.
COMPILED = [name for name in MODELS if name.startswith(("optimizer ", "loss ", "schedule "))]


@pytest.mark.parametrize("name", MODELS)
def test_programs_train_as_keras_does(name: str, pool: Pool, tmp_path: Path) -> None:
    targets = ("torch",) if name in COMPILED else ("keras", "torch")
    report = trained(MODELS[name], pool, tmp_path, targets=targets)
    assert report.ok, [row for row in report.rows if row.status != "equal"]
    assert {row.route for row in report.rows} == set(targets)


@pytest.mark.parametrize("name", COMPILED)
def test_keras_compiles_what_the_spec_says(name: str, tmp_path: Path) -> None:
    seqgen.generate(MODELS[name], tmp_path / "out", targets="keras")
    program, made = load_training(str(tmp_path / "out" / "keras_train.py"))
    model, said = made.build_model(), MODELS[name].training
    program.compile_model(model)
    # Some losses of Keras leave arguments out of their configuration.
    loss = {**model.loss.get_config(), **getattr(model.loss, "_fn_kwargs", {})}
    optimizer = model.optimizer.get_config()
    if "exclude_layers" in optimizer:
        # Keras takes none for an empty list.
        optimizer["exclude_layers"] = optimizer["exclude_layers"] or None
    pairs = [
        (said.loss, LOSSES, type(model.loss).__name__, loss),
        (said.optimizer, OPTIMIZERS, type(model.optimizer).__name__, optimizer),
    ]
    rate = optimizer.pop("learning_rate")
    if isinstance(rate, dict):
        schedule = said.optimizer.kwargs["learning_rate"]
        pairs.append((schedule, SCHEDULES, rate["class_name"], rate["config"]))
    else:
        # It is a variable, of 32 bits.
        assert rate == pytest.approx(full(said.optimizer, OPTIMIZERS)["learning_rate"])
    for given, table, kind, config in pairs:
        assert kind == given.name
        wanted = full(given, table)
        found = {key: config[key] for key in wanted if key in config}
        found = {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}
        assert found == {key: plain(wanted[key]) for key in found}
        assert given.kwargs.keys() - {"learning_rate"} <= found.keys()


@pytest.mark.parametrize("name", CASES["in_float32"])
def test_programs_train_as_keras_does_in_float32(name: str, pool: Pool, tmp_path: Path) -> None:
    report = trained(MODELS[name], pool, tmp_path, dtype="float32")
    assert report.ok, [row for row in report.rows if row.status != "equal"]
    assert [row.check for row in report.rows] == ["loss", "results after"] * 2


def test_what_begins_with_a_rounding_error_begins_elsewhere() -> None:
    array = np.random.default_rng(0).normal(size=50).astype("float32")
    moved = neighbours(array, np.random.default_rng(1))
    assert moved.dtype == array.dtype
    assert (moved != array).all()
    assert np.allclose(moved, array, rtol=2e-7)


@pytest.mark.parametrize("name", CASES["wrong"])
def test_wrong_programs_are_caught(name: str, pool: Pool, tmp_path: Path) -> None:
    case = CASES["wrong"][name]
    applied = []

    def edit(file: str, text: str) -> str:
        if file != case.get("file", "torch_train.py"):
            return text
        for old, new in case["edits"].items():
            assert old in text, f"{old} is not in {file}"
            text = text.replace(old, new)
            applied.append(old)
        return text

    model = model_of({"optimizer": case["optimizer"], "loss": CLASSIFIES})
    report = trained(model, pool, tmp_path, edit, case.get("dtype", "float64"), ("torch",))
    assert applied
    wrong = [row for row in report.rows if row.status == "different"]
    assert wrong, report.rows
    if wrong[0].check == "loss":
        assert "first at step" in wrong[0].note
    if "slot" in case:
        assert [row.note for row in wrong if row.check == "slots"] == [f"first: {case['slot']}"]


def test_what_is_idiomatic_deviates_as_it_says(pool: Pool, tmp_path: Path) -> None:
    model = model_of({"optimizer": "Adam", "loss": CLASSIFIES, "parity": "idiomatic"})
    report = trained(model, pool, tmp_path, targets=("torch",))
    found = {row.check: row.status for row in report.rows}
    assert found.pop("gradients") == "equal"
    assert set(found.values()) == {"different"}
    assert "slots" not in found
    known = "parity: idiomatic, where epsilon is added after"
    assert all(known in row.note for row in report.rows)
    text = (tmp_path / "training" / "float64" / "torch_train.py").read_text(encoding="utf-8")
    assert "torch.optim.Adam(" in text
    assert "It does\nnot in one thing: epsilon is added after" in text


@pytest.mark.parametrize("parity", ["exact", "idiomatic"])
def test_parity_may_be_asked_for(parity: str, tmp_path: Path) -> None:
    model = model_of({"optimizer": "Adam", "loss": CLASSIFIES})
    made = seqgen.generate(model, tmp_path / "out", targets="torch", parity=parity)
    assert ("class Adam(" in made.files["torch_train.py"]) == (parity == "exact")


def test_parity_is_that_of_training(tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((3,)), seqgen.layers.Dense(2)])
    with pytest.raises(seqgen.SpecError, match="it has none"):
        seqgen.generate(model, tmp_path / "out", parity="exact")


REFUSED = [
    ({"Muon": {"exclude_layers": ["^sequential/"]}}, "hangs on the name of a model"),
    ({"Muon": {"exclude_embeddings": False}}, r"exclude_layers=\['gru_cell/bias'\] leaves it out"),
    ("Adafactor", "in 2 parts"),
]


@pytest.mark.parametrize(("optimizer", "message"), REFUSED)
def test_what_torch_cannot_do_is_refused(optimizer: Any, message: str, tmp_path: Path) -> None:
    model = model_of({"optimizer": optimizer, "loss": "mse"}, input=[4, 3], layers=[{"GRU": 2}])
    with pytest.raises(seqgen.UnsupportedError, match=message):
        seqgen.generate(model, tmp_path / "out", targets="torch")


def test_means_along_other_axes_are_refused(tmp_path: Path) -> None:
    layers = [{"DepthwiseConv2D": {"kernel_size": 3, "depth_multiplier": 2}}]
    model = model_of({"optimizer": "Adafactor", "loss": "mse"}, layers=layers)
    with pytest.raises(seqgen.UnsupportedError, match=r"depthwise_conv2d.kernel': target 'torch'"):
        seqgen.generate(model, tmp_path / "out", targets="torch")
