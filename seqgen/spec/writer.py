"""A model as a spec: plain values, as short as the reader takes them, and their text."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from seqgen.layers.base import Layer
from seqgen.layers.objects import Named
from seqgen.spec.entry import INPUT_NAME
from seqgen.spec.names import auto_name

if TYPE_CHECKING:
    from seqgen.spec.container import Container, Item

Plain = Any
VERSION = 1


def plain(value: Any, needed: set[int]) -> Plain:
    """A value of an argument as a file holds it.

    Args:
        value: The value.
        needed: Identities of the layers whose names are to be written.
    """
    if isinstance(value, Named):
        arguments = {name: plain(item, needed) for name, item in value.arguments}
        return {value.name: arguments} if arguments else value.name
    if isinstance(value, Layer):
        return layer_item(value, needed)
    if isinstance(value, (tuple, list)):
        return [plain(item, needed) for item in value]
    return {k: plain(v, needed) for k, v in value.items()} if isinstance(value, dict) else value


def first_argument(kind: type[Layer]) -> str | None:
    """The argument that a layer takes by place, if it takes any."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return next((field.name for field in fields if not field.kw_only), None)


def layer_item(layer: Layer, needed: set[int]) -> Plain:
    """A layer as an item of a spec."""
    kind = type(layer)
    given = {key: plain(kind.kinds[key].brief(v), needed) for key, v in layer.arguments().items()}
    if kind.__name__.startswith("SpatialDropout"):
        # Keras does not take the argument, and there is nothing to train.
        given.pop("trainable", None)
    if id(layer) in needed:
        given["name"] = layer.name
    if not given:
        return layer.keras_name
    (key, value), *more = given.items()
    short = not more and key == first_argument(kind) and value is not None
    return {layer.keras_name: value if short and not isinstance(value, dict) else given}


def _in_reading_order(home: "Item") -> "Iterator[tuple[Item, Item | None]]":
    """Everything that has a name in the order in which a reader makes it, with what is around."""
    for item in home.parts if isinstance(home, Layer) else home.items:
        yield from _in_reading_order(item)
        yield item, home


def needed_names(model: "Container") -> set[int]:
    """Identities of what needs its name written, since the reader would give it another one."""
    items = [*_in_reading_order(model), (model, None)]
    needed = {id(item) for item, _ in items if not item._auto}
    taken: defaultdict[int, set[str]] = defaultdict(set)
    for item, home in items:
        if id(item) in needed:
            taken[id(home)].add(item.name or "")
    counts: Counter[str] = Counter()
    for item, home in items:
        if id(item) in needed:
            continue
        before = counts[item.auto_name]
        if auto_name(item.auto_name, counts, taken[id(home)]) != item.name:
            counts[item.auto_name] = before
            needed.add(id(item))
            taken[id(home)].add(item.name or "")
    return needed


def _entry(model: "Container") -> dict[str, Plain]:
    """The input, if it was declared for this very model."""
    entry = model.declared
    if entry is None or entry.shape is None:
        return {}
    said: dict[str, Plain] = {"shape": list(entry.shape)}
    if entry.batch_size is not None:
        said["batch_size"] = entry.batch_size
    if entry.dtype is not None and entry.dtype != (model.dtype or "float32"):
        said["dtype"] = entry.dtype
    if entry.name != INPUT_NAME:
        said["name"] = entry.name
    return {"input": said}


def _model_dict(model: "Container", needed: set[int]) -> dict[str, Plain]:
    said: dict[str, Plain] = {"name": model.name} if id(model) in needed else {}
    said |= _entry(model)
    if model.dtype is not None:
        said["dtype"] = model.dtype
    if not model.trainable:
        said["trainable"] = False
    said["layers"] = [_item(layer, needed) for layer in model.items]
    return said


def _item(layer: "Item", needed: set[int]) -> Plain:
    if isinstance(layer, Layer):
        return layer_item(layer, needed)
    return {"Sequential": _model_dict(layer, needed)}


def spec_dict(model: "Container") -> dict[str, Plain]:
    """The spec of a model as plain values."""
    return {"seqgen": VERSION, **_model_dict(model, needed_names(model))}
