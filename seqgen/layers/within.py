"""The layers that a layer has within: wrapped ones, and the cells of a recurrent one."""

from collections.abc import Iterable, Iterator

from seqgen.layers.base import Layer


def within(layer: Layer) -> Iterator[Layer]:
    """The layer itself, and then all that its arguments hold, at any depth."""
    yield layer
    for part in layer.parts:
        yield from within(part)


def keeps_states(layers: Iterable[Layer]) -> bool:
    """Whether a layer, or one within, goes on with a batch where the batch before ended."""
    return any(getattr(part, "stateful", False) for layer in layers for part in within(layer))
