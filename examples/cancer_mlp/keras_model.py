"""Keras model CancerMlp."""

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    return keras.Sequential(
        [
            keras.Input((30,)),
            layers.BatchNormalization(momentum=0.9, name="batch_normalization"),
            layers.Dense(
                32,
                activation="relu",
                kernel_regularizer=keras.regularizers.L2(l2=0.001),
                name="dense",
            ),
            layers.Dropout(0.2, name="dropout"),
            layers.Dense(
                16,
                activation="relu",
                kernel_regularizer=keras.regularizers.L2(l2=0.001),
                name="dense_1",
            ),
            layers.Dense(1, activation="sigmoid", name="malignant"),
        ],
        name="cancer_mlp",
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
