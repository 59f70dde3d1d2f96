"""Keras model ResidualTwoInputs."""

from collections.abc import Iterator

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    image = keras.Input((32, 32, 3), name="image")
    table = keras.Input((8,), name="table")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv2d")(image)
    x = layers.BatchNormalization(name="batch_normalization")(x)
    x = layers.ReLU(name="stem")(x)
    y = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv2d_1")(x)
    y = layers.BatchNormalization(name="batch_normalization_1")(y)
    y = layers.ReLU(name="re_lu")(y)
    y = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv2d_2")(y)
    y = layers.BatchNormalization(name="residual")(y)
    x = layers.Add(name="add")([x, y])
    x = layers.ReLU(name="re_lu_1")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    y = layers.Dense(16, activation="relu", name="known")(table)
    x = layers.Concatenate(name="all")([x, y])
    y = layers.Dense(1, name="price")(x)
    x = layers.Dense(10, activation="softmax", name="kind")(x)
    return keras.Model([image, table], [x, y], name="residual_two_inputs")


def variables(
    model: keras.Model, path: str = ""
) -> Iterator[tuple[str, keras.Variable]]:
    """Yield each variable of a model with its path below the outermost model, dots for slashes."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from variables(layer, f"{path}{layer.name}.")
        else:
            for variable in layer.weights:
                # Keras's own path tells of some of the models around, but not of all.
                below = variable.path.split("/")
                below = below[below.index(layer.name) + 1 :]
                yield f"{path}{layer.name}.{'.'.join(below)}", variable


def load_weights(model: keras.Model, path: str = "weights.safetensors") -> None:
    """Load weights from a .safetensors file; a key is a variable's path below the model."""
    weights = load_file(path)
    for key, variable in variables(model):
        value = weights.pop(key)
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{key}: expected {variable.shape}, received {value.shape}"
            )
        variable.assign(value)
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
