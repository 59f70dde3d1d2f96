"""Damaged configs of graphs: each is one clear error, and never a traceback or a hang."""

import contextlib
import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import seqgen
from seqgen.errors import SeqgenError
from seqgen.importers.config import spec_of
from seqgen.importers.legacy_config import spec_of_legacy
from seqgen.spec.files import from_plain

keras = pytest.importorskip("keras")

from tests.importers import functional_models  # noqa: E402
from tests.importers.test_keras_2_graphs import shared_and_nested  # noqa: E402


def config_of(make: Callable[[], Any]) -> Any:
    keras.backend.clear_session()
    return json.loads(make().to_json())


@pytest.fixture(scope="module")
def residual() -> Any:
    return config_of(functional_models.residual)


@pytest.fixture(scope="module")
def twice() -> Any:
    return config_of(functional_models.nested_twice)


def layer(config: Any, name: str) -> Any:
    return next(item for item in config["config"]["layers"] if item["name"] == name)


def source(config: Any, name: str, call: int = 0) -> Any:
    """The place of the first tensor that a call of a layer reads."""
    args = layer(config, name)["inbound_nodes"][call]["args"]
    found = args[0] if isinstance(args[0], dict) else args[0][0]
    return found["config"]


def set_source(name: str, *place: Any, call: int = 0) -> Callable[[Any], None]:
    return lambda config: source(config, name, call).update(keras_history=list(place))


def set_config(**values: Any) -> Callable[[Any], None]:
    return lambda config: config["config"].update(values)


