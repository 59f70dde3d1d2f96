"""Training programs against Keras itself: losses, first gradients and variables after 20 steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import seqgen
from seqgen.verify import Pool, Report
from seqgen.verify.bench import Settings, as_given
from seqgen.verify.training import verify_training

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8"))
CLASSIFIES = "sparse_categorical_crossentropy"


def convolutional(activation: str = "softmax") -> list[Any]:
    return [
        {"Conv2D": {"filters": 4, "kernel_size": 3, "activation": "relu"}},
        "BatchNormalization",
        "Flatten",
        {"Dense": {"units": 3, "activation": activation}},
    ]


def model_of(training: dict[str, Any], **more: Any) -> Any:
    spec = {"seqgen": 1, "input": [6, 6, 2], "layers": convolutional(), **more}
    return seqgen.Sequential.from_dict({**spec, "training": training})


def cases() -> dict[str, Any]:
    found = {}
    for optimizer in CASES["optimizers"]:
        found[f"optimizer {optimizer}"] = model_of({"optimizer": optimizer, "loss": CLASSIFIES})
    for schedule in CASES["schedules"]:
        optimizer = {"SGD": {"learning_rate": schedule, "momentum": 0.5}}
        found[f"schedule {schedule}"] = model_of({"optimizer": optimizer, "loss": CLASSIFIES})
    for loss, activation in CASES["losses"]:
        settings = {"optimizer": "SGD", "loss": loss}
        found[f"loss {loss} {activation}"] = model_of(settings, layers=convolutional(activation))
    for name, spec in CASES["models"].items():
        found[name] = seqgen.Sequential.from_dict({"seqgen": 1, **spec})
    return found


MODELS = cases()


def trained(
    model: Any, pool: Pool, folder: Path, edit: Callable[[str, str], str] = as_given
) -> Report:
    rows = verify_training(
        model.graph(), Settings(edit=edit), pool, folder / "training", lambda _: None
    )
    return Report(model.name, tuple(rows))


@pytest.mark.parametrize("name", MODELS)
def test_programs_train_as_keras_does(name: str, pool: Pool, tmp_path: Path) -> None:
    report = trained(MODELS[name], pool, tmp_path)
    assert report.ok, [row for row in report.rows if row.status != "equal"]
    assert {row.route for row in report.rows} == {"keras", "torch"}


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
    report = trained(model, pool, tmp_path, edit)
    assert applied
    wrong = [row for row in report.rows if row.status == "different"]
    assert wrong, report.rows
    assert {row.route for row in wrong} == {"torch"}
    if wrong[0].check == "loss":
        assert "first at step" in wrong[0].note
