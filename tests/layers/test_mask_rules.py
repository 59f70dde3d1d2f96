"""Which masks layers make, pass on and take: as Keras has it, or refused with a reason."""

from typing import Any

import pytest

import seqgen
from seqgen import layers
from seqgen.errors import SpecError
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer

STEPS = TensorType.of((5, 4), "float32")
WORDS = TensorType.of((5, 6, 4), "float32")
OF_STEPS = TensorType(("batch", 5), ("batch", "time"), "bool")
OF_WORDS = TensorType(("batch", 5, 6), ("batch", "time", "features"), "bool")
OF_ROWS = TensorType(("batch",), ("batch",), "bool")


def masked(*inner: Layer) -> Layer:
    return layers.TimeDistributed(seqgen.Sequential(inner))


@pytest.mark.parametrize(
    ("layer", "passes"),
    [
        (layers.LSTM(2, return_sequences=True), True),
        (layers.LSTM(2), False),
        (layers.RNN(layers.GRUCell(2), return_sequences=True), True),
        (layers.Bidirectional(layers.GRU(2, return_sequences=True)), True),
        (layers.Bidirectional(layers.GRU(2)), False),
        (layers.TimeDistributed(layers.Dense(2)), True),
        (layers.BatchNormalization(), True),
        (layers.GlobalAveragePooling1D(), False),
        (layers.Embedding(3, 2), False),
    ],
)
def test_passes(layer: Layer, passes: bool) -> None:
    assert layer.passes_mask == passes


def test_made() -> None:
    ids = TensorType.of((5, 6), "int32")
    assert layers.Embedding(3, 2, mask_zero=True).made_mask(ids) == ids.__class__(
        ids.shape, ids.axes, "bool"
    )
    assert layers.Embedding(3, 2).made_mask(ids) is None
    assert layers.Masking().made_mask(STEPS).shape == ("batch", 5)


@pytest.mark.parametrize(
    ("layer", "x", "mask"),
    [
        (layers.LSTM(2), STEPS, OF_STEPS),
        (layers.Bidirectional(layers.SimpleRNN(2)), STEPS, OF_STEPS),
        (layers.ConvLSTM1D(2, 2), WORDS, OF_STEPS),
        (layers.RNN([layers.LSTMCell(2)], unroll=True), STEPS, OF_STEPS),
        (layers.Bidirectional(layers.GRU(2, unroll=True)), STEPS, OF_STEPS),
        (layers.BatchNormalization(), WORDS, OF_WORDS),
        (layers.GlobalAveragePooling1D(), STEPS, OF_STEPS),
        (layers.TimeDistributed(layers.Dense(2)), WORDS, OF_STEPS),
        (layers.TimeDistributed(layers.LSTM(2)), WORDS, OF_WORDS),
        (layers.TimeDistributed(layers.BatchNormalization()), STEPS, OF_STEPS),
        (masked(layers.Dense(2), layers.LSTM(3)), WORDS, OF_WORDS),
        # The convolution destroys the mask.
        (masked(layers.Conv1D(2, 2), layers.LSTM(3)), WORDS, OF_STEPS),
        (masked(layers.Masking(), layers.LSTM(3)), WORDS, None),
    ],
)
def test_fits(layer: Layer, x: TensorType, mask: Any) -> None:
    if mask is not None:
        layer.check_mask(x, mask)
    assert layer.output_type(x).rank


@pytest.mark.parametrize(
    ("layer", "x", "mask"),
    [
        (layers.LSTM(2), STEPS, OF_ROWS),
        (layers.Bidirectional(layers.LSTM(2)), STEPS, OF_ROWS),
        (layers.ConvLSTM1D(2, 2), WORDS, OF_WORDS),
        (layers.BatchNormalization(), WORDS, OF_STEPS),
        (layers.Softmax(), STEPS, OF_STEPS),
        (layers.GlobalAveragePooling1D(data_format="channels_first"), STEPS, OF_STEPS),
        (layers.TimeDistributed(layers.LSTM(2)), WORDS, OF_STEPS),
        (layers.TimeDistributed(layers.TimeDistributed(layers.LSTM(2))), WORDS, OF_STEPS),
        (layers.TimeDistributed(layers.Dense(2)), STEPS, OF_ROWS),
        (masked(layers.Dense(2), layers.LSTM(3)), WORDS, OF_STEPS),
        # Keras fails when it runs.
        (layers.RNN([layers.LSTMCell(2)]), STEPS, OF_STEPS),
        (layers.Bidirectional(layers.RNN([layers.GRUCell(2)])), STEPS, OF_STEPS),
        # Keras leaves zeros at the steps where the mask has them before it is turned around.
        (layers.Bidirectional(layers.GRU(2, return_sequences=True, unroll=True)), STEPS, OF_STEPS),
    ],
)
def test_does_not_fit(layer: Layer, x: TensorType, mask: TensorType) -> None:
    with pytest.raises(SpecError, match="mask"):
        layer.check_mask(x, mask)
