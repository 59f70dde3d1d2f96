"""The training section of a spec: what it takes, how it is written, and what is wrong with it."""

import inspect
from typing import Any

import pytest

import seqgen
from seqgen.layers.objects import REQUIRED, to_snake_case
from seqgen.training.callbacks import CALLBACKS
from seqgen.training.losses import ALIASES, LOSSES
from seqgen.training.metrics import METRICS
from seqgen.training.optimizers import OPTIMIZERS, SCHEDULES

keras = pytest.importorskip("keras")
# Arguments that do not change what is computed, or that programs do not have.
LEFT_OUT = {"name", "dtype", "kwargs", "self", "loss_scale_factor", "verbose", "append"}
LEFT_OUT |= {"raise_error", "from_sorted_ids"}
TABLES = [
    (keras.optimizers, OPTIMIZERS),
    (keras.optimizers.schedules, SCHEDULES),
    (keras.losses, LOSSES),
    (keras.metrics, METRICS),
    (keras.callbacks, CALLBACKS),
]
ENTRIES = [(home, table, name) for home, table in TABLES for name in table if name != "Accuracy"]


@pytest.mark.parametrize(("home", "table", "name"), ENTRIES, ids=[name for *_, name in ENTRIES])
def test_arguments_and_defaults_are_those_of_keras(home: Any, table: Any, name: str) -> None:
    parameters = inspect.signature(getattr(home, name).__init__).parameters
    known = {
        key: REQUIRED if p.default is inspect.Parameter.empty else p.default
        for key, p in parameters.items()
        if key not in LEFT_OUT
    }
    given = {key: default for key, (_, default) in table[name].items() if key != "name"}
    assert given == known


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_short_names_are_those_of_keras(alias: str, name: str) -> None:
    assert keras.losses.get(alias).__name__ == keras.losses.get(to_snake_case(name)).__name__


def model() -> Any:
    made = seqgen.Sequential([seqgen.Input((4,)), seqgen.layers.Dense(3, activation="softmax")])
    made.compile({"Adam": {"learning_rate": 0.01}}, "sparse_categorical_crossentropy", ["accuracy"])
    made.fit(
        "digits.npz",
        epochs=3,
        class_weight={0: 2.0},
        callbacks=[{"EarlyStopping": {"patience": 2}}],
    )
    return made


@pytest.mark.parametrize("form", ["yaml", "json", "toml"])
def test_written_and_read_again(form: str) -> None:
    text = getattr(model(), f"to_{form}")()
    assert seqgen.load(text, form).training == model().training


WRONG = [
    ({}, "'loss': expected the name of a loss"),
    ({"loss": "mse", "optimiser": "adam"}, "did you mean 'optimizer'"),
    ({"loss": "mze"}, "did you mean"),
    ({"loss": "mse", "optimizer": {"Adam": {"beta1": 0.5}}}, "did you mean 'beta_1'"),
    ({"loss": "mse", "optimizer": {"SGD": {"learning_rate": -1}}}, "a positive number"),
    ({"loss": "mse", "epochs": 0}, "a positive integer"),
    ({"loss": "mse", "class_weight": {"a": 1.0}}, "a mapping from classes"),
    ({"loss": "mse", "optimizer": {"SGD": {"clipnorm": 1, "clipvalue": 1}}}, "at most one of"),
    ({"loss": "mse", "validation_split": 1.0}, "from 0 to below 1"),
    (
        {
            "loss": "mse",
            "optimizer": {
                "SGD": {
                    "learning_rate": {
                        "CosineDecay": {"initial_learning_rate": 1.0, "decay_steps": 3}
                    }
                }
            },
            "callbacks": "ReduceLROnPlateau",
        },
        "cannot change a learning rate",
    ),
    ("adam", "expected keys such as optimizer"),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_faults_say_what_is_wrong(given: Any, message: str) -> None:
    spec = {"seqgen": 1, "input": [4], "layers": [{"Dense": 3}], "training": given}
    with pytest.raises(seqgen.SpecError, match=message):
        seqgen.Sequential.from_dict(spec)


WITHIN = {"TimeDistributed": {"layer": {"Dense": {"units": 2, "activity_regularizer": "l2"}}}}
ORTHOGONAL = {"filters": 2, "kernel_size": 3, "kernel_regularizer": "OrthogonalRegularizer"}
REFUSED = [
    ([{"Dense": 3}, {"ReLU": {"activity_regularizer": "l2"}}], {}, "put an ActivityRegularization"),
    ([WITHIN], {}, "no activity_regularizer of a layer within another"),
    ([{"Conv1D": ORTHOGONAL}], {}, "OrthogonalRegularizer is for matrices"),
    (
        [{"GRU": {"units": 3}}, {"Dense": 1}],
        {"optimizer": {"SGD": {"clipnorm": 1.0}}},
        "in 2 parts",
    ),
]


@pytest.mark.parametrize(("layers", "more", "message"), REFUSED)
def test_what_programs_cannot_train_is_refused(
    layers: Any, more: Any, message: str, tmp_path: Any
) -> None:
    training = {"loss": "mse", **more}
    spec = {"seqgen": 1, "input": [5, 4], "layers": layers, "training": training}
    made = seqgen.Sequential.from_dict(spec)
    with pytest.raises(seqgen.UnsupportedError, match=message):
        seqgen.generate(made, tmp_path / "out", targets=("keras", "torch"))
    assert not (tmp_path / "out").exists()
