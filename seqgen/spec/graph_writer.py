"""How a graph is written: its calls in order, each with the names of what it reads."""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.base import Layer

if TYPE_CHECKING:
    from seqgen.spec.container import Item
    from seqgen.spec.functional import Model

# A tensor: the number of a step of the model, and which of the tensors it gives.
Read = tuple[int, int]


def gives(item: "Item") -> int:
    """How many tensors a layer or model gives."""
    return 1 if isinstance(item, Layer) else len(item.results)


class GraphText:
    """The calls of a graph as items of a spec.

    Args:
        model: The graph.

    Attributes:
        order: The numbers of its steps, as the items stand in the spec: layers in the order in
            which they were made, another call of one as soon as all that it reads stands there.
    """

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._steps = model.steps
        self._first: dict[int, int] = {}
        for number, reading in enumerate(self._steps, 1):
            self._first.setdefault(id(reading.item), number)
        self.order = list(self._ordered())
        self._names = self._named()
        self._before = dict(zip(self.order, [0, *self.order], strict=False))

    def _ordered(self) -> Iterator[int]:
        steps = dict(enumerate(self._steps, 1))
        needs = {number: self._needs(number) for number in steps}
        readers: dict[int, list[int]] = {number: [] for number in steps}
        for number, needed in needs.items():
            for other in needed:
                readers[other].append(number)
        ready = [self._rank(number) for number, needed in needs.items() if not needed]
        heapq.heapify(ready)
        while ready:
            number = heapq.heappop(ready)[1]
            yield number
            for reader in readers[number]:
                needs[reader].discard(number)
                if not needs[reader]:
                    heapq.heappush(ready, self._rank(reader))

    def _needs(self, number: int) -> set[int]:
        """The numbers of the steps that must stand before one."""
        reading = self._steps[number - 1]
        before = {step for step, _ in reading.reads if step}
        return before | ({self._first[id(reading.item)]} - {number})

    def _rank(self, number: int) -> tuple[int, int]:
        made = self.item(number)._made if self.is_first(number) else 0
        return made, number

    def item(self, number: int) -> "Item":
        """The layer or model that a step calls."""
        return self._steps[number - 1].item

    def arguments(self, number: int) -> dict[str, Any]:
        """What a step calls it with besides tensors."""
        return dict(self._steps[number - 1].arguments)

    def is_first(self, number: int) -> bool:
        """Whether a step is the first call of its layer or model."""
        return self._first[id(self.item(number))] == number

    def _named(self) -> dict[int, str]:
        """The name of each step: that of the layer, or of another call of it."""
        names = {n: str(self.item(n).name) for n in self.order if self.is_first(n)}
        taken = {*names.values(), *self._model.entry_names}
        for number, reading in enumerate(self._steps, 1):
            if number in names:
                continue
            own = name = reading.name or str(reading.item.name)
            count = 1
            while name in taken:
                name, count = f"{own}_{count}", count + 1
            names[number] = name
            taken.add(name)
        return names

    # What is read

    def _given_by(self, number: int) -> list[Read]:
        """All that a step gives; step 0 are the inputs."""
        count = gives(self.item(number)) if number else len(self._model.entries)
        return [(number, index) for index in range(count)]

    def _parts(self, reads: Sequence[Read]) -> Iterator[tuple[int, int | None]]:
        """What is read: all that a step gives (None), or one of its tensors."""
        place = 0
        while place < len(reads):
            step, index = reads[place]
            whole = self._given_by(step) if step else []
            if whole and list(reads[place : place + len(whole)]) == whole:
                yield step, None
                place += len(whole)
            else:
                yield step, index
                place += 1

    def _reads(self, number: int) -> list[tuple[int, int | None]]:
        """What a step reads, nothing if it is just what stands before it."""
        reads, before = self._steps[number - 1].reads, self._before[number]
        several = before == 0 and len(self._model.entries) > 1
        implied = not several and list(reads) == self._given_by(before)
        return [] if implied else list(self._parts(reads))

    def _outputs(self) -> list[tuple[int, int | None]]:
        """What the outputs are, nothing if they are just what the last item gives."""
        results = self._model.results
        return [] if list(results) == self._given_by(self.order[-1]) else list(self._parts(results))

    def _name(self, step: int, index: int | None) -> str:
        """The name of a tensor, or of all that a step gives.

        Raises:
            SpecError: It means something else.
        """
        if step == 0:
            return self._model.entries[index or 0].name
        name = self._names[step]
        if index is None:
            return name
        if f"{name}:{index}" in self._names.values():
            message = f"'{name}:{index}' is one of its tensors; rename the layer of that name"
            raise SpecError(Fault(message, "name", self.item(step).label))
        return f"{name}:{index}"

    def reads(self, number: int) -> list[str]:
        """The names of what a step reads; none if it is just what stands before it."""
        return [self._name(*part) for part in self._reads(number)]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs; none if they are just what the last item gives."""
        return [self._name(*part) for part in self._outputs()]

    # Which names are written

    @property
    def referred(self) -> set[int]:
        """The numbers of the steps that are referred to by name."""
        parts = [part for number in self.order for part in self._reads(number)]
        return {step for step, _ in [*parts, *self._outputs()] if step}

    @property
    def items_referred(self) -> list["Item"]:
        """The layers and models that are referred to by name."""
        again = {id(self.item(number)) for number in self.order if not self.is_first(number)}
        referred = self.referred
        return [
            self.item(number)
            for number in self.order
            if self.is_first(number) and (number in referred or id(self.item(number)) in again)
        ]

    def call_names(self) -> dict[int, str]:
        """The names of further calls, as far as a reader would not know them."""
        referred = self.referred
        calls = Counter(id(reading.item) for reading in self._steps)

        def is_known(number: int) -> bool:
            given = self._steps[number - 1].name is not None
            return not given and number not in referred and calls[id(self.item(number))] == 2

        again = [number for number in self.order if not self.is_first(number)]
        return {number: self._names[number] for number in again if not is_known(number)}
