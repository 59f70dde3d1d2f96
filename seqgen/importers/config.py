"""The config of a Keras 3 model, as `get_config` and `to_json` give it, in the words of a spec."""

from collections.abc import Mapping
from typing import Any

from seqgen.errors import SpecError, UnsupportedError
from seqgen.importers.graph_spec import graph_spec
from seqgen.importers.objects import (
    MODELS,
    Plain,
    Refusals,
    by_public_name,
    entry_of,
    is_graph,
    is_input,
    is_object,
    label_of,
    layers_of,
    policy_of,
)
from seqgen.importers.operations import is_operation
from seqgen.layers import LAYERS
from seqgen.layers.activation import FUNCTION_LAYERS
from seqgen.layers.arguments import DTYPES, near_miss
from seqgen.layers.objects import (
    CONSTRAINTS,
    INITIALIZERS,
    KERAS_2_HARD_SIGMOID,
    PACKAGE,
    REGULARIZERS,
)

OBJECTS = {**INITIALIZERS, **REGULARIZERS, **CONSTRAINTS}
ACTIVATION_LAYERS = {layer: function for function, layer in FUNCTION_LAYERS.items()}
# What every layer's config holds, and a spec has no word for.
PLUMBING = ("name", "trainable", "dtype")
# Where Keras has its classes; files of the older format do not say it.
PACKAGES = ("keras", "keras.layers", None)
INTERNAL = "keras.src."
SHARED = "it is part of two models at once, which a spec cannot say"
TOO_DEEP = "the config holds models within models deeper than seqgen reads"


def _is_of_keras(item: Mapping[str, Any]) -> bool:
    """Whether a class is one of Keras and none of a user's own."""
    module, name = item.get("module"), item.get("registered_name")
    if name == f"{PACKAGE}>{item['class_name']}":
        # Programs write out what is private in Keras.
        return True
    if module in PACKAGES:
        return not name
    return str(module).startswith(INTERNAL) and name in (None, item["class_name"])


