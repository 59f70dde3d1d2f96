"""Keras model SunspotsTcn."""

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    return keras.Sequential(
        [
            keras.Input((24, 1)),
            layers.Conv1D(16, 3, padding="causal", activation="relu", name="conv1d"),
            layers.Conv1D(
                16,
                3,
                padding="causal",
                dilation_rate=2,
                activation="relu",
                name="conv1d_1",
            ),
            layers.Conv1D(
                16,
                3,
                padding="causal",
                dilation_rate=4,
                activation="relu",
                name="conv1d_2",
            ),
            layers.Flatten(name="flatten"),
            layers.Dense(1, name="next"),
        ],
        name="sunspots_tcn",
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
