"""An ONNX file into a spec with its weights. Nothing of the file is run."""

import os
from pathlib import Path
from typing import Any

from seqgen.errors import SpecError, UnsupportedError
from seqgen.importers.onnx_arrays import FLOATS
from seqgen.importers.onnx_file import Network, Operator, Port, read
from seqgen.importers.onnx_gelu import with_gelus
from seqgen.importers.onnx_names import model_name
from seqgen.importers.onnx_operators import convert, is_channels_first, is_time_first
from seqgen.importers.onnx_values import Stack, Value, plain
from seqgen.importers.onnx_walk import Walk
from seqgen.ir.types import Dim, Permutation
from seqgen.layers.base import Layer
from seqgen.layers.core import Identity
from seqgen.spec.entry import Input
from seqgen.spec.flatten import flatten
from seqgen.spec.functional import Model
from seqgen.spec.sequential import Sequential
from seqgen.spec.tensors import Tensor
from seqgen.targets.onnx import ONNX
from seqgen.weights import Weights

# What an open batch is called; no size of a file has this name.
BATCH = "<batch>"


def from_onnx(path: str | os.PathLike[str]) -> Sequential | Model:
    """A spec with the weights of an ONNX file: a chain of layers, or a graph.

    The spec computes what the graph computes for every batch that the graph takes; where the graph
    fixes the size of the batch, the spec leaves it open. Where the first operators work on the
    channels behind the batch, the input of the spec has them last, as Keras has them, and so has an
    output that the layers leave so; the ONNX program that is generated from the spec takes and
    returns the very tensors of the file, and its manifest has the permutations. Transposes around
    such operators vanish. Where recurrent operators read an input as it is, its steps stand before
    its batch; the spec has the batch first, as Keras has it, and so have its outputs and programs.

    A constant that is added to or multiplied by each place of an axis becomes a frozen
    BatchNormalization with statistics that do nothing; to divide by one is to multiply by its
    reciprocals. Constants that several operators share are shared by layers where these are equal,
    and copied where they are not.

    Args:
        path: The file. Data beside it must lie in its folder or below; they are read when they are
            asked for, and the files must stay as they are until then.

    Raises:
        UnsupportedError: Operators have no exact layer; all are named, with their attributes.
        SeqgenError: It is no ONNX file, or it is broken.
    """
    network = with_gelus(read(Path(path)))
    walk = Walk(network, _batch(network), _dtype(network))
    entries = [_entry(walk, port) for port in network.inputs]
    walk.run(convert)
    outputs = _outputs(walk, entries)
    model = _model(walk, entries, outputs)
    _give_weights(model, walk)
    return model


# Inputs


def _batch(network: Network) -> Dim:
    """The one size of the batch, or a name if it is open."""
    sizes = [port.sizes[is_time_first(network, port)] for port in network.inputs]
    found = {size if isinstance(size, int) else BATCH for size in sizes}
    if not found:
        raise UnsupportedError("the graph has no input; it is a constant, and no model")
    if len(found) > 1:
        listed = ", ".join(f"{port.name} {port.sizes}" for port in network.inputs)
        raise UnsupportedError(f"expected inputs with one batch size, received {listed}")
    return found.pop()


def _dtype(network: Network) -> str:
    """The dtype of the inputs, or that of the constants if those hold no floats.

    Raises:
        UnsupportedError: There are several.
    """
    given = {port.dtype for port in network.inputs if port.dtype in FLOATS}
    constants = {array.dtype for array in network.constants.values()}
    given = given or constants.intersection(FLOATS)
    if len(given) > 1:
        raise UnsupportedError(f"expected one dtype of floats, received {', '.join(sorted(given))}")
    return next(iter(given), "float32")


def _entry(walk: Walk, port: Port) -> Input:
    """The input of the spec for one of the graph."""
    if is_time_first(walk.network, port):
        return _entry_of_steps(walk, port)
    sizes = port.sizes[1:]
    first = len(sizes) > 1 and is_channels_first(walk.network, port)
    placed = (*sizes[1:], sizes[0]) if first else sizes
    shape = tuple(size if isinstance(size, int) else None for size in placed)
    entry = Input(shape, dtype=port.dtype, name=walk.port_name(port.name))
    axes = plain(len(sizes) + 1)
    if first:
        axes = ((0,), (len(sizes),), *((axis,) for axis in range(1, len(sizes))))
    walk.values[port.name] = Value(entry.tensor, (walk.batch, *placed), axes)
    return entry


