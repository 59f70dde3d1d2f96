"""What the names in a graph of a spec mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqgen.layers.arguments import near_miss
from seqgen.spec.located import Located
from seqgen.spec.names import LONGEST_NAME
from seqgen.spec.tensors import Tensor

if TYPE_CHECKING:
    from seqgen.spec.container import Item

# What an item of a graph says besides the arguments of its layer.
FROM, WITH = "from", "with"
# The item that calls a layer, or a model within, once more.
CALL = "call"
# To look for what is written alike takes time for each name.
MOST_COMPARED = 500


def apart(part: Located) -> tuple[Located, dict[str, Located]]:
    """An item of a graph as a layer alone, and what else it says: `from` and `with`."""
    if not isinstance(part.value, dict) or len(part.value) != 1:
        return part, {}
    ((kind, given),) = part.value.items()
    if not isinstance(given.value, dict):
        return part, {}
    edges = {key: value for key, value in given.value.items() if key in (FROM, WITH)}
    own = {key: value for key, value in given.value.items() if key not in edges}
    return Located({kind: Located(own, given.line)}, part.line), edges


def kind_of(part: Located) -> str:
    """What stands first in an item: the name of a layer, or `call`."""
    return str(next(iter(part.value), "")) if isinstance(part.value, dict) else str(part.value)


def name_in(part: Located) -> str | None:
    """The name that an item is given, if it is given one."""
    said = part.value.values() if isinstance(part.value, dict) else ()
    given = next(iter(said), part).value
    name = given.get("name") if isinstance(given, dict) else None
    return name.value if name is not None and isinstance(name.value, str) else None


@dataclass
class Made:
    """What an input, or an item of a graph, gives.

    Attributes:
        tensors: What it gives; None if there are faults in it.
        label: How errors name the item.
        line: Where it stands.
        read: Whether anything reads it.
    """

    tensors: tuple[Tensor, ...] | None
    label: str = ""
    line: int | None = None
    read: bool = False


class Names:
    """What each name means so far.

    Args:
        parts: All items of the graph.

    Attributes:
        values: What can be read.
        layers: What can be called once more; None for what there are faults in.
    """

    def __init__(self, parts: Iterable[Located]) -> None:
        self.values: dict[str, Made] = {}
        self.layers: dict[str, Item | None] = {}
        self._anywhere = {name_in(part) for part in parts}
        self._unnamed: set[str] = set()

    def enter(self, name: str | None, item: "Item | None") -> None:
        """Note a layer, or a model within."""
        if name is not None:
            self.layers.setdefault(name, item)
        elif item is not None:
            self._unnamed.add(item.auto_name)

    def is_one_of_several(self, name: str) -> bool:
        """Whether a name means one of the tensors of an item: `base:1`."""
        base, colon, _ = name.rpartition(":")
        return bool(colon) and base in self.values and self._one(name) is not None

    def _one(self, name: str) -> tuple[Tensor, ...] | None:
        base, _, index = name.rpartition(":")
        tensors = self.values[base].tensors or ()
        return next(((t,) for place, t in enumerate(tensors) if str(place) == index), None)

    def find(self, name: str) -> Made | None:
        """What a name means: all that an item gives, or one of its tensors; None for nothing.

        What is found counts as read.
        """
        made = self.values.get(name)
        if made is not None:
            made.read = True
            return made
        base = self.values.get(name.rpartition(":")[0])
        if base is None or (base.tensors is not None and self._one(name) is None):
            return None
        base.read = True
        return Made(base.tensors and self._one(name))

    def hint(self, name: str, known: Iterable[str]) -> str:
        """What was probably meant by a name that means nothing.

        Args:
            name: The name.
            known: The names that would have been right.
        """
        base, _, index = name.rpartition(":")
        if base in self.values and index.isdecimal():
            return f"; '{base}' gives {len(self.values[base].tensors or ())}, numbered from 0"
        if name in self.values:
            return "; that is no layer, but what one gives"
        if name in self._anywhere:
            return "; it does not stand above: move it up"
        if name in self._unnamed:
            return "; a layer is read by the name that it is given, so give it one"
        return near_miss(name[:LONGEST_NAME], list(known)[-MOST_COMPARED:])
