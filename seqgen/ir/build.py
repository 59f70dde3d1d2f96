"""From a list of layers to the typed graph: shapes, names and weights are inferred here."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.ir.attached import Attached
from seqgen.ir.graph import Input, Model, Nested, Node
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


def infer(
    layer: Layer, xs: tuple[TensorType, ...], path: str
) -> tuple[TensorType, tuple[Weight, ...]]:
    """Output type and weights of a layer at a place of the model.

    Raises:
        SpecError: The layer does not fit its inputs.
    """
    layer.check_count(len(xs))
    _check_booleans(layer, xs)
    output = named_sizes(layer.output_type(*xs), path)
    prefix = path.replace("/", ".")
    weights = tuple(
        replace(weight, key=f"{prefix}.{weight.name.replace('/', '.')}")
        for weight in layer.weight_types(*xs)
    )
    return output, weights


def _check_booleans(layer: Layer, xs: tuple[TensorType, ...]) -> None:
    for place, x in enumerate(xs):
        if x.dtype == "bool" and place not in layer.boolean_inputs:
            message = "expected numbers, received booleans, which are an attention_mask only"
            raise layer.fault(f"{message}; give the input another dtype")


def named_sizes(x: TensorType, path: str) -> TensorType:
    """The type with names for the sizes that the layer at a place of the model leaves open."""
    sizes = (
        f"{path}.{axis}" if size is None else size
        for size, axis in zip(x.shape, x.axes, strict=True)
    )
    return replace(x, shape=tuple(sizes))


class Builder:
    """A typed graph in the making.

    Args:
        name: Name of the model.
        dtype: Of weights and computations.
    """

    def __init__(self, name: str, dtype: str) -> None:
        self._name = name
        self._dtype = dtype
        self._nodes: dict[str, Node] = {}
        # The types of the masks by the layers that make them.
        self._masks: dict[str, TensorType] = {}
        self._attached = Attached()
        self.nested: list[Nested] = []

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def enter(self, name: str, x: TensorType) -> str:
        """Put an input."""
        self._nodes[name] = Node(name, Input(), (), x, name)
        return name

    def add(
        self,
        layer: Layer,
        path: str,
        inputs: tuple[str, ...],
        name: str = "",
        arguments: tuple[tuple[str, Any], ...] = (),
        same_as: str = "",
    ) -> str:
        """Put a layer, and return the name of its node.

        Args:
            layer: The layer.
            path: Its place in the spec.
            inputs: Names of the nodes that it reads.
            name: Of the node, if it is not the path.
            arguments: What it is called with besides tensors.
            same_as: Name of the first node of the layer, if it was put before.

        Raises:
            SpecError: It does not fit its inputs.
        """
        name = name or path
        if name in self._nodes:
            raise SpecError(Fault("the input has the same name; rename one of them", "name", name))
        sources = tuple(self._nodes[read] for read in inputs)
        output, weights = infer(layer, tuple(source.type for source in sources), path)
        node = Node(name, layer, inputs, output, name, weights, layer.trainable)
        node = replace(node, mask=self._mask(layer, sources, name, path, dict(arguments)))
        known = tuple(source.mask for source in sources)
        bare = len(inputs) == 1 and not (arguments or layer.takes_list)
        found = self._attached.read(layer, name, inputs, known, bare)
        node = replace(node, masks=found if len(inputs) > 1 or found != known else ())
        self._attached.called(layer, name, inputs, bare, node.mask == name and len(inputs) == 1)
        self._nodes[name] = replace(node, arguments=arguments, same_as=same_as)
        return name

    def _mask(
        self,
        layer: Layer,
        sources: tuple[Node, ...],
        name: str,
        path: str,
        arguments: dict[str, Any],
    ) -> str | None:
        """Name of the layer whose mask holds for the output of a layer; None if there is none."""
        types = tuple(source.type for source in sources)
        names = [source.mask for source in sources]
        masks = tuple(None if mask is None else self._masks[mask] for mask in names)
        layer.check_call(types, masks, arguments)
        if layer.mask_of_first:
            return names[0]
        if len(sources) == 1:
            made, kept = layer.made_mask(*types), names[0] if layer.passes_mask else None
        else:
            made = layer.joined_mask(types, masks)
            kept = names[0] if len(set(names)) == 1 and made == masks[0] else None
            made = None if kept else made
        if made is None:
            return kept
        self._masks[name] = named_sizes(made, path)
        return name

    def model(
        self, inputs: tuple[str, ...], outputs: tuple[str, ...], sequential: bool = True
    ) -> Model:
        """The graph."""
        nodes, nested = tuple(self._nodes.values()), tuple(self.nested)
        return Model(self._name, nodes, inputs, outputs, self._dtype, sequential, nested)


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
    made = Builder(name, dtype)
    last = made.enter(entry, x)
    for path, layer in placed:
        last = made.add(layer, path, (last,))
    return made.model((entry,), (last,))