class Translator:
    """Turns configs into spec items.

    Attributes:
        refusals: Takes what cannot be said.
        dtype: The policy of the whole model.
    """

    def __init__(self, refusals: Refusals, dtype: str | None) -> None:
        self.refusals = refusals
        self.dtype = dtype

    def value(self, value: Any, where: str) -> Any:
        """An argument: a plain value, or an object of Keras by name, or several."""
        if isinstance(value, (list, tuple)):
            return [self.value(item, where) for item in value]
        if not isinstance(value, Mapping) or "class_name" not in value:
            return value
        name, config = str(value["class_name"]), value.get("config")
        if name == "function" and config == f"{PACKAGE}>{KERAS_2_HARD_SIGMOID}":
            return KERAS_2_HARD_SIGMOID
        if name == "function" or not isinstance(config, Mapping):
            shown = str(config if name == "function" else name)[:80]
            self.refusals.add(f"{where}: '{shown}' is no object of Keras that seqgen knows")
            return None
        if name in ("__numpy__", "__tensor__"):
            return config.get("value")
        if name in ACTIVATION_LAYERS:
            arguments = {k: v for k, v in config.items() if k not in PLUMBING}
            return {ACTIVATION_LAYERS[name]: arguments}
        if name in (*LAYERS, *MODELS) and _is_of_keras(value):
            return self.layer(value)
        if value.get("registered_name") or name not in OBJECTS:
            self.refusals.add(f"{where}: '{name}' is no object of Keras that seqgen knows")
            return None
        return {name: dict(config)}

    def layer(self, item: Any) -> Plain:
        """A layer's config as a spec item."""
        if not is_object(item):
            self.refusals.add(f"an entry of the config describes no layer: {str(item)[:80]}")
            return {}
        name, config = item["class_name"], dict(item["config"])
        label = label_of(item)
        if item.get("shared_object_id") is not None:
            # Keras numbers what it wrote elsewhere in the file already.
            self.refusals.add(f"{label}: {SHARED}")
        if not _is_of_keras(item):
            self.refusals.add(f"{label}: a class of your own; seqgen knows the layers of Keras")
        elif name == "Sequential":
            return {name: self.nested(config)}
        elif is_graph(item):
            return {"Model": graph_spec(config, self)}
        elif name == "Lambda":
            self.refusals.add(f"{label}: a Lambda holds code, which is never run from a file")
        elif name not in LAYERS or is_operation(item):
            self.refusals.add(f"{label}: seqgen has no such layer{near_miss(name, LAYERS)}")
        else:
            return {name: LAYERS[name].without_implied(self.arguments(LAYERS[name], config, label))}
        return {}

    def arguments(self, cls: Any, config: Plain, label: str) -> Plain:
        """The arguments of a layer's config."""
        policy = policy_of(config.pop("dtype", None))
        if policy is not None and policy != self.dtype:
            self.refusals.add(f"{label}: dtype policy '{policy}' in a model of '{self.dtype}'")
        defaults = cls.defaults()
        translated = {
            key: (
                self._parts(value)
                if key in cls.kinds and cls.kinds[key].of_layers
                else self.value(value, f"{label}, {key}")
            )
            for key, value in config.items()
        }
        # A config may hold what the class does not take, as long as it is switched off.
        return {
            key: value
            for key, value in translated.items()
            if (key in cls.kinds or value not in (None, False))
            and not self._is_default(cls, key, value, defaults)
        }

    def _parts(self, value: Any) -> Any:
        """An argument that is a layer, several, or none."""
        if isinstance(value, (list, tuple)):
            return [self._parts(item) for item in value]
        return None if value is None else self.layer(by_public_name(value))

    def _is_default(self, cls: Any, key: str, value: Any, defaults: Plain) -> bool:
        if key not in defaults:
            return False
        if key == "activation" and value == "linear" and defaults[key] is None:
            return True
        try:
            return bool(cls.kinds[key].parse(value, cls.rank) == defaults[key])
        except (TypeError, ValueError):
            return False

    def nested(self, config: Plain) -> Plain:
        """A Sequential inside another model, without its own input."""
        layers = [self.layer(item) for item in layers_of(config) if not is_input(item)]
        return {"name": config.get("name"), "layers": layers}

    def outermost(self, item: Plain) -> Plain:
        """The outermost model."""
        if is_graph(item):
            return graph_spec(item["config"], self)
        spec = self.nested(item["config"])
        self.refusals.check()
        return {"name": spec["name"], "input": self._entry(item["config"]), **spec}

    def _entry(self, config: Plain) -> Plain:
        """A Sequential's input, from the InputLayer or from what it was built with."""
        layers = layers_of(config)
        if layers and is_input(layers[0]):
            return entry_of(layers[0], self.refusals, self.dtype)
        batch_shape = config.get("build_input_shape")
        if not isinstance(batch_shape, (list, tuple)) or len(batch_shape) < 2:
            raise UnsupportedError(
                "the model was never built, so its input shape is not known; build it, or begin it "
                "with keras.Input, and save it again"
            )
        batch, *shape = batch_shape
        return {"shape": shape, **({} if batch is None else {"batch_size": batch})}


def _dtypes(config: Mapping[str, Any]) -> set[str | None]:
    """The dtype policies of all layers, those of nested models included."""
    found: set[str | None] = set()
    for item in layers_of(config):
        if not is_object(item) or is_input(item) or is_operation(item):
            continue
        nested = item["class_name"] in MODELS
        found |= _dtypes(item["config"]) if nested else {policy_of(item["config"].get("dtype"))}
    return found


def spec_of(config: Any, refusals: Refusals | None = None) -> Plain:
    """The spec of a Keras 3 model's config, as a dictionary.

    Args:
        config: The config, with the name of the class.
        refusals: What was refused before.

    Raises:
        UnsupportedError: It is no Sequential and no graph of layers, or parts of it cannot be
            imported; all are named.
        SpecError: The config is damaged.
    """
    refusals = refusals or Refusals()
    if not is_object(config):
        raise UnsupportedError("this is no config of a Keras 3 model: no class_name and config")
    if config["class_name"] not in MODELS or not _is_of_keras(config):
        kind = config.get("registered_name") or config["class_name"]
        raise UnsupportedError(
            f"only Sequential and functional models are imported, and this is a '{kind}'"
        )
    try:
        return _spec_of(dict(config), refusals)
    except RecursionError:
        raise SpecError(TOO_DEEP) from None


def _spec_of(config: Plain, refusals: Refusals) -> Plain:
    dtypes = _dtypes(config["config"]) - {None}
    dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
    if dtype not in DTYPES:
        raise UnsupportedError(f"the layers have dtype policy '{dtype}'; known: {DTYPES}")
    said = Translator(refusals, dtype).outermost(config)
    refusals.check()
    spec = {"seqgen": 1, **said}
    return spec if dtype == "float32" else {**spec, "dtype": dtype}