def set_calls(name: str, calls: Any) -> Callable[[Any], None]:
    return lambda config: layer(config, name).update(inbound_nodes=calls)


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "circle": (set_source("inner", "subtract", 0, 0), "circle, among them 'inner', 'subtract'"),
    "itself": (set_source("inner", "inner", 0, 0), "circle, among them 'inner'"),
    "the_second_call_first": (set_source("inner", "inner", 1, 0), "circle, among them 'inner'"),
    "unknown_layer": (set_source("subtract", "none", 0, 0), "'subtract': .*'none', 0, 0"),
    "unknown_call": (set_source("subtract", "inner", 2, 0), "'subtract': .*'inner', 2, 0"),
    "negative_call": (set_source("subtract", "inner", -1, 0), "'subtract': .*'inner', -1, 0"),
    "unknown_tensor": (set_source("subtract", "inner", 0, 2), "'subtract': .*'inner', 0, 2"),
    "negative_tensor": (set_source("subtract", "inner", 0, -1), "'subtract': .*'inner', 0, -1"),
    "second_tensor_of_an_input": (set_source("inner", "left", 0, 1), "'inner': .*'left', 0, 1"),
    "call_is_a_flag": (set_source("subtract", "inner", True, 0), "'subtract': it reads a tensor"),
    "tensor_is_a_text": (set_source("subtract", "inner", 0, "0"), "'subtract': it reads a tensor"),
    "layer_is_a_number": (set_source("subtract", 1, 0, 0), "'subtract': it reads a tensor"),
    "no_place": (set_source("subtract"), "'subtract': it reads a tensor"),
    "same_names": (
        lambda config: layer(config, "subtract").update(name="inner"),
        "'inner': another layer of the graph has the same name",
    ),
    "name_of_an_input": (
        lambda config: layer(config, "subtract").update(name="left"),
        "'left': another layer of the graph has the same name",
    ),
    "name_is_a_number": (lambda c: layer(c, "subtract").update(name=1), "Subtract has no name"),
    "never_called": (set_calls("subtract", []), "'subtract': the config says nowhere"),
    "calls_are_a_text": (set_calls("subtract", "x"), "'subtract': the config says nowhere"),
    "call_is_a_number": (set_calls("subtract", [1]), "'subtract': call 0 has no args"),
    "args_are_a_number": (
        set_calls("subtract", [{"args": 1, "kwargs": {}}]),
        "'subtract': call 0 has no args",
    ),
    "called_on_nothing": (
        set_calls("subtract", [{"args": [], "kwargs": {}}]),
        "Subtract 'subtract': it is called on something else",
    ),
    "called_on_a_number": (
        set_calls("subtract", [{"args": [1.0], "kwargs": {}}]),
        "Subtract 'subtract': it is called on something else",
    ),
    "no_layers": (set_config(layers=[]), "inputs"),
    "layers_are_a_number": (set_config(layers=1), "no list of layers"),
    "layers_by_name": (set_config(layers={"a": {}}), "no list of layers"),
    "layers_are_numbers": (set_config(layers=[1]), "describes no layer: 1"),
    "no_inputs": (set_config(input_layers=[]), "expected the InputLayers 'left', 'right'"),
    "one_input_missing": (set_config(input_layers=["left", 0, 0]), "expected the InputLayers"),
    "input_twice": (
        set_config(input_layers=[["left", 0, 0], ["left", 0, 0]]),
        "expected the InputLayers",
    ),
    "layer_as_input": (
        set_config(input_layers=[["left", 0, 0], ["inner", 1, 0]]),
        "expected the InputLayers",
    ),
    "inputs_are_a_number": (set_config(input_layers=3), "input_layers: expected places"),
    "no_outputs": (set_config(output_layers=[]), "it has no outputs"),
    "outputs_are_missing": (set_config(output_layers=None), "output_layers: expected places"),
    "output_is_no_tensor": (set_config(output_layers=[["none", 0, 0]]), "an output of the model"),
    "output_of_a_call_too_early": (set_config(output_layers=["inner", 0, 0]), "'inner', -1, 0"),
    "output_that_is_not_connected": (set_config(output_layers=["left", 0, 0]), "nothing reads it"),
    "other_count_of_inputs": (
        lambda config: layer(config, "inner")["inbound_nodes"][0]["args"][0].pop(),
        "expected 2 input tensors, received 1",
    ),
    "outputs_within_are_a_number": (
        lambda config: layer(config, "inner")["config"].update(output_layers=1),
        "'inner', output_layers: expected places",
    ),
    "input_without_a_shape": (
        lambda config: layer(config, "left")["config"].pop("batch_shape"),
        "InputLayer 'left': its config holds no shape",
    ),
    "shape_is_a_number": (
        lambda config: layer(config, "left")["config"].update(batch_shape=4),
        "InputLayer 'left': its config holds no shape",
    ),
    "optional_input": (
        lambda config: layer(config, "left")["config"].update(optional=True),
        "InputLayer 'left', optional",
    ),
    "sparse_input": (
        lambda config: layer(config, "left")["config"].update(sparse=True),
        "InputLayer 'left', sparse",
    ),
    "other_dtype": (
        lambda config: layer(config, "left")["config"].update(dtype="complex64"),
        "complex64",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_config_is_one_clear_error(name: str, twice: Any, tmp_path: Path) -> None:
    change, words = BROKEN[name]
    config = copy.deepcopy(twice)
    change(config)
    (tmp_path / "model.json").write_text(json.dumps(config))
    with pytest.raises(SeqgenError, match=words):
        seqgen.from_keras(tmp_path / "model.json")


@pytest.mark.parametrize("depth", [50, 300])
def test_models_within_models_without_end(depth: int, residual: Any) -> None:
    config = residual
    for number in range(depth):
        within = {**config, "name": f"m{number}", "inbound_nodes": []}
        entry = {**residual["config"]["layers"][0]}
        history = {"keras_history": [entry["name"], 0, 0]}
        tensor = {"class_name": "__keras_tensor__", "config": history}
        within["inbound_nodes"] = [{"args": [tensor], "kwargs": {}}]
        inner = {
            "name": f"n{number}",
            "layers": [entry, within],
            "input_layers": [entry["name"], 0, 0],
            "output_layers": [f"m{number}", 1, 0],
        }
        config = {"class_name": "Functional", "module": "keras", "config": inner}
    with pytest.raises(SeqgenError, match="deep"):
        from_plain(spec_of(config))


def test_a_long_circle_takes_no_time(residual: Any) -> None:
    """Calls that wait for each other, the last of which waits for the first."""
    config = copy.deepcopy(residual)
    entry = config["config"]["layers"][0]
    count, items = 20_000, []
    for number in range(count):
        history = {"keras_history": [f"r{(number + 1) % count}", 0, 0]}
        args = [{"class_name": "__keras_tensor__", "config": history}]
        item = {"class_name": "ReLU", "config": {"name": f"r{number}"}, "name": f"r{number}"}
        items.append({**item, "inbound_nodes": [{"args": args, "kwargs": {}}]})
    config["config"] |= {"layers": [entry, *items], "output_layers": ["r0", 0, 0]}
    with pytest.raises(SeqgenError, match="circle"):
        spec_of(config)


ODD = [None, True, -1, 10**6, 1.5, "", "x", "inner", [], [1], {}, {"class_name": "Dense"}]


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list and dictionary of a config with each key of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places_in(value[key])


def damaged(config: Any, rng: random.Random) -> Any:
    """A copy with up to three odd values, or without, or with other ones of its own."""
    config = copy.deepcopy(config)
    for _ in range(rng.randint(1, 3)):
        places = list(places_in(config))
        if not places:
            break
        home, key = rng.choice(places)
        other, other_key = rng.choice(places)
        how = rng.randrange(4)
        if how == 0:
            del home[key]
        elif how == 1:
            home[key] = copy.deepcopy(other[other_key])
        elif how == 2 and isinstance(home, list):
            home.append(copy.deepcopy(home[key]))
        else:
            home[key] = copy.deepcopy(rng.choice(ODD))
    return config


# Many more were run once.
ROUNDS = 150
MADE = ("residual", "nested_twice", "deep", "masked", "operations")


@pytest.mark.parametrize("name", MADE)
def test_any_damage_is_a_clear_error(name: str) -> None:
    config = config_of(getattr(functional_models, name))
    rng = random.Random(name)
    for _ in range(ROUNDS):
        with contextlib.suppress(SeqgenError):
            from_plain(spec_of(damaged(config, rng)))


def test_any_damage_to_a_config_of_keras_2() -> None:
    config = {"class_name": "Model", "config": shared_and_nested()[0]}
    rng = random.Random(2)
    for _ in range(ROUNDS):
        with contextlib.suppress(SeqgenError):
            from_plain(spec_of_legacy(damaged(config, rng), "2.2.4", "tensorflow"))
