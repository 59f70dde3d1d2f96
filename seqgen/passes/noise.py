"""Layers that act in training only, said by as few kinds as there are."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
from seqgen.layers.applications import StochasticDepth
from seqgen.layers.regularization import Dropout, _Dropout, _SpatialDropout


def _shared(node: Node, shape: tuple[int | None, ...]) -> tuple[int | None, ...] | None:
    """The shape of the noise without the sizes that are the input's own; None if all are."""
    sizes = zip(shape, node.type.shape, strict=True)
    shape = tuple(None if own == size else own for own, size in sizes)
    return shape if any(shape) else None


def place_noise(model: Model) -> Model:
    """Say a dropout of whole channels or samples by the shape of its noise, as Keras does."""

    def placed(node: Node) -> list[Node] | None:
        layer, rank = node.layer, node.type.rank
        if isinstance(layer, StochasticDepth):
            layer = Dropout(layer.drop_path_rate, (None, *(1,) * (rank - 1)), name=layer.name)
        if isinstance(layer, _SpatialDropout):
            kept = (0, layer.channel_axis(rank))
            shape = tuple(None if axis in kept else 1 for axis in range(rank))
            layer = Dropout(layer.rate, shape, layer.seed, name=layer.name)
        elif not isinstance(layer, _Dropout) or layer.noise_shape is None:
            return None
        return [replace(node, layer=replace(layer, noise_shape=_shared(node, layer.noise_shape)))]

    return model.rewrite(placed)
