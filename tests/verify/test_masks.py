"""Inputs of models that mask steps: every pattern, and nothing masked that should not be."""

from typing import Any

import numpy as np
import pytest

from seqgen.ir.graph import Model
from seqgen.layers.within import within
from seqgen.verify import masks, plan
from tests.cases import layer_of
from tests.verify.test_plan import graph

MEAN = "GlobalAveragePooling1D"
VALUES: list[Any] = [0.0, -1.3, 0, 3e30, [0.5, -1.0, 1e-8]]


def masking(value: Any, *layers: Any, shape: Any = (None, 3), **more: Any) -> Model:
    return graph(list(shape), *layers, {"Masking": {"mask_value": value}}, MEAN, **more)


def words(shape: Any = (None,), input_dim: int = 9, **more: Any) -> Model:
    embedding = {"input_dim": input_dim, "output_dim": 2, "mask_zero": True}
    return graph(list(shape), {"Embedding": embedding}, **{"input_dtype": "int32", **more})


def fed(model: Model, seed: int = 0) -> list[np.ndarray]:
    return plan.inputs(model, seed, plan.input_shapes(model))


def kept_by_keras(value: Any, x: np.ndarray) -> np.ndarray:
    """Keras has the value as a float32, and compares in the wider of the two dtypes."""
    return (x != np.asarray(np.float32(value), np.result_type(x, np.float32))).any(-1)


def pattern_of(kept: np.ndarray) -> str:
    """What a row looks like."""
    text = "".join("x" if step else "." for step in kept)
    inner = text.strip(".")
    if not inner or inner == "x":
        return "single" if inner else "none"
    if "." in inner:
        return "holes"
    sides = (text[0] == ".", text[-1] == ".")
    names = {(False, False): "full", (False, True): "padded on the right"}
    return names.get(sides, "padded on the left")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", VALUES, ids=str)
def test_every_pattern_is_in_every_batch(value: Any, dtype: str) -> None:
    for x in fed(masking(value, dtype=dtype)):
        assert x.dtype == dtype
        assert np.isfinite(x).all()
        assert set(map(pattern_of, kept_by_keras(value, x))) == set(masks.PATTERNS)


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_masked_steps_hold_the_value_in_every_feature(value: Any) -> None:
    x = fed(masking(value))[0]
    masked = x[~kept_by_keras(value, x)]
    assert len(masked) > 10
    assert (masked == np.float32(value)).all()


def test_a_kept_step_may_hold_the_value_in_a_feature() -> None:
    x = fed(masking(-1.3))[0]
    assert (x[0, :, 0] == np.float32(-1.3)).all()
    assert kept_by_keras(-1.3, x)[0].all()


def test_a_value_far_from_all_others_stands_at_masked_steps_only() -> None:
    x = fed(masking(3e30))[0]
    assert (x == np.float32(3e30)).any(-1).sum() == (~kept_by_keras(3e30, x)).sum()


def test_one_feature_and_whole_numbers_are_not_masked_by_chance() -> None:
    for x in fed(masking(3, shape=(None, 1), input_dtype="int32")):
        assert set(map(pattern_of, kept_by_keras(3, x))) == set(masks.PATTERNS)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_words(dtype: str) -> None:
    for x in fed(words(input_dtype=dtype)):
        assert x.dtype == dtype
        assert set(map(pattern_of, x != 0)) == set(masks.PATTERNS)
        assert {0} < set(np.unique(x)) <= set(range(9))


def test_words_of_sentences() -> None:
    for x in fed(words((None, None))):
        assert set(map(pattern_of, (x != 0).reshape(-1, x.shape[-1]))) == set(masks.PATTERNS)


def test_a_table_of_a_single_row_masks_everything() -> None:
    assert not any(x.any() for x in fed(words(input_dim=1)))


def test_layers_that_keep_values_may_stand_before() -> None:
    before = ["Identity", {"Dropout": 0.5}, {"GaussianNoise": 0.1}]
    assert plan.mask_maker(masking(-1.0, *before)) is not None
    assert plan.mask_maker(masking(-1.0, {"Dense": 3})) is None
    assert plan.mask_maker(graph([4], "ReLU")) is None
    assert len(fed(masking(-1.0, {"Dense": 3}))[0]) == plan.BATCHES[0]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 6, 9])
def test_rows_of_a_fixed_batch_see_every_pattern_in_time(batch_size: int) -> None:
    arrays = fed(masking(-1.0, batch_size=batch_size))
    rows = [pattern_of(row) for x in arrays for row in kept_by_keras(-1.0, x)]
    assert set(rows) == set(masks.PATTERNS)
    assert {len(x) for x in arrays} == {batch_size}
    assert rows[0] != rows[batch_size]


def test_short_sequences() -> None:
    for steps in (1, 2, 3):
        rows = {pattern_of(row) for x in fed(masking(0.0, shape=(steps, 2))) for row in x.any(-1)}
        assert "none" in rows
        assert len(rows) > 1


def test_no_row_is_empty_where_training_would_spread_its_nan() -> None:
    model = graph([None, 3], {"Masking": {"mask_value": -1.0}}, MEAN, "BatchNormalization")
    assert all(kept_by_keras(-1.0, x).any(1).all() for x in fed(model))
    assert not any(kept_by_keras(-1.0, x).any(1).all() for x in fed(masking(-1.0)))


def test_layers_within_are_found() -> None:
    layer = layer_of({"TimeDistributed": {"layer": {"Dense": 3}}})
    assert [type(part).__name__ for part in within(layer)] == ["TimeDistributed", "Dense"]


@pytest.mark.parametrize("value", [-1.3, [0.1, -1.3, 1e-8]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keras_masks_the_same(value: Any, dtype: str) -> None:
    keras = pytest.importorskip("keras")
    x = fed(masking(value, dtype=dtype))[0]
    layer = keras.layers.Masking(tuple(value) if isinstance(value, list) else value, dtype=dtype)
    kept = np.asarray(layer.compute_mask(keras.ops.convert_to_tensor(x)))
    assert np.array_equal(kept, kept_by_keras(value, x))
