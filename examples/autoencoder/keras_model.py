"""Keras model Autoencoder."""

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(
                16, 3, strides=2, padding="same", activation="relu", name="conv2d"
            ),
            layers.Conv2D(
                32, 3, strides=2, padding="same", activation="relu", name="conv2d_1"
            ),
            layers.Flatten(name="flatten"),
            layers.Dense(32, name="code"),
            layers.Dense(1568, activation="relu", name="dense"),
            layers.Reshape((7, 7, 32), name="reshape"),
            layers.Conv2DTranspose(
                32,
                3,
                strides=2,
                padding="same",
                activation="relu",
                name="conv2d_transpose",
            ),
            layers.Conv2DTranspose(
                16,
                3,
                strides=2,
                padding="same",
                activation="relu",
                name="conv2d_transpose_1",
            ),
            layers.Conv2D(
                1, 3, padding="same", activation="sigmoid", name="reconstruction"
            ),
        ],
        name="autoencoder",
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
