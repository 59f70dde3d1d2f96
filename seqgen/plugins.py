"""Layers and targets from other packages.

A package announces them as entry points of the groups `seqgen.layers` (an object: a subclass of
`Layer`) and `seqgen.targets` (an object: a `Target`).
"""

from typing import Any

from seqgen.errors import SeqgenError


def load(group: str, kind: type) -> dict[str, Any]:
    """The objects that installed packages announce in a group, by name.

    Args:
        group: `seqgen.layers` or `seqgen.targets`.
        kind: What each has to be: a class derived from it, or an instance of it.

    Raises:
        SeqgenError: One cannot be loaded, or is something else; it says whose it is.
    """
    from importlib import metadata

    found = {}
    for entry in metadata.entry_points(group=group):
        try:
            value = entry.load()
        except Exception as error:
            message = f"{group} '{entry.name}' ({entry.value}) does not load: {error}"
            raise SeqgenError(message) from None
        right = issubclass(value, kind) if isinstance(value, type) else isinstance(value, kind)
        if not right:
            raise SeqgenError(f"{group} '{entry.name}' ({entry.value}) is no {kind.__name__}")
        found[entry.name] = value
    return found
