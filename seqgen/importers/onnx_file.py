"""An ONNX file as operators and constants, read without running or trusting anything of it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from seqgen.errors import SeqgenError, UnsupportedError
from seqgen.importers.objects import Refusals
from seqgen.importers.onnx_arrays import DTYPES, Array, array_of
from seqgen.ir.types import Dim
from seqgen.layers.arguments import short

OWN_DOMAINS = ("", "ai.onnx")
# A protobuf message ends there.
LARGEST_FILE = 2**31
OLDEST = 7
INPUT_DTYPES = ("float16", "float32", "float64", "int32", "int64")


@dataclass(frozen=True)
class Port:
    """An input of the graph: its name, its dtype, and its sizes, those left open by name."""

    name: str
    dtype: str
    sizes: tuple[Dim, ...]


@dataclass(frozen=True)
class Operator:
    """An operator of the graph.

    Attributes:
        kind: What it computes.
        name: Its name, which may be empty.
        inputs: Names of what it reads; empty for what is left out.
        outputs: Names of what it makes.
        attributes: Their values by name.
        opset: The version that says what it means.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int

    @property
    def label(self) -> str:
        """How errors name it."""
        made = next((name for name in self.outputs if name), "")
        return f"{self.kind} '{self.name or made}'"

    def refuse(self, message: str, attribute: str | None = None) -> NoReturn:
        """Raise an `UnsupportedError` that names the operator."""
        place = f"{self.label}: attribute '{attribute}'" if attribute else self.label
        raise UnsupportedError(f"{place}: {message}")

    def reads(self, place: int) -> str:
        """The name of what it reads at a place; empty if there is nothing."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def _attribute(self, name: str, kind: type, default: Any) -> Any:
        value = self.attributes.get(name, default)
        if not isinstance(value, kind) and value is not default:
            self.refuse(f"expected a value of type {kind.__name__}, received {short(value)}", name)
        return value

    def integer(self, name: str, default: Any = 0) -> Any:
        """An attribute that is a whole number."""
        return self._attribute(name, int, default)

    def real(self, name: str, default: Any = 0.0) -> Any:
        """An attribute that is a number."""
        return self._attribute(name, float, default)

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is a text."""
        return str(self._attribute(name, str, default))

    def integers(self, name: str, count: int | None = None, default: Any = None) -> Any:
        """An attribute that is a tuple of whole numbers, of some length if one is given."""
        values = self._attribute(name, tuple, default)
        if values is default:
            return default
        fits = count is None or len(values) == count
        if not fits or not all(isinstance(value, int) for value in values):
            expected = "whole numbers" if count is None else f"{count} whole numbers"
            self.refuse(f"expected {expected}, received {short(values)}", name)
        return values


@dataclass(frozen=True)
class Network:
    """The graph of a file.

    Attributes:
        name: Its name.
        operators: All that lead to an output, each behind those that it reads.
        constants: The initializers by name.
        inputs: What is given.
        outputs: Names of the results.
        readers: What reads each tensor; a result has one reader more, which is None.
        folder: Where data outside of the file lie.
    """

    name: str
    operators: tuple[Operator, ...]
    constants: dict[str, Array]
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    readers: dict[str, list[Operator | None]]
    folder: Path


def read(path: Path) -> Network:
    """The graph of a file.

    Raises:
        SeqgenError: It is no ONNX file, or it is broken.
        UnsupportedError: It is of a kind that is not read; everything that is wrong is named.
    """
    model = _parsed(path)
    refusals = Refusals()
    opset = _opset(model, refusals)
    graph = model.graph
    if model.functions:
        listed = ", ".join(sorted({function.name for function in model.functions}))
        hint = "inline them first with onnx.inliner.inline_local_functions"
        refusals.add(f"the file has functions of its own ({listed}); {hint}")
    if graph.sparse_initializer:
        refusals.add("the file has sparse initializers; make them dense")
    refusals.check()
    constants = _constants(graph, path.parent, refusals)
    inputs = [item for item in graph.input if item.name not in constants]
    ports = tuple(_ports(inputs, refusals))
    operators = [_operator(node, opset, path.parent, refusals) for node in graph.node]
    outputs = tuple(item.name for item in graph.output)
    refusals.check()
    _check_order(operators, {*constants, *(item.name for item in inputs)}, outputs)
    made = Network(graph.name, tuple(operators), constants, ports, outputs, {}, path.parent)
    return connected(made)


def connected(network: Network) -> Network:
    """A graph with those operators only that lead to an output, and what reads each tensor."""
    needed = tuple(_needed(network.operators, network.outputs))
    readers: defaultdict[str, list[Operator | None]] = defaultdict(list)
    for operator in needed:
        for name in operator.inputs:
            readers[name].append(operator)
    for name in network.outputs:
        readers[name].append(None)
    return replace(network, operators=needed, readers=readers)


