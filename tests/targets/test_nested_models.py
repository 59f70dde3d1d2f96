"""Models within models: masks that cross their borders, and the dtype of what they begin with."""

from collections.abc import Callable
from typing import Any

import pytest

import seqgen
from seqgen import layers
from seqgen.verify import Pool


def _mask_goes_in() -> list[Any]:
    words = layers.Embedding(5, 3, mask_zero=True)
    return [words, seqgen.Sequential([layers.LSTM(2, return_sequences=True), layers.GRU(2)])]


def _mask_comes_out() -> list[Any]:
    words = seqgen.Sequential([layers.Embedding(5, 3, mask_zero=True), layers.Dense(3)])
    return [words, layers.Bidirectional(layers.LSTM(2))]


def _mask_goes_through() -> list[Any]:
    words = layers.Embedding(5, 3, mask_zero=True)
    inner = seqgen.Sequential(
        [layers.SimpleRNN(3, return_sequences=True), layers.Masking(), layers.Dense(2)]
    )
    return [words, inner, layers.LSTM(2)]


def _model_begins_with_model() -> list[Any]:
    words = layers.Embedding(5, 3)
    return [words, seqgen.Sequential([seqgen.Sequential([layers.ReLU()]), layers.LSTM(2)])]


MODELS = [_mask_goes_in, _mask_comes_out, _mask_goes_through, _model_begins_with_model]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__.strip("_"))
def test_computes_what_keras_computes(make: Callable[[], list[Any]], pool: Pool) -> None:
    model = seqgen.Sequential([seqgen.Input((None,), dtype="int32"), *make()])
    report = seqgen.verify(model, pool=pool, exporters=False, seeds=1)
    assert report.ok, report.to_json()
