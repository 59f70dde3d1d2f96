"""What configs of Keras are made of: objects with a class and a config, and what is refused."""

from collections.abc import Mapping
from typing import Any

from seqgen.errors import SpecError, UnsupportedError
from seqgen.layers.objects import PACKAGE

Plain = dict[str, Any]
GRAPHS = ("Functional", "Model")
MODELS = ("Sequential", *GRAPHS)
# Classes that keras.layers has by another name than their own, which files may say.
OWN_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}
PUBLIC_NAMES = {own: public for public, own in OWN_NAMES.items()}
# What an input may be flagged as, which a spec has no word for.
FLAGS = ("sparse", "ragged", "optional")


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


def is_object(value: Any) -> bool:
    """Whether a value of a config is an object: it has a class, and what that is made with."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("class_name"), str)
        and isinstance(value.get("config"), Mapping)
    )


def is_input(item: Any) -> bool:
    """Whether a config describes an InputLayer."""
    return is_object(item) and item["class_name"] == "InputLayer"


def is_graph(item: Any) -> bool:
    """Whether a config describes a graph of layers."""
    return is_object(item) and item["class_name"] in GRAPHS


def name_of(item: Plain) -> Any:
    """The name of a layer."""
    return item.get("name", item["config"].get("name"))


def label_of(item: Plain) -> str:
    """How errors name a layer."""
    return f"{item['class_name'][:80]} '{str(name_of(item))[:80]}'"


def layers_of(config: Mapping[str, Any]) -> list[Any]:
    """The layers of a model's config.

    Raises:
        SpecError: They are no list.
    """
    layers = config.get("layers")
    if not isinstance(layers, (list, tuple)):
        name = str(config.get("name"))[:80]
        raise SpecError(f"model '{name}': its config holds no list of layers")
    return [by_public_name(item) for item in layers]


def by_public_name(item: Any) -> Any:
    """A layer's config with the name that specs have for its class."""
    if not is_object(item):
        return item
    name = without_package(item["class_name"])
    return {**item, "class_name": PUBLIC_NAMES.get(name, name)}


def without_package(name: str) -> str:
    """The name of a class or function, which files may say with the package of programs."""
    return name.removeprefix(f"{PACKAGE}>")


def entry_of(item: Any, refusals: Refusals, dtype: str | None) -> Plain:
    """An InputLayer as the input of a spec, without the dtype if that is the model's own."""
    config = item["config"]
    label = label_of(item)
    for flag in FLAGS:
        if config.get(flag):
            refusals.add(f"{label}, {flag}: expected a dense input that is always given")
    batch_shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(batch_shape, (list, tuple)) or not batch_shape:
        raise SpecError(f"{label}: its config holds no shape")
    batch, *shape = batch_shape
    said = {"shape": shape, "batch_size": batch, "name": config.get("name")}
    own = policy_of(config.get("dtype"))
    said["dtype"] = None if own == dtype else own
    return {key: value for key, value in said.items() if value is not None}


def policy_of(value: Any) -> str | None:
    """The name of a dtype or of a dtype policy."""
    if is_object(value):
        value = value["config"].get("name")
    return value if isinstance(value, str) else None
