"""Layers of keras.applications against Keras itself, in Python and in what is generated."""

import importlib
import inspect
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import seqgen
from seqgen import layers
from seqgen.errors import SpecError
from seqgen.layers import LAYERS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")
np = pytest.importorskip("numpy")

KINDS = ("CustomScaleLayer", "LayerScale", "StochasticDepth")


def of_keras(kind: str) -> Any:
    module, _, name = LAYERS[kind].keras_path.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("kind", KINDS)
def test_signature(kind: str) -> None:
    expected = list(inspect.signature(of_keras(kind).__init__).parameters)[1:-1]
    assert [field.name for field in fields(LAYERS[kind]) if not field.kw_only] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_name_is_keras_s(kind: str) -> None:
    arguments = (1.0, 4) if kind == "LayerScale" else (0.5,)
    keras.utils.clear_session()
    assert LAYERS[kind](*arguments).auto_name == of_keras(kind)(*arguments).name


def test_variables() -> None:
    x = keras.Input((5, 4))
    theirs = of_keras("LayerScale")(0.25, 4, name="scale")
    theirs(x)
    model = seqgen.Sequential([seqgen.Input((5, 4)), layers.LayerScale(0.25, 4, name="scale")])
    (mine,), (known,) = model.weights, theirs.weights
    assert (mine.path, mine.trainable) == ("scale/gamma", known.trainable)
    np.testing.assert_array_equal(mine.numpy(), known.numpy())


def test_refused() -> None:
    x, y = seqgen.Input((5, 4)), seqgen.Input((5, 3), name="y")
    with pytest.raises(SpecError, match="size of the last axis"):
        layers.LayerScale(1.0, 3)(x)
    with pytest.raises(SpecError, match="go together"):
        layers.CustomScaleLayer(0.5)([x, y])
    with pytest.raises(SpecError, match="expected 2 input tensors"):
        layers.CustomScaleLayer(0.5)([x])
    with pytest.raises(SpecError, match="from 0 to 1"):
        layers.StochasticDepth(1.5)


def test_torch_cannot_drop_everything() -> None:
    model = seqgen.Sequential([seqgen.Input((5, 4)), layers.StochasticDepth(1.0)])
    with pytest.raises(seqgen.UnsupportedError, match="divides by zero"):
        seqgen.generate(model, "unused", targets=("torch",))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keras_program_says_the_classes(dtype: str, tmp_path: Path) -> None:
    """It imports nothing private, and what it makes can be saved and loaded."""
    x = seqgen.Input((5, 4))
    y = layers.StochasticDepth(0.5)(layers.LayerScale(0.5, 4)(layers.Dense(4)(x)))
    z = layers.CustomScaleLayer(0.25)([x, y])
    model = seqgen.Model(x, z[:, 1:] * 2, dtype=dtype)
    seqgen.generate(model, tmp_path, targets=("keras",))
    model.save_weights(tmp_path / "weights.safetensors")
    text = (tmp_path / "keras_model.py").read_text()
    assert "keras.src" not in text
    program: dict[str, Any] = {"__name__": "keras_model"}
    exec(text, program)
    built = program["build_model"]()
    program["load_weights"](built, tmp_path / "weights.safetensors")
    built.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    batch = np.random.default_rng(1).normal(size=(3, 5, 4))
    np.testing.assert_allclose(again.predict(batch, verbose=0), model(batch.astype(dtype)), 1e-5)
    trained = built(batch, training=True)
    assert trained.shape == (3, 4, 4)
