"""The config of a Keras 2 model in the words of Keras 3, each meaning what it meant in Keras 2.

Keras 2 is both: the package that ran on TensorFlow, Theano and CNTK (2.0 to 2.3) and `tf.keras`
(2.1.6-tf to 2.15). What a config says by another name is renamed, what it says of how to compute
is dropped, and what Keras 3 computes otherwise is refused by layer and argument.
"""

import re
from collections.abc import Mapping
from typing import Any

from seqgen.errors import SpecError, UnsupportedError
from seqgen.importers.config import TOO_DEEP, spec_of
from seqgen.importers.legacy_graph import modern_graph
from seqgen.importers.objects import MODELS, Plain, Refusals, is_graph, is_input, layers_of
from seqgen.layers import LAYERS
from seqgen.layers.arguments import DTYPES
from seqgen.layers.objects import INITIALIZERS, KERAS_2_HARD_SIGMOID, to_snake_case

# Back ends that convolve as Keras 3 does. A file that names none is of TensorFlow.
CORRELATES = (None, "tensorflow", "jax", "torch")
# Classes by the names that Keras 2 had for them, CuDNN's with what it computed always.
OLD_CLASSES: dict[str, tuple[str, Plain]] = {
    "CuDNNLSTM": ("LSTM", {"activation": "tanh", "recurrent_activation": "sigmoid"}),
    "CuDNNGRU": (
        "GRU",
        {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True},
    ),
    "UnifiedLSTM": ("LSTM", {}),
    "UnifiedGRU": ("GRU", {}),
    "ThresholdedReLU": ("ReLU", {}),
}
VERSIONED = re.compile(r"(?<=[a-zA-Z])(V\d)$")
OLD_ARGUMENTS = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "ThresholdedReLU": {"theta": "threshold"},
}
# What a config of Keras 2 does not say when it is older than the argument, where Keras 3 has
# another default.
OLD_DEFAULTS: dict[str, Plain] = {"GRU": {"reset_after": False}, "GRUCell": {"reset_after": False}}
OLD_ACTIVATIONS = {"hard_sigmoid": KERAS_2_HARD_SIGMOID, "softmax_v2": "softmax"}
OLD_DISTRIBUTIONS = {"normal": "truncated_normal"}
# How something was computed or called, which changes no result.
DROPPED = {
    "autocast",
    "batch_input_shape",
    "fused",
    "input_dim",
    "input_dtype",
    "ragged",
    "sparse",
}
# Arguments of the convolution that other convolutions were made of, with what leaves them unused.
OF_CONVOLUTIONS = {
    "filters",
    "kernel_constraint",
    "kernel_initializer",
    "kernel_regularizer",
}
# Arguments that are no part of a layer of Keras 3, with the values that leave them unused.
UNUSED: dict[str, tuple[Any, ...]] = {
    "groups": (1,),
    "time_major": (False,),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "renorm": (False,),
    "num_constants": (None, 0),
}
INITIALIZER_NAMES = {to_snake_case(name): name for name in INITIALIZERS}


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("class_name"), str)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