def _parsed(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        if path.stat().st_size > LARGEST_FILE:
            raise SeqgenError(f"{path} is larger than an ONNX file can be")
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise SeqgenError(f"cannot read {path}: {error.strerror or error}") from None
    except (DecodeError, ValueError, RecursionError) as error:
        raise SeqgenError(f"{path} is no ONNX file, or it is broken: {error}") from None
    if not model.graph.node and not model.graph.output:
        raise SeqgenError(f"{path} holds no graph; it is no ONNX file, or it is broken")
    if not all(isinstance(text, str) for text in _texts(model)):
        raise SeqgenError(f"{path} is broken: it holds a name that is no text in UTF-8")
    return model


def _texts(model: Any) -> Iterator[Any]:
    """All names of a file."""
    graph = model.graph
    yield graph.name
    for item in [*model.opset_import, *model.functions]:
        yield item.domain
    for item in [*graph.initializer, *graph.input, *graph.output, *model.functions]:
        yield item.name
    for tensor in graph.initializer:
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)
    for item in graph.input:
        yield from (size.dim_param for size in item.type.tensor_type.shape.dim)
    for node in graph.node:
        yield from (node.op_type, node.name, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)


def _opset(model: Any, refusals: Refusals) -> int:
    versions = {item.domain: item.version for item in model.opset_import}
    opset = next((versions[domain] for domain in OWN_DOMAINS if domain in versions), 0)
    if opset < OLDEST:
        said = f"opset {opset}" if opset else "no opset"
        hint = "convert the file with onnx.version_converter"
        refusals.add(f"expected operators of opset {OLDEST} or later, received {said}; {hint}")
    return opset


def _constants(graph: Any, folder: Path, refusals: Refusals) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for tensor in graph.initializer:
        if not tensor.name or tensor.name in found:
            raise SeqgenError(f"two constants, or one without a name: '{tensor.name}'")
        try:
            found[tensor.name] = array_of(tensor, tensor.name, folder)
        except UnsupportedError as error:
            refusals.add(str(error))
    return found


def _ports(inputs: list[Any], refusals: Refusals) -> Iterator[Port]:
    for item in inputs:
        kind = item.type.tensor_type
        dtype, _ = DTYPES.get(kind.elem_type, ("", ""))
        if not item.type.HasField("tensor_type") or dtype not in INPUT_DTYPES:
            expected = f"expected a tensor of {', '.join(INPUT_DTYPES)}"
            received = dtype or str(item.type.WhichOneof("value"))
            refusals.add(f"input '{item.name}': {expected}; received {received}")
            continue
        if not kind.HasField("shape"):
            refusals.add(f"input '{item.name}': its shape is not known; export it with one")
            continue
        sizes = tuple(
            size.dim_value if size.HasField("dim_value") else size.dim_param or f"{item.name}.{at}"
            for at, size in enumerate(kind.shape.dim)
        )
        if not sizes or any(isinstance(size, int) and size < 1 for size in sizes):
            message = "expected a batch axis, and sizes of at least 1"
            refusals.add(f"input '{item.name}': {message}; received {short(sizes)}")
            continue
        yield Port(item.name, dtype, sizes)


# The numbers of AttributeProto.AttributeType, and the fields that hold values.
FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings"}


def _operator(node: Any, opset: int, folder: Path, refusals: Refusals) -> Operator:
    kind = node.op_type if node.domain in OWN_DOMAINS else f"{node.domain}.{node.op_type}"
    made = Operator(kind, node.name, tuple(node.input), tuple(node.output), {}, opset)
    for item in node.attribute:
        try:
            made.attributes[item.name] = _value(item, made.label, folder)
        except UnsupportedError as error:
            refusals.add(f"{made.label}: attribute '{item.name}': {error}")
    return made


def _value(item: Any, name: str, folder: Path) -> Any:
    """The value of an attribute: texts decoded, lists as tuples, tensors as arrays."""
    if item.ref_attr_name or item.type not in FIELDS:
        raise UnsupportedError("a value of a kind that is not read")
    value = getattr(item, FIELDS[item.type])
    if FIELDS[item.type] == "t":
        return array_of(value, name, folder)
    if FIELDS[item.type] == "g":
        raise UnsupportedError("a graph within the operator, which no layer says; export without")
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, (int, float)) else tuple(value)


def _check_order(operators: list[Operator], known: set[str], outputs: tuple[str, ...]) -> None:
    """Raise a `SeqgenError` if something is read before it is made, or made twice."""
    for operator in operators:
        for name in operator.inputs:
            if name and name not in known:
                message = f"it reads '{name}', which is not made before it; the graph is broken"
                raise SeqgenError(f"{operator.label}: {message}, or it has a cycle")
        for name in operator.outputs:
            if name and name in known:
                raise SeqgenError(f"{operator.label}: '{name}' is made twice; the graph is broken")
            known.add(name)
    missing = [name for name in outputs if not name or name not in known]
    if missing or not outputs:
        said = f"'{missing[0]}'" if missing else "none at all"
        raise SeqgenError(f"expected outputs that the graph makes, received {said}")


def _needed(operators: Sequence[Operator], outputs: tuple[str, ...]) -> list[Operator]:
    """The operators that lead to an output."""
    asked, found = set(outputs), []
    for operator in reversed(operators):
        if asked.intersection(name for name in operator.outputs if name):
            asked.update(operator.inputs)
            found.append(operator)
    return found[::-1]
