"""The JSON Schema takes what the reader takes, and refuses what an editor should underline."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import seqgen
from seqgen.layers.base import LAYERS
from seqgen.spec.schema import json_schema
from tests.spec.models import MODELS

ROOT = Path(__file__).parents[2]
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CASES = yaml.safe_load((ROOT / "tests" / "layers" / "cases.yaml").read_text())
FAULTS = yaml.safe_load((Path(__file__).parent / "faults.yaml").read_text())
# Faults that no schema can see: they lie in shapes, in names that meet, or in the text itself.
UNSEEN = {
    *("weights_too_large", "result_too_large", "kernel_larger_than_input", "rank_mismatch"),
    *("reshape_does_not_divide", "shape_in_a_nested_model", "duplicate_names", "mixed_dtypes"),
    *("name_of_the_input", "weights_with_one_key", "initializer_does_not_fit", "duplicate_keys"),
    *("number_too_large", "alias", "python_object", "two_documents"),
    "layer_within_of_another_kind",
}
NO_YAML = {"syntax", "tabs", "control_characters", "keys_are_no_names"}
SEEN = [case for case in FAULTS if "file" not in case and case["name"] not in UNSEEN | NO_YAML]


def test_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(LAYERS) <= set(SCHEMA["$defs"])


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_examples(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_what_is_written(make: Any) -> None:
    VALIDATOR.validate(make(seqgen).to_dict())


def in_small_letters(arguments: dict[str, Any]) -> dict[str, Any]:
    """Keras takes some words in capitals too; editors need not offer that."""
    words = ("padding", "data_format", "interpolation")
    return {k: v.lower() if k in words and v else v for k, v in arguments.items()}


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_every_layer(kind: str) -> None:
    for shape, arguments, *how in CASES[kind]:
        layer = LAYERS[kind].from_arguments(arguments)
        if isinstance(arguments.get("padding", ""), str):
            arguments = in_small_letters(arguments)
        long = {"seqgen": 1, "input": shape, "layers": [{kind: arguments}]}
        VALIDATOR.validate(long)
        if how == ["cell"]:
            shape, layer = (None, shape[-1]), seqgen.layers.RNN(layer)
        VALIDATOR.validate(seqgen.Sequential([seqgen.Input(shape), layer]).to_dict())
        assert not VALIDATOR.is_valid({**long, "layers": [{kind: {**arguments, "nonsense": 1}}]})


@pytest.mark.parametrize("case", SEEN, ids=lambda case: case["name"])
def test_faults(case: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(case["text"]))