def _entry_of_steps(walk: Walk, port: Port) -> Input:
    """The input of the spec, which has the batch first, for one that has the steps first."""
    steps, _, *others = port.sizes
    sizes = (steps, *others)
    shape = tuple(size if isinstance(size, int) else None for size in sizes)
    entry = Input(shape, dtype=port.dtype, name=walk.port_name(port.name))
    axes = ((1,), (0,), *plain(len(port.sizes))[2:])
    walk.values[port.name] = Value(entry.tensor, (walk.batch, *sizes), axes)
    return entry


# Outputs


def _outputs(walk: Walk, entries: list[Input]) -> list[Tensor]:
    """The results, their axes as in the file, but for channels that programs lay out so anyway."""
    values = [_result(walk, name) for name in walk.network.outputs]
    native = _native(walk, entries, values)
    found = []
    for name, value, perm in zip(walk.network.outputs, values, native, strict=True):
        # What is made now is made for a result, and by no operator.
        walk.operator = Operator("Output", name, (), (name,), {}, 0)
        stays = value.is_plain and perm == tuple(axis for (axis,) in value.axes)
        found.append((value if stays else _arranged(walk, value)).tensor)
    return found


def _arranged(walk: Walk, value: Value) -> Value:
    """A result in the order of the file, but for a batch that stands second as in an input."""
    ports = (walk.values[port.name] for port in walk.network.inputs)
    steps = any(isinstance(port, Value) and port.axes[0] != (0,) for port in ports)
    if steps and value.axes[1:2] == ((0,),):
        return walk.arranged(value, (1, 0, *range(2, value.rank)))
    return walk.in_order(value)


def _result(walk: Walk, name: str) -> Value:
    value = walk.values[name]
    if isinstance(value, Stack):
        raise UnsupportedError(f"output '{name}': {Stack.advice}")
    if not isinstance(value, Value):
        raise UnsupportedError(f"output '{name}' is a constant, which no layer makes")
    return value


def _native(walk: Walk, entries: list[Input], values: list[Value]) -> list[Permutation | None]:
    """How the ONNX program of the spec lays out each result, if its inputs are turned as well."""
    ports = [walk.values[port.name] for port in walk.network.inputs]
    unknown: list[Permutation | None] = [None] * len(values)
    if all(isinstance(port, Value) and port.axes == plain(port.rank) for port in ports):
        return unknown
    if all(value.axes == plain(value.rank) for value in values):
        return unknown
    try:
        graph = Model(entries, [value.tensor for value in values], dtype=walk.dtype).graph()
        lowered = ONNX.lower(graph, "native")
    except UnsupportedError:
        return unknown
    return [lowered.by_name[name].perm for name in lowered.outputs]


# The model


def _model(walk: Walk, entries: list[Input], outputs: list[Tensor]) -> Sequential | Model:
    name, dtype = model_name(walk.network.name), walk.dtype
    dtype = None if dtype == "float32" else dtype
    chain = _chain(entries, outputs)
    try:
        if chain is not None:
            return Sequential([entries[0], *(chain or [Identity()])], name=name, dtype=dtype)
        return Model(entries, outputs, name=name, dtype=dtype)
    except SpecError as error:
        raise UnsupportedError(f"the graph is no model: {error}") from None


def _chain(entries: list[Input], outputs: list[Tensor]) -> list[Layer] | None:
    """The layers of a graph that is a chain; None if it is none, or has operations."""
    items: list[Any] = []
    tensor = outputs[0]
    while tensor.call is not None:
        items.append(tensor.call.item)
        if len(tensor.call.inputs) != 1 or items[-1].is_operation:
            return None
        (tensor,) = tensor.call.inputs
    different = len({id(item) for item in items}) == len(items)
    return items[::-1] if len(entries) == len(outputs) == 1 and different else None


def _give_weights(model: Sequential | Model, walk: Walk) -> None:
    own = walk.weights
    stored = {
        ".".join((*leaf.path.split("/"), *variable.parts)): array.lazy()
        for leaf in flatten(model)
        for variable, array in zip(leaf.layer.variables, own.get(id(leaf.layer), ()), strict=True)
    }
    if stored:
        model.set_store(Weights(stored))
