"""A model with models within as one list of layers, and as one graph."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from seqgen.errors import Fault, SpecError
from seqgen.ir.build import Builder, first_data_format, input_type
from seqgen.ir.graph import Input, Model, Nested, Node
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import DTYPES
from seqgen.layers.base import Layer
from seqgen.passes.dtype import with_dtype

if TYPE_CHECKING:
    from seqgen.spec.container import Container, Reading
    from seqgen.spec.entry import Input as Entry


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


def flatten(model: "Container") -> Iterator[Leaf]:
    """The layers of a model and of all models within, each once, in order.

    As in Keras, being made with `trainable=False` counts for the outermost model only; setting
    the attribute sets that of every layer within.
    """
    seen: set[int] = set()
    for path, layer in _paths(model, ""):
        if id(layer) not in seen:
            seen.add(id(layer))
            yield Leaf(path, layer, model.trainable and bool(layer.trainable))


def _paths(model: "Container", prefix: str) -> Iterator[tuple[str, Layer]]:
    for item in model.items:
        path = f"{prefix}{item.name}"
        if isinstance(item, Layer):
            yield path, item
        else:
            yield from _paths(item, f"{path}/")


def common_dtype(model: "Container") -> str | None:
    """The dtype that all layers of a model have."""
    own = {leaf.layer.dtype for leaf in flatten(model)}
    return own.pop() if len(own) == 1 else None


def dtype_of(model: "Container", leaves: list[Leaf]) -> str:
    """The one dtype of a model: its own, or that which all its layers have.

    Raises:
        SpecError: A layer has another one.
    """
    dtype = model.dtype or common_dtype(model) or "float32"
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


def entry_types(model: "Container", dtype: str) -> list[TensorType]:
    """The types of a model's inputs, each with the axes that the first layer behind it tells.

    Raises:
        SpecError: An input has another dtype than the model.
    """
    entries = model.entries
    made = []
    for index, entry in enumerate(entries):
        data_format = first_data_format(_behind(model, index))
        shape, batch = entry.shape or (), entry.batch_size
        x = input_type(shape, entry.dtype or dtype, data_format, batch)
        if x.dtype in DTYPES and x.dtype != dtype:
            message = f"expected '{dtype}' as in the whole model, received '{x.dtype}'"
            raise SpecError(Fault(message, "dtype", "Input"))
        made.append(x if len(entries) == 1 else _with_own_sizes(entry, x))
    return made


def _with_own_sizes(entry: "Entry", x: TensorType) -> TensorType:
    """The type of one of several inputs: its open sizes have nothing to do with those of others."""
    batch, *sizes = x.shape
    own = (size if isinstance(size, int) else f"{entry.name}.{size}" for size in sizes)
    return replace(x, shape=(batch, *own))


def _behind(model: "Container", index: int) -> Iterator[Layer]:
    """The layers that an input of a model leads to, in order."""
    reached = {(0, index)}
    for number, reading in enumerate(model.steps, 1):
        if reached.isdisjoint(reading.reads):
            continue
        if isinstance(reading.item, Layer):
            reached.add((number, 0))
            yield reading.item
            continue
        for port, read in enumerate(reading.reads):
            if read in reached:
                yield from _behind(reading.item, port)
        reached |= {(number, output) for output in range(len(reading.item.results))}


class _Graph:
    """The graph of a model in the making.

    Args:
        model: The model.
        dtype: Of weights and computations.
        leaves: Its layers.
    """

    def __init__(self, model: "Container", dtype: str, leaves: list[Leaf]) -> None:
        self._dtype = dtype
        self._made = Builder(model.name, dtype)
        self._copies = {id(leaf.layer): _copy(leaf, dtype) for leaf in leaves}
        self._places = {id(leaf.layer): leaf.path for leaf in leaves}
        # The first path of what was called so far, by the layer or model, and all paths.
        self._first: dict[int, str] = {}
        self._paths: set[str] = set()
        self._taken = {leaf.path for leaf in leaves} | {entry.name for entry in model.entries}
        self._model = model

    def build(self) -> Model:
        """The graph."""
        model = self._model
        types = zip(model.entries, entry_types(model, self._dtype), strict=True)
        entries = tuple(self._made.enter(entry.name, x) for entry, x in types)
        outputs = self._run(model, entries, "")
        sequential = hasattr(model, "add")
        return self._made.model(entries, outputs, sequential)

    def _run(self, model: "Container", inputs: tuple[str, ...], prefix: str) -> tuple[str, ...]:
        """Put what a model consists of, and return the names of the nodes that are its outputs."""
        values: list[tuple[str, ...]] = [inputs]
        for reading in model.steps:
            read = tuple(values[step][index] for step, index in reading.reads)
            values.append(self._step(reading, read, prefix))
        return tuple(values[step][index] for step, index in model.results)

    def _step(self, reading: "Reading", read: tuple[str, ...], prefix: str) -> tuple[str, ...]:
        item, name = reading.item, self._name(reading, prefix)
        first = self._first[id(item)]
        same_as = "" if first == name else first
        if isinstance(item, Layer):
            copy, path = self._copies[id(item)], self._places[id(item)]
            return (self._made.add(copy, path, read, name, reading.arguments, same_as),)
        if len(set(read)) < len(read):
            message = "it takes the same tensor twice; put an Identity before one of its inputs"
            raise SpecError(Fault(message, None, item.label))
        place = len(self._made.nested)
        given = self._run(item, read, f"{name}/")
        types = zip(item.entries, entry_types(item, self._dtype), strict=True)
        entries = tuple(Node(entry.name, Input(), (), x, entry.name) for entry, x in types)
        arguments, sequential = reading.arguments, hasattr(item, "add")
        call = Nested(name, same_as, sequential, entries, read, given, arguments)
        self._made.nested.insert(place, call)
        return given

    def _name(self, reading: "Reading", prefix: str) -> str:
        """What a call is called: its first one as the layer or model, others with a number."""
        item = reading.item
        again = id(item) in self._first
        own = f"{prefix}{(again and reading.name) or item.name}"
        name, number = own, 1
        while name in self._paths or (again and name in self._taken):
            name, number = f"{own}_{number}", number + 1
        self._first.setdefault(id(item), name)
        self._paths.add(name)
        return name


def graph_of(model: "Container") -> Model:
    """The typed graph of a built model, with copies of its layers.

    Raises:
        SpecError: What cannot be said as one graph with unique weights.
    """
    leaves = list(flatten(model))
    dtype = dtype_of(model, leaves)
    _check_unique(leaves)
    graph = _Graph(model, dtype, leaves).build()
    _check_keys(graph)
    if dtype != "float32" and any(entry not in DTYPES for entry in _entry_dtypes(graph)):
        # A layer that turns integers into numbers does not know the dtype of the model.
        return with_dtype(graph, dtype)
    return graph


def _entry_dtypes(graph: Model) -> list[str]:
    return [graph.by_name[name].type.dtype for name in graph.inputs]


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
    for leaf in leaves:
        if paths[leaf.path] > 1:
            raise leaf.layer.fault(f"its place '{leaf.path}' is taken by another layer", "name")


def _check_keys(graph: Model) -> None:
    owners: dict[str, str] = {}
    for node in graph.nodes:
        for weight in node.weights:
            if owners.setdefault(weight.key, node.same_as or node.name) != (
                node.same_as or node.name
            ):
                message = f"two weights would both be called '{weight.key}'; rename a layer"
                raise SpecError(Fault(message, "name"))
