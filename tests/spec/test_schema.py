"""The JSON Schema takes what the reader takes, and refuses what an editor should underline."""

import contextlib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import seqgen
from seqgen.layers.base import LAYERS
from seqgen.spec.schema import json_schema
from tests.spec.graphs import GRAPHS, random_graph
from tests.spec.models import MODELS, model_of

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
    *("layer_within_of_another_kind", "name_of_a_layer_without_one", "names_taken_in_a_graph"),
    *("number_of_tensors", "nothing_says_which_input", "calls_of_what_is_no_layer"),
    *("nothing_between_input_and_output", "layers_that_lead_nowhere", "dtypes_in_a_graph"),
    *("a_layer_that_fits_the_first_call_only", "names_with_colons", "several_outputs_in_a_stack"),
    *("several_inputs_in_a_stack", "graph_for_each_step"),
    *("one_tensor_twice_for_a_model", "booleans_for_what_computes"),
}
NO_YAML = {"syntax", "tabs", "control_characters", "keys_are_no_names"}
SEEN = [case for case in FAULTS if "file" not in case and case["name"] not in UNSEEN | NO_YAML]


def test_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(LAYERS) <= set(SCHEMA["$defs"])


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_examples(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("make", [*MODELS, *GRAPHS], ids=lambda make: make.__name__)
def test_what_is_written(make: Any) -> None:
    VALIDATOR.validate(make(seqgen).to_dict())


def in_small_letters(arguments: dict[str, Any]) -> dict[str, Any]:
    """Keras takes some words in capitals too; editors need not offer that."""
    words = ("padding", "data_format", "interpolation")
    return {k: v.lower() if k in words and v else v for k, v in arguments.items()}


def spec_of(kind: str, shape: Any, arguments: Any) -> dict[str, Any]:
    """The spec of a model of one layer, whose input has this shape, or these if it has several."""
    if shape and isinstance(shape[0], list):
        inputs = {f"x{index}": each for index, each in enumerate(shape)}
        item = {kind: {**arguments, "from": list(inputs)}}
        return {"seqgen": 1, "inputs": inputs, "graph": [item]}
    where = "graph" if LAYERS[kind].is_operation else "layers"
    return {"seqgen": 1, "input": shape, where: [{kind: arguments}]}


@pytest.mark.parametrize("kind", sorted(CASES))
def test_every_layer(kind: str) -> None:
    for shape, arguments, *how in CASES[kind]:
        layer = LAYERS[kind].from_arguments(arguments)
        if isinstance(arguments.get("padding", ""), str):
            arguments = in_small_letters(arguments)
        VALIDATOR.validate(spec_of(kind, shape, arguments))
        assert not VALIDATOR.is_valid(spec_of(kind, shape, {**arguments, "nonsense": 1}))
        if how == ["cell"]:
            shape, layer = (None, shape[-1]), seqgen.layers.RNN(layer)
        VALIDATOR.validate(model_of(seqgen, layer, shape).to_dict())


def test_random_graphs() -> None:
    for seed in range(30):
        # Refused are names that are taken.
        with contextlib.suppress(seqgen.SpecError):
            VALIDATOR.validate(random_graph(seqgen, seed).to_dict())


@pytest.mark.parametrize(
    "item",
    [
        "Flatten",
        {"Dense": 3},
        {"Dense": {"units": 3, "from": "x"}},
        {"Dense": {"units": 3, "from": ["x:0"], "with": {"training": None}}},
        {"Add": {"from": ["x", "y"]}},
        {"call": "x"},
        {"call": {"layer": "x", "from": "y", "name": "z", "with": {"training": True}}},
        {"Sequential": ["Flatten"]},
        {"Sequential": {"layers": ["Flatten"], "from": "x"}},
        {"Model": {"input": [4], "graph": ["Flatten"], "from": "x", "outputs": "y"}},
        {"Model": {"inputs": {"a": [4], "b": {"shape": [5]}}, "graph": [{"Add": {"from": "x"}}]}},
    ],
    ids=str,
)
def test_items_of_a_graph(item: Any) -> None:
    VALIDATOR.validate({"seqgen": 1, "input": [4], "graph": [item]})


@pytest.mark.parametrize("case", SEEN, ids=lambda case: case["name"])
def test_faults(case: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(case["text"]))
