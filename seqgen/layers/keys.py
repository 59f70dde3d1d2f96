"""What stands between the brackets of `x[:, 0]`: slices, indices and new axes."""

import numbers
from types import EllipsisType
from typing import Any

from seqgen.layers.arguments import INTEGER, Kind, optional

Item = slice | int | None | EllipsisType
Key = tuple[Item, ...]

WHOLE = slice(None)


def _bound(value: Any) -> int | None:
    return optional(INTEGER).parse(value, 0)


def _from_text(text: str) -> Item:
    """An item of a key as it is written: `1:3`, `0`, `...` or `None`."""
    text = text.strip()
    if text in ("...", "None"):
        return ... if text == "..." else None
    if ":" not in text:
        return int(text)
    bounds = [int(part) if part.strip() else None for part in text.split(":")]
    if len(bounds) > 3:
        raise ValueError
    return slice(*bounds)


def _item(value: Any) -> Item:
    if value is None or value is ...:
        return value
    if isinstance(value, str):
        return _item(_from_text(value))
    if isinstance(value, slice):
        start, stop, step = map(_bound, (value.start, value.stop, value.step))
        if step == 0:
            raise ValueError
        return slice(start, stop, None if step == 1 else step)
    return INTEGER.parse(value, 0)


def _key(value: Any, rank: int) -> Key:
    if isinstance(value, str):
        value = value.split(",")
    items = value if isinstance(value, (tuple, list)) else (value,)
    key = tuple(map(_item, items))
    if len(key) < 2 or sum(item is ... for item in key) > 1:
        raise ValueError
    return key


def _text(item: Item) -> str:
    if item is ...:
        return "..."
    if not isinstance(item, slice):
        return str(item)
    start, stop = ("" if bound is None else str(bound) for bound in (item.start, item.stop))
    return f"{start}:{stop}" + ("" if item.step is None else f":{item.step}")


def key_text(key: Key) -> str:
    """A key as it is written: `:, 0`."""
    return ", ".join(map(_text, key))


KEY = Kind(
    "slices, indices, ... and None as between brackets, the batch first, such as ':, 0'",
    _key,
    lambda rank: {"type": "string", "pattern": ","},
    key_text,
)


def spelled_out(key: Key, rank: int) -> Key:
    """A key with an item for every axis of a tensor with `rank` axes, new ones besides.

    Raises:
        ValueError: It has more than the tensor has axes.
    """
    missing = rank - sum(item is not None and item is not ... for item in key)
    if missing < 0:
        raise ValueError
    if ... not in key:
        return (*key, *(WHOLE,) * missing)
    place = key.index(...)
    return (*key[:place], *(WHOLE,) * missing, *key[place + 1 :])


def is_index(item: Item) -> bool:
    """Whether an item takes its axis away."""
    return isinstance(item, numbers.Integral)


def without_ends(key: Key) -> Key:
    """A key without the whole slices behind its last other item."""
    while len(key) > 2 and key[-1] == WHOLE:
        key = key[:-1]
    return key


def reversed_axes(key: Key) -> tuple[int, ...]:
    """The axes of the input that a spelled out key without new axes runs through backwards."""
    return tuple(
        axis
        for axis, item in enumerate(key)
        if isinstance(item, slice) and item.step is not None and item.step < 0
    )


def forwards(item: Item) -> Item:
    """What an item that runs backwards takes of the axis turned around."""
    if not isinstance(item, slice) or item.step is None or item.step > 0:
        return item
    start, stop = (None if bound is None else -1 - bound for bound in (item.start, item.stop))
    return slice(start, stop, None if item.step == -1 else -item.step)
