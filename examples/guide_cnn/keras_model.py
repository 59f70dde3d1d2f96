"""Keras model GuideCnn."""

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    return keras.Sequential(
        [
            keras.Input((250, 250, 3)),
            layers.Conv2D(32, 5, strides=2, activation="relu", name="conv2d"),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_1"),
            layers.MaxPooling2D(pool_size=3, name="max_pooling2d"),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_2"),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_3"),
            layers.MaxPooling2D(pool_size=3, name="max_pooling2d_1"),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_4"),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_5"),
            layers.MaxPooling2D(name="max_pooling2d_2"),
            layers.GlobalMaxPooling2D(name="global_max_pooling2d"),
            layers.Dense(10, name="logits"),
        ],
        name="guide_cnn",
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
