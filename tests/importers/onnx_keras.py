"""Models of Keras, to be exported to ONNX by Keras itself."""

from typing import Any

import keras
import numpy as np
from keras import layers

IMAGE = (12, 11, 3)


def _cnn() -> Any:
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(4, activation="elu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def _inverted() -> Any:
    x = entry = keras.Input(IMAGE)
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Activation("silu")(layers.BatchNormalization()(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    x = layers.ReLU(6)(layers.Multiply()([x, gate]))
    y = layers.SeparableConv2D(4, 3, padding="same")(x)
    x = layers.Concatenate()([layers.Add()([x, y]), layers.AveragePooling2D(3, 1, "same")(x)])
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    return keras.Model(entry, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def _sequence() -> Any:
    return keras.Sequential(
        [
            keras.Input((12, 3)),
            layers.Conv1D(4, 3),
            layers.BatchNormalization(),
            layers.MaxPooling1D(2),
            layers.Conv1D(4, 3, padding="same", strides=2),
            layers.Dense(5, activation="tanh"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2),
        ]
    )


def _shared() -> Any:
    entries = [keras.Input((6,)), keras.Input((6,))]
    encode = layers.Dense(5, activation="relu")
    return keras.Model(entries, layers.Subtract()([encode(entry) for entry in entries]))


def _lstm() -> Any:
    return keras.Sequential([keras.Input((5, 4)), layers.LSTM(3), layers.Dense(2)])


def _gelu() -> Any:
    rough = layers.Activation(lambda x: keras.activations.gelu(x, approximate=True))
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="gelu"), layers.Dense(3), rough]
    )


MODELS = {
    "cnn": _cnn,
    "gelu": _gelu,
    "inverted": _inverted,
    "lstm": _lstm,
    "sequence": _sequence,
    "shared": _shared,
}
# What some of them are as specs
KINDS = {"gelu": ["Dense", "Activation"] * 2, "lstm": ["LSTM", "Dense"]}


def made(name: str) -> Any:
    """A model that was called once, with weights of which every one matters."""
    model = MODELS[name]()
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(rng.uniform(0.2, 1.2, variable.shape))
    model([np.zeros((2, *entry.shape[1:]), "float32") for entry in model.inputs])
    return model
