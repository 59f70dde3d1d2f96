"""From a list of layers to the typed graph: shapes, names and weights are inferred here."""

from collections.abc import Iterable
from dataclasses import replace

from seqgen.errors import Fault, SpecError
from seqgen.ir.graph import Input, Model, Node
from seqgen.ir.types import TIMED, TensorType, axis_names
from seqgen.layers.base import Layer, Weight


def first_data_format(layers: Iterable[Layer]) -> str:
    """The data format of the first layer that has one: it tells which axis of an input is which."""
    known = list(layers)
    formats = (getattr(layer, "data_format", None) for layer in known)
    data_format = next((data_format for data_format in formats if data_format), "channels_last")
    return TIMED + data_format if known and known[0].timed else data_format


def input_type(
    shape: Iterable[int | None], dtype: str, data_format: str, batch_size: int | None = None
) -> TensorType:
    """The type of a model's input; its open sizes take the names of their axes."""
    sizes = (batch_size, *shape)
    axes = axis_names(len(sizes), data_format)
    named = (axis if size is None else size for axis, size in zip(axes, sizes, strict=True))
    return TensorType(tuple(named), axes, dtype)


def infer(layer: Layer, x: TensorType, path: str) -> tuple[TensorType, tuple[Weight, ...]]:
    """Output type and weights of a layer at a place of the model.

    Raises:
        SpecError: The layer does not fit its input.
    """
    output = layer.output_type(x)
    sizes = (
        f"{path}.{axis}" if size is None else size
        for size, axis in zip(output.shape, output.axes, strict=True)
    )
    prefix = path.replace("/", ".")
    weights = tuple(
        replace(weight, key=f"{prefix}.{weight.name.replace('/', '.')}")
        for weight in layer.weight_types(x)
    )
    return replace(output, shape=tuple(sizes)), weights


def infer_mask(layer: Layer, source: Node, path: str, masks: dict[str, TensorType]) -> str | None:
    """Name of the layer whose mask holds for the output of a layer; None if there is no mask.

    Args:
        layer: The layer.
        source: What it reads.
        path: Its place in the model.
        masks: The types of the masks by the layers that make them; a new one is added.

    Raises:
        SpecError: The layer uses the mask, and it does not fit.
    """
    if source.mask is not None:
        layer.check_mask(source.type, masks[source.mask])
    made = layer.made_mask(source.type)
    if made is not None:
        masks[path] = made
        return path
    return source.mask if layer.passes_mask else None


def build_chain(
    name: str, entry: str, x: TensorType, placed: Iterable[tuple[str, Layer]], dtype: str
) -> Model:
    """The graph of a chain of layers.

    Args:
        name: Name of the model.
        entry: Name of its input.
        x: Type of the input.
        placed: The layers with their paths below the model.
        dtype: Of weights and computations.

    Raises:
        SpecError: With a fault for the first layer that does not fit its input.
    """
    nodes = [Node(entry, Input(), (), x, entry)]
    masks: dict[str, TensorType] = {}
    for path, layer in placed:
        if path == entry:
            raise SpecError(Fault("the input has the same name; rename one of them", "name", path))
        previous = nodes[-1]
        output, weights = infer(layer, previous.type, path)
        mask = infer_mask(layer, previous, path, masks)
        inputs, trainable = (previous.name,), layer.trainable
        nodes.append(Node(path, layer, inputs, output, path, weights, trainable, mask=mask))
    return Model(name, tuple(nodes), (entry,), (nodes[-1].name,), dtype)
