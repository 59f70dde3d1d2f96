"""A model with models within as one chain of layers, and that chain as a graph."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from seqgen.errors import Fault, SpecError
from seqgen.ir.build import build_chain, first_data_format, input_type
from seqgen.ir.graph import Model
from seqgen.layers.arguments import DTYPES
from seqgen.layers.base import Layer
from seqgen.passes.dtype import with_dtype

if TYPE_CHECKING:
    from seqgen.spec.chain import Chain


class Leaf(NamedTuple):
    """A layer at its place below the outermost model.

    Attributes:
        path: Names of the models within and of the layer, joined by slashes.
        layer: The layer.
        trainable: False if it, or the outermost model, is frozen.
    """

    path: str
    layer: Layer
    trainable: bool


def flatten(model: "Chain") -> Iterator[Leaf]:
    """The layers of a model and of all models within, in order.

    As in Keras, being made with `trainable=False` counts for the outermost model only; setting
    the attribute sets that of every layer within.
    """
    for path, layer in _paths(model, ""):
        yield Leaf(path, layer, model.trainable and bool(layer.trainable))


def _paths(model: "Chain", prefix: str) -> Iterator[tuple[str, Layer]]:
    for item in model.layers:
        path = f"{prefix}{item.name}"
        if isinstance(item, Layer):
            yield path, item
        else:
            yield from _paths(item, f"{path}/")


def dtype_of(model: "Chain", leaves: list[Leaf]) -> str:
    """The one dtype of a model: its own, or that which all its layers have.

    Raises:
        SpecError: A layer has another one.
    """
    own = {leaf.layer.dtype for leaf in leaves}
    dtype = model.dtype or (own.pop() if len(own) == 1 else None) or "float32"
    faults = [
        Fault(
            f"expected '{dtype}' as in the whole model, received '{leaf.layer.dtype}'; give the "
            "model the dtype instead",
            "dtype",
            leaf.layer.label,
        )
        for leaf in leaves
        if leaf.layer.dtype not in (None, dtype)
    ]
    if faults:
        raise SpecError(faults)
    return dtype


def graph_of(model: "Chain") -> Model:
    """The typed graph of a built model, with copies of its layers.

    Raises:
        SpecError: What cannot be said as one chain with unique weights.
    """
    leaves = list(flatten(model))
    dtype = dtype_of(model, leaves)
    _check_unique(leaves)
    entry = model.entry
    data_format = first_data_format(leaf.layer for leaf in leaves)
    x = input_type(entry.shape or (), entry.dtype or dtype, data_format, entry.batch_size)
    if x.dtype in DTYPES and x.dtype != dtype:
        message = f"expected '{dtype}' as in the whole model, received '{x.dtype}'"
        raise SpecError(Fault(message, "dtype", "Input"))
    placed = [(leaf.path, _copy(leaf, dtype)) for leaf in leaves]
    graph = build_chain(model.name, entry.name, x, placed, dtype)
    _check_keys(graph)
    if dtype != "float32" and x.dtype not in DTYPES:
        # A layer that turns integers into numbers does not know the dtype of the model.
        return with_dtype(graph, dtype)
    return graph


def _copy(leaf: Leaf, dtype: str) -> Layer:
    """A layer as the graph holds it: with what the model says about it."""
    layer = leaf.layer
    if layer.trainable and not leaf.trainable and type(layer).__name__ == "BatchNormalization":
        # Keras would go on normalizing by the batch, while no other layer is trained.
        message = "it is trainable in a model that was made with trainable=False; freeze it too"
        raise layer.fault(message, "trainable")
    copy = layer.snapshot()
    copy.trainable = leaf.trainable or not layer.variables
    copy.dtype = None if copy.dtype == dtype else copy.dtype
    return copy


def _check_unique(leaves: list[Leaf]) -> None:
    paths = Counter(leaf.path for leaf in leaves)
    shared = Counter(id(leaf.layer) for leaf in leaves)
    for leaf in leaves:
        if paths[leaf.path] > 1:
            raise leaf.layer.fault(f"its place '{leaf.path}' is taken by another layer", "name")
        if shared[id(leaf.layer)] > 1:
            raise leaf.layer.fault("it is in the model more than once; layers are not shared")


def _check_keys(graph: Model) -> None:
    keys = Counter(weight.key for weight in graph.weights)
    twice = [key for key, count in keys.items() if count > 1]
    if twice:
        message = f"two weights would both be called '{twice[0]}'; rename a layer"
        raise SpecError(Fault(message, "name"))
