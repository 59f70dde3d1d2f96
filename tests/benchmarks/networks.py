"""The networks that are measured, as specs."""

from typing import Any

import yaml

from tests.benchmarks.measure import ROOT

Spec = dict[str, Any]


def spec(name: str, shape: list[int], layers: list[Any]) -> Spec:
    """A spec of these layers."""
    return {"seqgen": 1, "name": name, "input": {"shape": shape}, "layers": layers}


def example(name: str) -> Spec:
    """The spec of an example."""
    text = (ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: Spec = yaml.safe_load(text)
    return loaded


def guide_cnn() -> Spec:
    """The image classifier of the Keras guide."""
    return example("guide_cnn")


def sentiment(mask: bool) -> Spec:
    """Two bidirectional LSTMs over words, with or without a mask for those that are padding."""
    spec = example("sentiment_bilstm")
    spec["layers"][0]["Embedding"]["mask_zero"] = mask
    # Noise in training would be measured as well.
    spec["layers"] = [layer for layer in spec["layers"] if "Dropout" not in layer]
    return spec


def causal_gru() -> Spec:
    """Causal convolutions and a GRU."""
    return example("causal_gru")


def vgg_like(size: int = 128) -> Spec:
    """The convolutions of VGG16 and two wide Dense layers: 24 M parameters at 128 x 128."""
    layers: list[Any] = []
    for count, filters in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        conv = {"filters": filters, "kernel_size": 3, "padding": "same", "activation": "relu"}
        layers += [{"Conv2D": conv}] * count + [{"MaxPooling2D": 2}]
    dense = {"Dense": {"units": 1024, "activation": "relu"}}
    return spec("vgg_like", [size, size, 3], [*layers, "Flatten", dense, dense, {"Dense": 10}])


def _normalized(name: str, **arguments: Any) -> list[Any]:
    convolution = {name: {**arguments, "padding": "same", "use_bias": False}}
    return [convolution, "BatchNormalization", {"ReLU": {"max_value": 6.0}}]


def mobilenet_like(size: int = 224) -> Spec:
    """Depthwise separable convolutions with batch normalization."""
    layers = _normalized("Conv2D", filters=32, kernel_size=3, strides=2)
    for filters, strides in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        layers += _normalized("DepthwiseConv2D", kernel_size=3, strides=strides)
        layers += _normalized("Conv2D", filters=filters, kernel_size=1)
    head: list[Any] = ["GlobalAveragePooling2D", {"Dense": {"units": 10, "activation": "softmax"}}]
    return spec("mobilenet_like", [size, size, 3], layers + head)


def decoder() -> Spec:
    """From a vector to an image by transposed convolutions and upsampling."""
    up = {"kernel_size": 4, "strides": 2, "padding": "same", "activation": "relu"}
    layers: list[Any] = [
        {"Dense": {"units": 7 * 7 * 64, "activation": "relu"}},
        {"Reshape": [7, 7, 64]},
        {"Conv2DTranspose": {"filters": 64, **up}},
        {"Conv2DTranspose": {"filters": 32, **up}},
        {"UpSampling2D": {"size": 2, "interpolation": "bilinear"}},
        {"Conv2D": {"filters": 3, "kernel_size": 3, "padding": "same", "activation": "sigmoid"}},
    ]
    return spec("decoder", [64], layers)


def tall(count: int, units: int) -> Spec:
    """Dense layers of equal width."""
    dense = {"Dense": {"units": units, "activation": "relu"}}
    return spec("tall", [units], [dense] * count)


def long(count: int) -> Spec:
    """About `count` layers of several kinds, as many of each."""
    block: list[Any] = [
        {"Conv2D": {"filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}},
        "BatchNormalization",
        {"MaxPooling2D": {"pool_size": 2, "strides": 1, "padding": "same"}},
        {"Dropout": 0.1},
    ]
    return spec("long", [8, 8, 8], block * (count // len(block)))


NETWORKS = {
    "guide_cnn": guide_cnn,
    "vgg_like": vgg_like,
    "mobilenet_like": mobilenet_like,
    "decoder": decoder,
}
