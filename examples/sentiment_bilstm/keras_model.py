"""Keras model SentimentBilstm."""

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="words"),
            layers.Embedding(20000, 128, mask_zero=True, name="embedding"),
            layers.Bidirectional(
                layers.LSTM(64, return_sequences=True, name="lstm"),
                name="bidirectional",
            ),
            layers.Bidirectional(
                layers.LSTM(64, name="lstm_1"), name="bidirectional_1"
            ),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(1, activation="sigmoid", name="positive"),
        ],
        name="sentiment_bilstm",
    )


def load_weights(model: keras.Model, path: str = "weights.safetensors") -> None:
    """Load weights from a .safetensors file; a key is a variable's path below the model."""
    weights = load_file(path)
    for variable in model.weights:
        key = variable.path.removeprefix(f"{model.name}/").replace("/", ".")
        value = weights.pop(key)
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{key}: expected {variable.shape}, received {value.shape}"
            )
        variable.assign(value)
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
