"""The JSON Schema of specs, made from what the layers declare: editors complete and check by it."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from seqgen.layers import all_layers
from seqgen.layers.arguments import BOOLEAN, DTYPE, JsonSchema, Kind
from seqgen.layers.base import Layer
from seqgen.spec.entry import BATCH_SIZE, MOST_AXES, SHAPE
from seqgen.spec.entry import DTYPE as INPUT_DTYPE
from seqgen.spec.graph_names import CALL, FROM, WITH
from seqgen.spec.names import LONGEST_NAME
from seqgen.spec.tensors import TRAINING
from seqgen.spec.writer import VERSION, first_argument
from seqgen.training.settings import Training

NAME: JsonSchema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "pattern": r"^[^/\u0000-\u001f\u007f]+$",
}
NULL: JsonSchema = {"type": "null"}
NOTHING: Mapping[str, Kind] = MappingProxyType({})
# What can be read in a graph: the name of an input or of a layer.
READ: JsonSchema = {"type": "string", "minLength": 1}
SEVERAL_READ: JsonSchema = {"type": "array", "minItems": 1, "items": READ}


def _object(properties: JsonSchema, required: list[str]) -> JsonSchema:
    made = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**made, "required": required} if required else made


def _required(kind: type[Layer]) -> list[str]:
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return [field.name for field in fields if field.default is dataclasses.MISSING]


def _layer(kind: type[Layer]) -> JsonSchema:
    """What stands behind the name of a layer: its arguments, or the first of them alone."""
    properties = {name: of.schema(kind.rank) for name, of in kind.kinds.items()}
    properties["name"] = {"anyOf": [NAME, NULL]}
    required, first = _required(kind), first_argument(kind)
    forms = [_object(properties, required)]
    if first is not None and set(required) <= {first}:
        forms.append(properties[first])
    if not required:
        forms.append(NULL)
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    return {"description": summary, "anyOf": forms}


def _edges(ports: tuple[str, ...] = (), arguments: Mapping[str, Kind] = NOTHING) -> JsonSchema:
    """What an item of a graph says besides the arguments of its layer."""
    reads = [READ, SEVERAL_READ]
    if ports:
        reads.append({**_object(dict.fromkeys(ports, READ), []), "minProperties": 1})
    known = {"training": TRAINING, **arguments}
    given = _object({name: of.schema(0) for name, of in known.items()}, [])
    return {FROM: {"anyOf": reads}, WITH: given}


def _node(kind: type[Layer], layer: JsonSchema) -> JsonSchema:
    """What stands behind the name of a layer in a graph: also what it reads.

    Args:
        kind: The layer.
        layer: Its definition, to which this one refers.
    """
    place = f"#/$defs/{kind.kind}/anyOf"
    alone, *short = range(len(layer["anyOf"]))
    arguments = layer["anyOf"][alone]["properties"]
    properties = {name: {"$ref": f"{place}/{alone}/properties/{name}"} for name in arguments}
    # Of an operation, numbers may stand for some of the tensors.
    ports = getattr(kind, "tensors", ()) if kind.is_operation else kind.ports
    properties |= _edges(ports, kind.call_arguments)
    forms = [_object(properties, _required(kind)), *({"$ref": f"{place}/{i}"} for i in short)]
    return {"description": layer["description"], "anyOf": forms}


def _input(named: bool) -> JsonSchema:
    shape = {**SHAPE.schema(0), "maxItems": MOST_AXES}
    keys = {"shape": shape, "batch_size": BATCH_SIZE.schema(0), "dtype": INPUT_DTYPE.schema(0)}
    return {"anyOf": [_object({**keys, **({"name": NAME} if named else {})}, ["shape"]), shape]}


def _model_keys() -> JsonSchema:
    return {
        "name": {"anyOf": [NAME, NULL]},
        "input": {"$ref": "#/$defs/input"},
        "dtype": DTYPE.schema(0),
        "trainable": BOOLEAN.schema(0),
        "weights": {"type": "string", "minLength": 1},
    }


def _stack(more: JsonSchema, required: list[str]) -> JsonSchema:
    """A model as a stack of layers, with more keys."""
    return _object({**_model_keys(), "layers": _items("layer"), **more}, [*required, "layers"])


def _graph(more: JsonSchema, required: list[str]) -> JsonSchema:
    """A model as a graph, with more keys: with one input, or several by name."""
    inputs = {"type": "object", "minProperties": 1, "propertyNames": NAME}
    inputs["additionalProperties"] = {"$ref": "#/$defs/named_input"}
    outputs = {"anyOf": [READ, SEVERAL_READ]}
    keys = {**_model_keys(), "inputs": inputs, "graph": _items("node"), "outputs": outputs, **more}
    one_or_several = {"oneOf": [{"required": ["input"]}, {"required": ["inputs"]}]}
    return {**_object(keys, [*required, "graph"]), **one_or_several}


def _items(definition: str) -> JsonSchema:
    return {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{definition}"}}


def _any_of(bare: list[str], by_name: JsonSchema) -> JsonSchema:
    """A name alone, or one of those with what stands behind it."""
    one = {**_object(by_name, []), "minProperties": 1, "maxProperties": 1}
    return {"anyOf": [{"enum": bare}, one]}


def _call() -> JsonSchema:
    """Another call of a layer."""
    return {"anyOf": [_object({"layer": NAME, "name": NAME, **_edges()}, ["layer"]), NAME]}


def _within(edges: JsonSchema) -> JsonSchema:
    """The models within a stack, or within a graph, where they say what they read."""
    return {
        "Sequential": {"anyOf": [_stack(edges, []), _items("layer")]},
        "Model": _graph(edges, []),
    }


def json_schema() -> JsonSchema:
    """The JSON Schema (draft 2020-12) of a spec, with a definition for each layer."""
    kinds = dict(sorted(all_layers().items()))
    layers = {name: _layer(kind) for name, kind in kinds.items()}
    nodes = {name: _node(kind, layers[name]) for name, kind in kinds.items()}
    bare = [name for name, kind in kinds.items() if not _required(kind)]
    # Only graphs hold operations.
    own = [name for name, kind in kinds.items() if not kind.is_operation]
    stacked = {name: {"$ref": f"#/$defs/{name}"} for name in [*own, "Sequential", "Model"]}
    definitions: dict[str, Any] = {
        "layer": _any_of([name for name in bare if name in own], stacked),
        "node": _any_of(bare, {**nodes, **_within(_edges()), CALL: _call()}),
        "input": _input(named=True),
        "named_input": _input(named=False),
        **layers,
        **_within({}),
    }
    top: JsonSchema = {
        "$schema": {"type": "string"},
        "seqgen": {"const": VERSION},
        "training": _object({k: v.schema(0) for k, v in Training.kinds().items()}, ["loss"]),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A spec of seqgen: a stack of layers, or a graph of them",
        "if": {"required": ["graph"]},
        "then": _graph(top, ["seqgen"]),
        "else": _stack(top, ["seqgen"]),
        "$defs": definitions,
    }
