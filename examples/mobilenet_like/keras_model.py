"""Keras model MobilenetLike."""

import keras
from keras import layers
from safetensors.numpy import load_file


def build_model() -> keras.Model:
    """Return the model with fresh weights."""
    return keras.Sequential(
        [
            keras.Input((96, 96, 3), name="image"),
            layers.Rescaling(0.00784313725490196, offset=-1, name="rescaling"),
            layers.Conv2D(
                16, 3, strides=2, padding="same", use_bias=False, name="stem"
            ),
            layers.BatchNormalization(name="stem_bn"),
            layers.ReLU(max_value=6, name="stem_relu"),
            keras.Sequential(
                [
                    layers.DepthwiseConv2D(
                        3, padding="same", use_bias=False, name="depthwise"
                    ),
                    layers.BatchNormalization(name="depthwise_bn"),
                    layers.ReLU(max_value=6, name="depthwise_relu"),
                    layers.Conv2D(32, 1, use_bias=False, name="pointwise"),
                    layers.BatchNormalization(name="pointwise_bn"),
                    layers.ReLU(max_value=6, name="pointwise_relu"),
                ],
                name="block_1",
            ),
            keras.Sequential(
                [
                    layers.DepthwiseConv2D(
                        3, strides=2, padding="same", use_bias=False, name="depthwise"
                    ),
                    layers.BatchNormalization(name="depthwise_bn"),
                    layers.ReLU(max_value=6, name="depthwise_relu"),
                    layers.Conv2D(64, 1, use_bias=False, name="pointwise"),
                    layers.BatchNormalization(name="pointwise_bn"),
                    layers.ReLU(max_value=6, name="pointwise_relu"),
                ],
                name="block_2",
            ),
            layers.GlobalAveragePooling2D(name="global_average_pooling2d"),
            layers.Dropout(0.2, name="dropout"),
            layers.Dense(10, activation="softmax", name="probabilities"),
        ],
        name="mobilenet_like",
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
