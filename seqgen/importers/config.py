"""The config of a Keras 3 model, as `get_config` and `to_json` give it, in the words of a spec."""

from collections.abc import Mapping
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.layers import LAYERS
from seqgen.layers.arguments import DTYPES, near_miss
from seqgen.layers.objects import CONSTRAINTS, INITIALIZERS, REGULARIZERS
from seqgen.targets.keras import FUNCTION_LAYERS

Plain = dict[str, Any]
OBJECTS = {**INITIALIZERS, **REGULARIZERS, **CONSTRAINTS}
ACTIVATION_LAYERS = {layer: function for function, layer in FUNCTION_LAYERS.items()}
# What every layer's config holds, and a spec has no word for.
PLUMBING = ("name", "trainable", "dtype")
PACKAGES = ("keras", "keras.layers", None)


class Refusals:
    """Everything that cannot be imported, collected so that one message names it all."""

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def add(self, reason: str) -> None:
        """Note one thing."""
        if reason not in self._reasons:
            self._reasons.append(reason)

    def check(self) -> None:
        """Raise if there was anything."""
        if self._reasons:
            raise UnsupportedError("this model cannot be imported:\n" + "\n".join(self._reasons))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_name" in value and "config" in value


def _policy(value: Any) -> str | None:
    """The name of a dtype or of a dtype policy."""
    if _is_object(value):
        value = value["config"].get("name") if isinstance(value["config"], Mapping) else None
    return value if isinstance(value, str) else None


class Translator:
    """Turns configs into spec items."""

    def __init__(self, refusals: Refusals, dtype: str | None) -> None:
        self._refusals = refusals
        self._dtype = dtype

    def value(self, value: Any, where: str) -> Any:
        """An argument: a plain value, or an object of Keras by name, or several."""
        if isinstance(value, (list, tuple)):
            return [self.value(item, where) for item in value]
        if not _is_object(value):
            return value
        name, config = value["class_name"], value["config"]
        if name in ("__numpy__", "__tensor__"):
            return config["value"]
        if name in ACTIVATION_LAYERS:
            arguments = {k: v for k, v in config.items() if k not in PLUMBING}
            return {ACTIVATION_LAYERS[name]: arguments}
        if name in (*LAYERS, "Sequential", "Functional") and value.get("module") in PACKAGES:
            return self.layer(value)
        if value.get("registered_name") or name not in OBJECTS:
            shown = config if name == "function" else name
            self._refusals.add(f"{where}: '{shown}' is no object of Keras that seqgen knows")
            return None
        return {name: dict(config)}

    def layer(self, item: Any) -> Plain:
        """A layer's config as a spec item."""
        if not _is_object(item) or not isinstance(item["config"], Mapping):
            self._refusals.add(f"an entry of the config describes no layer: {str(item)[:80]}")
            return {}
        name, config = str(item["class_name"]), dict(item["config"])
        label = f"{name} '{config.get('name')}'"
        if name == "Sequential":
            return {"Sequential": self.nested(config)}
        if name in ("Functional", "Model"):
            self._refusals.add(f"{label}: a graph of layers; only chains are imported")
        elif item.get("registered_name") or item.get("module") not in PACKAGES:
            self._refusals.add(f"{label}: a class of your own; seqgen knows the layers of Keras")
        elif name == "Lambda":
            self._refusals.add(f"{label}: a Lambda holds code, which is never run from a file")
        elif name not in LAYERS:
            self._refusals.add(f"{label}: seqgen has no such layer{near_miss(name, LAYERS)}")
        else:
            return {name: LAYERS[name].without_implied(self.arguments(LAYERS[name], config, label))}
        return {}

    def arguments(self, cls: Any, config: Plain, label: str) -> Plain:
        """The arguments of a layer's config."""
        policy = _policy(config.pop("dtype", None))
        if policy is not None and policy != self._dtype:
            self._refusals.add(f"{label}: dtype policy '{policy}' in a model of '{self._dtype}'")
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
        return None if value is None else self.layer(value)

    def _is_default(self, cls: Any, key: str, value: Any, defaults: Plain) -> bool:
        if key not in defaults:
            return False
        try:
            return bool(cls.kinds[key].parse(value, cls.rank) == defaults[key])
        except (TypeError, ValueError):
            return False

    def nested(self, config: Plain) -> Plain:
        """A Sequential inside another, without its own input."""
        layers = [item for item in config.get("layers", []) if not is_input(item)]
        return {"name": config.get("name"), "layers": [self.layer(item) for item in layers]}


def is_input(item: Any) -> bool:
    """Whether a config describes an InputLayer."""
    return _is_object(item) and item["class_name"] == "InputLayer"


def _entry(config: Plain) -> Plain:
    """The spec's input, from the InputLayer or from what the model was built with."""
    layers = config.get("layers") or []
    if layers and is_input(layers[0]):
        entry = layers[0]["config"]
        batch, *shape = entry.get("batch_shape") or entry.get("batch_input_shape") or [None]
        said = {"shape": shape, "batch_size": batch}
        return {**said, "dtype": entry.get("dtype"), "name": entry.get("name")}
    batch, *shape = config.get("build_input_shape") or [None]
    if not shape:
        raise UnsupportedError(
            "the model was never built, so its input shape is not known; build it, or begin it "
            "with keras.Input, and save it again"
        )
    return {"shape": shape, "batch_size": batch}


def _dtypes(config: Plain) -> set[str | None]:
    """The dtype policies of all layers, those of nested models included."""
    found: set[str | None] = set()
    for item in config.get("layers") or []:
        if not _is_object(item) or is_input(item) or not isinstance(item["config"], Mapping):
            continue
        nested = item["class_name"] == "Sequential"
        found |= _dtypes(item["config"]) if nested else {_policy(item["config"].get("dtype"))}
    return found


def spec_of(config: Any, refusals: Refusals | None = None) -> Plain:
    """The spec of a Keras 3 Sequential's config, as a dictionary.

    Args:
        config: The config, with the name of the class.
        refusals: What was refused before.

    Raises:
        UnsupportedError: It is no Sequential, or parts of it cannot be imported; all are named.
    """
    refusals = refusals or Refusals()
    if not _is_object(config) or not isinstance(config["config"], Mapping):
        raise UnsupportedError("this is no config of a Keras 3 model: no class_name and config")
    if config["class_name"] != "Sequential":
        kind = config.get("registered_name") or config["class_name"]
        raise UnsupportedError(f"only Sequential models are imported, and this is a '{kind}'")
    inner = dict(config["config"])
    dtypes = _dtypes(inner) - {None}
    dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
    if dtype not in DTYPES:
        raise UnsupportedError(f"the layers have dtype policy '{dtype}'; known: {DTYPES}")
    translator = Translator(refusals, dtype)
    items = [item for item in inner.get("layers") or [] if not is_input(item)]
    layers = [translator.layer(item) for item in items]
    refusals.check()
    entry = {key: value for key, value in _entry(inner).items() if value is not None}
    spec = {"seqgen": 1, "name": inner.get("name"), "input": entry, "layers": layers}
    return spec if dtype == "float32" else {**spec, "dtype": dtype}
