"""A model as a spec: plain values, as short as the reader takes them, and their text."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.base import Layer
from seqgen.layers.objects import Named
from seqgen.spec.entry import INPUT_NAME, Input
from seqgen.spec.flatten import flatten
from seqgen.spec.functional import Model
from seqgen.spec.graph_names import CALL, FROM, WITH
from seqgen.spec.graph_writer import GraphText
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


def layer_item(layer: Layer, needed: set[int], edges: dict[str, Plain] | None = None) -> Plain:
    """A layer as an item of a spec.

    Args:
        layer: The layer.
        needed: Identities of the layers whose names are to be written.
        edges: What the item of a graph says besides the arguments.
    """
    kind = type(layer)
    given = {key: plain(kind.kinds[key].brief(v), needed) for key, v in layer.arguments().items()}
    if kind.__name__.startswith("SpatialDropout"):
        # Keras does not take the argument, and there is nothing to train.
        given.pop("trainable", None)
    if id(layer) in needed:
        given["name"] = layer.name
    given |= edges or {}
    if not given:
        return layer.keras_name
    (key, value), *more = given.items()
    short = not more and key == first_argument(kind) and value is not None
    return {layer.keras_name: value if short and not isinstance(value, dict) else given}


def _placed(home: "Item") -> "list[Item]":
    """What stands in a layer or model, in the order in which a reader makes it."""
    if isinstance(home, Layer):
        return list(home.parts)
    if isinstance(home, Model):
        text = GraphText(home)
        return [text.item(number) for number in text.order if text.is_first(number)]
    return home.items


def _in_reading_order(home: "Item") -> "Iterator[tuple[Item, Item | None]]":
    """Everything that has a name in the order in which a reader makes it, with what is around."""
    for item in _placed(home):
        yield from _in_reading_order(item)
        yield item, home


def _check_homes(items: "list[tuple[Item, Item | None]]") -> None:
    """Raise a `SpecError` if something stands at two places of a model."""
    seen: set[int] = set()
    for item, _ in items:
        if id(item) in seen:
            message = (
                "it is part of two models, for which a spec has no words; call the model within, "
                "or give it another output"
            )
            raise SpecError(Fault(message, None, item.label))
        seen.add(id(item))


def needed_names(model: "Container") -> set[int]:
    """Identities of what needs its name written: since it is referred to, or since the reader
    would give it another one.

    Raises:
        SpecError: A layer stands at two places.
    """
    items = [*_in_reading_order(model), (model, None)]
    _check_homes(items)
    needed = {id(item) for item, _ in items if not item._auto}
    graphs = [GraphText(item) for item, _ in items if isinstance(item, Model)]
    needed |= {id(item) for text in graphs for item in text.items_referred}
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


def _entry(entry: Input, dtype: str | None) -> dict[str, Plain]:
    """An input, without its name."""
    said: dict[str, Plain] = {"shape": list(entry.shape or ())}
    if entry.batch_size is not None:
        said["batch_size"] = entry.batch_size
    if entry.dtype is not None and entry.dtype != (dtype or "float32"):
        said["dtype"] = entry.dtype
    return said


def _input(model: "Container") -> dict[str, Plain]:
    """The input, if it was declared for this very model, or several by name."""
    if isinstance(model, Model) and len(model.entries) > 1:
        entries = {entry.name: _entry(entry, model.dtype) for entry in model.entries}
        return {"inputs": {k: v if len(v) > 1 else v["shape"] for k, v in entries.items()}}
    entry = model.entries[0] if isinstance(model, Model) else model.declared
    if entry is None or entry.shape is None:
        return {}
    named = {} if entry.name == INPUT_NAME else {"name": entry.name}
    return {"input": {**_entry(entry, model.dtype), **named}}


def _model_dict(
    model: "Container",
    needed: set[int],
    edges: dict[str, Plain] | None = None,
    within: bool = True,
) -> dict[str, Plain]:
    said: dict[str, Plain] = {"name": model.name} if id(model) in needed else {}
    said |= {**(edges or {}), **_input(model)}
    if model.dtype is not None:
        said["dtype"] = model.dtype
    graph = isinstance(model, Model)
    held = _graph(model, needed) if graph else {"layers": [_item(x, needed) for x in model.items]}
    if not model.trainable and not within:
        said["trainable"] = False
    elif not model.trainable and not any(leaf.layer.trainable for leaf in flatten(model)):
        said["trainable"] = False
        key = "graph" if graph else "layers"
        held[key] = [_without_trainable(item) for item in held[key]]
    return said | held


def _without_trainable(item: Plain) -> Plain:
    """An item of a model that says for all of its layers that they are frozen."""
    if not isinstance(item, dict):
        return item
    ((kind, given),) = item.items()
    if not isinstance(given, dict) or given.get("trainable") is not False:
        return item
    kept = {key: value for key, value in given.items() if key != "trainable"}
    return {kind: kept} if kept else kind


def _single(names: list[str]) -> Plain:
    return names[0] if len(names) == 1 else names


def _graph(model: Model, needed: set[int]) -> dict[str, Plain]:
    """The items of a graph, and its outputs if they are not what the last one gives."""
    text = GraphText(model)
    names, items = text.call_names(), []
    for number in text.order:
        reads, arguments = text.reads(number), text.arguments(number)
        edges = {FROM: _single(reads)} if reads else {}
        edges |= {WITH: plain(arguments, needed)} if arguments else {}
        item = text.item(number)
        if text.is_first(number):
            items.append(_item(item, needed, edges))
        else:
            items.append(_again(item, edges, names.get(number)))
    outputs = text.outputs
    return {"graph": items, **({"outputs": _single(outputs)} if outputs else {})}


def _again(item: "Item", edges: dict[str, Plain], name: str | None) -> Plain:
    """Another call of a layer or model."""
    said = {**edges, **({} if name is None else {"name": name})}
    return {CALL: {"layer": item.name, **said} if said else item.name}


def _item(item: "Item", needed: set[int], edges: dict[str, Plain] | None = None) -> Plain:
    if isinstance(item, Layer):
        return layer_item(item, needed, edges)
    kind = "Model" if isinstance(item, Model) else "Sequential"
    return {kind: _model_dict(item, needed, edges)}


def spec_dict(model: "Container") -> dict[str, Plain]:
    """The spec of a model as plain values.

    Raises:
        SpecError: A layer stands at two places, or the name of one means something else.
    """
    said = {"seqgen": VERSION, **_model_dict(model, needed_names(model), within=False)}
    training = getattr(model, "training", None)
    return said | ({"training": training.to_plain()} if training is not None else {})
