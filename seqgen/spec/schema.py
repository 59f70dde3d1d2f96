"""The JSON Schema of specs, made from what the layers declare: editors complete and check by it."""

import dataclasses
from typing import Any

from seqgen.layers import all_layers
from seqgen.layers.arguments import BOOLEAN, DTYPE, JsonSchema
from seqgen.layers.base import Layer
from seqgen.spec.entry import BATCH_SIZE, MOST_AXES, SHAPE
from seqgen.spec.entry import DTYPE as INPUT_DTYPE
from seqgen.spec.names import LONGEST_NAME
from seqgen.spec.writer import VERSION, first_argument

NAME: JsonSchema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "pattern": r"^[^/\u0000-\u001f\u007f]+$",
}
NULL: JsonSchema = {"type": "null"}


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


def _input() -> JsonSchema:
    shape = {**SHAPE.schema(0), "maxItems": MOST_AXES}
    keys = {
        "shape": shape,
        "batch_size": BATCH_SIZE.schema(0),
        "dtype": INPUT_DTYPE.schema(0),
        "name": NAME,
    }
    return {"anyOf": [_object(keys, ["shape"]), shape]}


def _model_keys() -> JsonSchema:
    return {
        "name": {"anyOf": [NAME, NULL]},
        "input": {"$ref": "#/$defs/input"},
        "dtype": DTYPE.schema(0),
        "trainable": BOOLEAN.schema(0),
        "layers": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/layer"}},
    }


def _any_layer(kinds: dict[str, type[Layer]]) -> JsonSchema:
    bare = [name for name, kind in kinds.items() if not _required(kind)]
    by_name = {name: {"$ref": f"#/$defs/{name}"} for name in [*kinds, "Sequential"]}
    one = {**_object(by_name, []), "minProperties": 1, "maxProperties": 1}
    return {"anyOf": [{"enum": bare}, one]}


def json_schema() -> JsonSchema:
    """The JSON Schema (draft 2020-12) of a spec, with a definition for each layer."""
    kinds = dict(sorted(all_layers().items()))
    nested = _object(_model_keys(), ["layers"])
    definitions: dict[str, Any] = {
        "layer": _any_layer(kinds),
        "input": _input(),
        **{name: _layer(kind) for name, kind in kinds.items()},
        "Sequential": {"anyOf": [nested, _model_keys()["layers"]]},
    }
    top: JsonSchema = {
        "$schema": {"type": "string"},
        "seqgen": {"const": VERSION},
        **_model_keys(),
        "weights": {"type": "string", "minLength": 1},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Sequential spec of seqgen",
        **_object(top, ["seqgen", "layers"]),
        "$defs": definitions,
    }
