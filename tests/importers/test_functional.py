"""Functional and nested models that Keras makes and saves, imported and compared with Keras."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen.errors import UnsupportedError

keras = pytest.importorskip("keras")

from tests.importers.functional_models import MODELS, shared_with_a_model_within  # noqa: E402
from tests.importers.test_keras import with_random_weights  # noqa: E402


def flat(values: Any) -> list[np.ndarray]:
    return [np.asarray(value) for value in keras.tree.flatten(values)]


def layer_names(model: Any) -> list[Any]:
    """Names of the layers at every depth, without the inputs and operations."""
    found: list[Any] = []
    for layer in model.layers:
        if type(layer).__name__ in ("Input", "InputLayer") or getattr(layer, "is_operation", False):
            continue
        found.append([layer.name, layer_names(layer)] if hasattr(layer, "layers") else layer.name)
    return found


def assert_same(imported: Any, model: Any) -> None:
    """Same names, same variables in the same order, same results."""
    assert layer_names(imported) == layer_names(model)
    assert imported.count_params() == model.count_params()
    assert len(imported.variables) == len(model.weights)
    for own, variable in zip(imported.variables, model.weights, strict=True):
        assert np.array_equal(own.numpy(), np.asarray(variable)), own.path
    assert len(imported.trainable_variables) == len(model.trainable_weights)
    structure = model.layers[0].input if isinstance(model, keras.Sequential) else model.input
    entries = keras.tree.flatten(structure)
    rng = np.random.default_rng(2)
    batch = [rng.normal(size=(3, *x.shape[1:])).astype("float32") for x in entries]
    expected = model(keras.tree.pack_sequence_as(structure, batch), training=False)
    received = flat(imported(batch if len(batch) > 1 else batch[0]))
    assert len(received) == len(flat(expected))
    for one, other in zip(received, flat(expected), strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_live_and_saved(make: Callable[[], Any], tmp_path: Path) -> None:
    model = with_random_weights(make())
    imported = seqgen.from_keras(model)
    assert_same(imported, model)
    model.save(tmp_path / "model.keras")
    again = seqgen.from_keras(tmp_path / "model.keras")
    assert again.to_dict() == imported.to_dict()
    assert_same(again, model)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = seqgen.load(imported.to_yaml())
    fresh.load_weights(tmp_path / "model.weights.h5")
    assert_same(fresh, model)
    (tmp_path / "model.json").write_text(model.to_json())
    assert seqgen.from_keras(tmp_path / "model.json").to_dict() == imported.to_dict()


@pytest.mark.parametrize("make", MODELS)
def test_saved_in_the_old_format(make: Callable[[], Any], tmp_path: Path) -> None:
    model = with_random_weights(make())
    model.save(tmp_path / "model.h5")
    assert_same(seqgen.from_keras(tmp_path / "model.h5"), model)


def test_layer_in_two_models_is_refused(tmp_path: Path) -> None:
    model = shared_with_a_model_within()
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(UnsupportedError, match="Dense 'shared': it is part of two models"):
            seqgen.from_keras(source)
