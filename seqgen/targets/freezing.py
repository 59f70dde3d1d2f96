"""Layers that Keras freezes only once they are built, and where a program finds them."""

from collections.abc import Iterator

from seqgen.ir.graph import Model
from seqgen.layers.attention import _Heads
from seqgen.layers.base import Layer
from seqgen.layers.block import _Block
from seqgen.layers.conv_lstm import _ConvLSTM
from seqgen.layers.within import within
from seqgen.layers.wrappers import Bidirectional
from seqgen.render import literal

# Their constructors do not pass `trainable` on: to projections, which are made when the layer is
# built, and to the cell.
UNTOLD = (_Heads, _ConvLSTM)


def is_frozen_later(layer: Layer) -> bool:
    """Whether a layer is frozen as a whole, but only once it is built.

    Its constructor has to leave `trainable` out: with TensorFlow, an attribute that is set to what
    it is already is not set at all, so that the layers within never hear of it.
    """
    return not layer.trainable and any(isinstance(part, UNTOLD) for part in within(layer))


def _placed(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """The layers inside, each with what Keras calls its place."""
    if isinstance(layer, Bidirectional):
        yield ".forward_layer", layer.layer
        yield ".backward_layer", layer.backward_layer or layer.layer
    elif isinstance(layer, _Block):
        yield from ((_got(part.name or part.auto_name), part) for part in layer.layers)
    else:
        yield from ((".layer", part) for part in layer.parts)


def _got(name: str) -> str:
    return f".get_layer({literal(name)})"


def _ways(layer: Layer) -> Iterator[str]:
    """The ways from a layer to those that are frozen later; an empty one if it is the layer."""
    if is_frozen_later(layer):
        yield ""
        return
    for place, part in _placed(layer):
        yield from (f"{place}{way}" for way in _ways(part))


def frozen_later(model: Model) -> list[str]:
    """What a program adds to a model to get each layer that it freezes once the model is built."""
    return [
        "".join(map(_got, node.name.split("/"))) + way
        for node in model.layers
        if not node.same_as
        for way in _ways(node.layer)
    ]