class Modernizer:
    """Turns configs of layers of Keras 2 into those of Keras 3.

    Args:
        version: Of Keras, as the file has it: `2.2.4`, or `2.2.4-tf` for `tf.keras`.
        backend: The back end that the file was written with.
        refusals: Takes what cannot be said.
    """

    def __init__(self, version: str, backend: str | None, refusals: Refusals) -> None:
        self._backend = backend
        self._refusals = refusals
        # Before, TensorFlow put the centers of pixels elsewhere.
        numbers = _numbers(version)
        self._half_pixels = numbers >= (2, 4) or (numbers == (2, 3) and version.endswith("-tf"))

    def layer(self, item: Any) -> Any:
        """The config of a layer or model, with its class."""
        if not _is_object(item):
            return item
        name = old = VERSIONED.sub("", item["class_name"])
        config = item.get("config")
        if old == "Sequential":
            return {**item, "class_name": old, "config": self.sequential(config)}
        if is_graph(item):
            return {**item, "class_name": "Functional", "config": self.functional(config)}
        if not isinstance(config, Mapping):
            return item
        name, said = OLD_CLASSES.get(old, (old, {}))
        if name not in LAYERS:
            return item
        label = f"{old} '{config.get('name')}'"
        self._check(name, config, label)
        renamed = {OLD_ARGUMENTS.get(old, {}).get(k, k): v for k, v in config.items()}
        kept = {k: v for k, v in renamed.items() if self._is_kept(name, k, v, label)}
        made = {k: self._argument(k, v, f"{label}, {k}") for k, v in kept.items()}
        config = {**OLD_DEFAULTS.get(name, {}), **made, **said}
        return {**item, "class_name": name, "config": config}

    def sequential(self, config: Any) -> Plain:
        """The config of a Sequential, which was a bare list of layers once."""
        if isinstance(config, list):
            config = {"layers": config}
        if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
            raise UnsupportedError("the config of a Sequential holds no list of layers")
        layers = [item if is_input(item) else self.layer(item) for item in config["layers"]]
        return {**config, "layers": layers}

    def functional(self, config: Mapping[str, Any]) -> Plain:
        """The config of a graph of layers."""
        made = [item if is_input(item) else self.layer(item) for item in layers_of(config)]
        return modern_graph({**config, "layers": made}, self._refusals)

    def _check(self, name: str, config: Mapping[str, Any], label: str) -> None:
        """Refuse what Keras 3 computes otherwise."""
        if LAYERS[name].rank and self._backend not in CORRELATES:
            self._refusals.add(
                f"{label}: written with the back end '{self._backend}', which convolves and pads "
                "otherwise; save the model with TensorFlow"
            )
        interpolation = config.get("interpolation", "nearest")
        if interpolation != "nearest" and not self._half_pixels:
            self._refusals.add(
                f"{label}, interpolation: '{interpolation}' took other centers of pixels before "
                "Keras 2.4; only 'nearest' is what it was"
            )

    def _is_kept(self, name: str, key: str, value: Any, label: str) -> bool:
        """Whether an argument is one of Keras 3; one that is not must be unused."""
        known = LAYERS[name].kinds
        if key in ("implementation", "input_length") or (key in DROPPED and key not in known):
            return False
        if key in OF_CONVOLUTIONS and key not in known:
            return False
        if key in UNUSED and (key not in known or key == "renorm"):
            if value not in UNUSED[key]:
                self._refusals.add(f"{label}, {key}: {value!r} has no counterpart in Keras 3")
            return False
        return not key.startswith("renorm_")

    def _argument(self, key: str, value: Any, where: str) -> Any:
        """An argument of a layer."""
        if key == "axis" and isinstance(value, list) and len(value) == 1:
            return value[0]
        if key in ("activation", "recurrent_activation") and isinstance(value, str):
            return OLD_ACTIVATIONS.get(value, value)
        if key.endswith("_initializer"):
            return self._initializer(value)
        if key == "dtype" or not isinstance(value, (Mapping, list)):
            return value
        if isinstance(value, list):
            return [self._argument("", part, where) for part in value]
        return self._object(value)

    def _object(self, value: Mapping[str, Any]) -> Any:
        """A layer as an argument, or a regularizer or constraint, which are as they were."""
        if not _is_object(value):
            return value
        old = VERSIONED.sub("", value["class_name"])
        known = old in LAYERS or old in OLD_CLASSES or old == "Sequential"
        return self.layer(value) if known else value

    def _initializer(self, value: Any) -> Any:
        if not _is_object(value) or not isinstance(value.get("config"), Mapping):
            return value
        name = VERSIONED.sub("", value["class_name"])
        config = {k: v for k, v in value["config"].items() if k not in ("dtype", "partition_info")}
        distribution = config.get("distribution")
        if isinstance(distribution, str):
            config["distribution"] = OLD_DISTRIBUTIONS.get(distribution, distribution)
        return {**value, "class_name": INITIALIZER_NAMES.get(name, name), "config": config}


def _entry(layers: list[Any]) -> Plain | None:
    """The InputLayer that the first layer stands for, however deep in models it is."""
    first = layers[0] if layers else None
    if not _is_object(first) or not isinstance(first, Mapping):
        return None
    config = first.get("config")
    if isinstance(config, list):
        return _entry(config)
    if not isinstance(config, Mapping):
        return None
    if first["class_name"] in MODELS and isinstance(config.get("layers"), list):
        return _entry(config["layers"])
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    if not isinstance(shape, list):
        return None
    dtype = config.get("dtype")
    entry = {"batch_shape": shape, **({"dtype": dtype} if dtype in DTYPES else {})}
    if is_input(first):
        entry |= {"name": config.get("name")}
    return {"class_name": "InputLayer", "config": entry}


def _check_dense(item: Any, refusals: Refusals) -> None:
    """Refuse an InputLayer of tensors that are not dense."""
    for flag in ("sparse", "ragged"):
        if item["config"].get(flag):
            name = item["config"].get("name")
            refusals.add(f"InputLayer '{name}', {flag}: expected dense inputs")


def modern(config: Any, version: str, backend: str | None, refusals: Refusals) -> Any:
    """The config of a model of Keras 2 as one of Keras 3; that of another class as it is."""
    modernizer = Modernizer(version, backend, refusals)
    if is_graph(config):
        return modernizer.layer(config)
    if not _is_object(config) or config["class_name"] != "Sequential":
        return config
    found = modernizer.sequential(config.get("config"))
    layers = found["layers"]
    if layers and is_input(layers[0]):
        _check_dense(layers[0], refusals)
    inner = config["config"]
    entry = _entry(inner if isinstance(inner, list) else inner["layers"])
    rest = layers[1:] if layers and is_input(layers[0]) else layers
    name = found.get("name") or "sequential"
    made = {**found, "name": name, "layers": [*([entry] if entry else []), *rest]}
    return {"class_name": "Sequential", "config": made}


def spec_of_legacy(config: Any, version: str, backend: str | None) -> Plain:
    """The spec of a Keras 2 model's config, as a dictionary.

    Args:
        config: The config, with the name of the class.
        version: The version of Keras that wrote it.
        backend: The back end that it was written with; None for TensorFlow.

    Raises:
        UnsupportedError: It is no Sequential and no graph of layers, or parts of it cannot be
            imported; all are named.
        SpecError: The config is damaged.
    """
    refusals = Refusals()
    try:
        return spec_of(modern(config, version, backend, refusals), refusals)
    except RecursionError:
        raise SpecError(TOO_DEEP) from None
