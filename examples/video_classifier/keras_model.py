"""Keras model VideoClassifier."""

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    return keras.Sequential(
        [
            keras.Input((None, 32, 32, 3), name="frames"),
            layers.TimeDistributed(
                keras.Sequential(
                    [
                        layers.Conv2D(16, 3, activation="relu", name="conv2d"),
                        layers.MaxPooling2D(name="max_pooling2d"),
                        layers.Conv2D(32, 3, activation="relu", name="conv2d_1"),
                        layers.GlobalAveragePooling2D(name="global_average_pooling2d"),
                    ],
                    name="frame_encoder",
                ),
                name="time_distributed",
            ),
            layers.LSTM(64, name="lstm"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(5, activation="softmax", name="action"),
        ],
        name="video_classifier",
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
