"""Names of layers and models: which are allowed, and those that Keras gives by itself."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from seqgen.errors import Fault, SpecError
from seqgen.layers.arguments import short
from seqgen.layers.base import Layer
from seqgen.layers.objects import auto_name

if TYPE_CHECKING:
    from seqgen.spec.container import Container, Item

LONGEST_NAME = 200


def name_fault(name: object) -> str | None:
    """What is wrong with a name, if anything.

    A slash separates the names of nested models; what cannot be printed has no place in programs.
    """
    if not isinstance(name, str) or not name:
        return f"expected a string that is not empty, received {short(name)}"
    if len(name) > LONGEST_NAME:
        return f"expected at most {LONGEST_NAME} characters, received {len(name)}: {short(name)}"
    if "/" in name:
        return f"expected a name without a slash, received {short(name)}"
    if not name.isprintable() or name != name.strip():
        return f"expected printable characters between no outer spaces, received {short(name)}"
    return None


def check_name(name: object, label: str) -> None:
    """Raise a `SpecError` if a name is not allowed."""
    message = name_fault(name)
    if message:
        raise SpecError(Fault(message, "name", label))


def _unnamed(item: "Item", home: "Container") -> "Iterator[tuple[Item, Container | Inside]]":
    """What is to be named for an item that is added to `home`, each with the model around it.

    A model's own numbers hold until it becomes part of another one, whose numbers go on.
    """
    if isinstance(item, Layer):
        yield from _parts(item, lambda part: part.name is None or part._local)
        if item.name is None:
            yield item, home
    elif not item.adopted:
        yield from _numbered(item)
        if item._auto:
            yield item, home


def _numbered(model: "Container") -> "Iterator[tuple[Item, Container | Inside]]":
    for item in model.items:
        if isinstance(item, Layer):
            yield from _parts(item, lambda part: part._auto)
        else:
            yield from _numbered(item)
        if item._auto:
            yield item, model


class Inside(NamedTuple):
    """The names of the layers inside another."""

    names: "dict[str, Item]"


def _parts(layer: Layer, fresh: Callable[[Layer], bool]) -> "Iterator[tuple[Layer, Inside]]":
    """The layers inside a layer, at any depth, that are to be named."""
    named = {part.name: part for part in layer.parts if part.name and not fresh(part)}
    home = Inside(named)
    for part in layer.parts:
        yield from _parts(part, fresh)
        if fresh(part):
            yield part, home


def _claim(item: "Item", home: "Container") -> None:
    """Enter an item that has a name under it; one that was chosen here may give way."""
    check_name(item.name, type(item).__name__)
    if item.name in home.names and item._auto:
        item.name = auto_name(item.auto_name, home.counts, home.names)
    if item.name in home.names or item.name in home.entry_names:
        message = f"the name '{item.name}' is taken; all layers of a model need unique names"
        raise SpecError(Fault(message, "name", item.label))
    home.names[str(item.name)] = item


def name_all(items: "list[Item]", home: "Container") -> None:
    """Name new items of a model in the order in which they were made, as Keras does.

    Raises:
        SpecError: Two have the same name, or one has a name that is not allowed.
    """
    fresh = [pair for item in items for pair in _unnamed(item, home)]
    unnamed = {id(item) for item, _ in fresh}
    for item in items:
        if id(item) not in unnamed:
            _claim(item, home)
    for item, around in fresh:
        if around.names.get(item.name or "") is item:
            del around.names[item.name or ""]
    for item, around in sorted(fresh, key=lambda pair: pair[0]._made):
        item.name = auto_name(item.auto_name, home.counts, around.names)
        item._auto, item._local = True, False
        around.names[item.name] = item
    for item in items:
        if not isinstance(item, Layer):
            item.adopted = True
