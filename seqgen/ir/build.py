"""From a list of layers to the typed graph: shapes, names and weights are inferred here."""

from collections.abc import Iterable
from dataclasses import replace

from seqgen.errors import Fault, SpecError
from seqgen.ir.graph import Input, Model, Node
from seqgen.ir.types import BATCH, TensorType, axis_names
from seqgen.layers.base import Layer, Weight


def first_data_format(layers: Iterable[Layer]) -> str:
    """The data format of the first layer that has one: it tells which axis of an input is which."""
    formats = (getattr(layer, "data_format", None) for layer in layers)
    return next((data_format for data_format in formats if data_format), "channels_last")


def input_type(shape: Iterable[int | None], dtype: str, data_format: str) -> TensorType:
    """The type of a model's input; its open sizes take the names of their axes."""
    sizes = tuple(shape)
    axes = axis_names(len(sizes) + 1, data_format)
    named = (axis if size is None else size for axis, size in zip(axes[1:], sizes, strict=True))
    return TensorType((BATCH, *named), axes, dtype)


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
    for path, layer in placed:
        if path == entry:
            raise SpecError(Fault("the input has the same name; rename one of them", "name", path))
        previous = nodes[-1]
        output, weights = infer(layer, previous.type, path)
        nodes.append(
            Node(path, layer, (previous.name,), output, path, weights, trainable=layer.trainable)
        )
    return Model(name, tuple(nodes), (entry,), (nodes[-1].name,), dtype)
