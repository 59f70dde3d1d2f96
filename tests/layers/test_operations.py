"""Every operation against Keras itself: signature, name, shapes and what is refused."""

import inspect
import json
import os
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest
import yaml

import seqgen
from seqgen.errors import SpecError, UnsupportedError
from seqgen.importers.operations import is_operation, operation
from seqgen.layers import ALIASES, LAYERS
from seqgen.layers.operations import Operation
from seqgen.spec.operations import names
from seqgen.spec.tensors import call

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")
np = pytest.importorskip("numpy")

TABLES = yaml.safe_load((Path(__file__).parent / "operations.yaml").read_text())
KINDS = [kind.removeprefix("ops.") for kind, layer in LAYERS.items() if layer.is_operation]


def table(which: str) -> list[Any]:
    return [
        pytest.param(name, *row, id=f"{name}-{row[0]}-{row[1]}")
        for name, rows in TABLES[which].items()
        for row in rows
    ]


def made(name: str, shapes: list[Any], arguments: dict[str, Any]) -> Any:
    layer = LAYERS[f"ops.{name}"].from_arguments(arguments)
    return call(layer, tuple(seqgen.Input(shape) for shape in shapes), {})


def of_keras(name: str, shapes: list[Any], arguments: dict[str, Any]) -> Any:
    kind = LAYERS[f"ops.{name}"]
    inputs = [keras.Input(shape) for shape in shapes]
    if name == "concatenate":
        return keras.ops.concatenate(inputs, **arguments)
    if name == "get_item":
        arguments = {"key": eval(f"np.index_exp[{arguments['key']}]")}
    ports = [port for port in kind.tensors if port not in arguments]
    operands = dict(zip(ports, inputs, strict=True))
    for port in set(kind.tensors) - set(ports):
        # Keras takes arrays here, and no lists.
        given = arguments[port]
        operands[port] = np.array(given, "float32") if isinstance(given, list) else given
    return getattr(keras.ops, name)(**{**arguments, **operands})


def test_every_operation_has_cases() -> None:
    assert set(TABLES["cases"]) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_signature(name: str) -> None:
    kind = LAYERS[f"ops.{name}"]
    assert issubclass(kind, Operation)
    expected = inspect.signature(getattr(keras.ops, name)).parameters
    defaults = {key: p.default for key, p in expected.items() if p.default is not p.empty}
    assert {k: v for k, v in kind.signature().items() if v is not MISSING} == defaults
    assert list(kind.signature()) == list(expected)


@pytest.mark.parametrize(("name", "shapes", "arguments"), table("cases"))
def test_as_keras_has_it(name: str, shapes: list[Any], arguments: dict[str, Any]) -> None:
    keras.utils.clear_session()
    mine, theirs = made(name, shapes, arguments), of_keras(name, shapes, arguments)
    step = theirs._keras_history.operation
    assert mine.shape == theirs.shape
    assert mine.dtype == theirs.dtype
    assert mine.maker.auto_name == step.name


@pytest.mark.parametrize(("name", "shapes", "arguments"), table("cases"))
def test_arguments_say_the_operation_again(
    name: str, shapes: list[Any], arguments: dict[str, Any]
) -> None:
    layer = LAYERS[f"ops.{name}"].from_arguments(arguments)
    brief = {key: layer.kinds[key].brief(value) for key, value in layer.arguments().items()}
    assert type(layer).from_arguments(brief).equals(layer)


@pytest.mark.parametrize(("name", "shapes", "arguments"), table("cases"))
def test_configs_of_keras(name: str, shapes: list[Any], arguments: dict[str, Any]) -> None:
    theirs = of_keras(name, shapes, arguments)
    model = keras.Model(keras.utils.get_source_inputs(theirs), theirs)
    (item,) = filter(is_operation, json.loads(model.to_json())["config"]["layers"])
    node = item["inbound_nodes"][0]
    found = operation(item["class_name"], item["config"], node["args"], node["kwargs"], "float32")
    layer = LAYERS[f"ops.{name}"].from_arguments(arguments)
    assert found.name == f"ops.{name}"
    assert len(found.tensors) == len(shapes)
    assert LAYERS[found.name].from_arguments(found.arguments).equals(layer)


def test_configs_that_cannot_be_said() -> None:
    tensor = {"class_name": "__keras_tensor__", "config": {}}
    for class_name, config, args, words in (
        ("Erf", {"name": "erf"}, [tensor], "Erf of keras.ops is not supported"),
        ("Dense", {"name": "dense"}, [tensor], "not supported"),
        ("Add", {"name": "add"}, [tensor, {"class_name": "__numpy__"}], "a tensor or a number"),
        ("Max", {"name": "max", "axis": 1, "initial": 2.0}, [tensor], "operand of ops.maximum"),
    ):
        with pytest.raises(UnsupportedError, match=words):
            operation(class_name, config, args, {}, "float32")


@pytest.mark.parametrize(("name", "shapes", "arguments", "words"), table("refused"))
def test_refused(name: str, shapes: list[Any], arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        made(name, shapes, arguments)


@pytest.mark.parametrize("name", ["add", "relu", "mean", "matmul"])
def test_whole_numbers_are_refused(name: str) -> None:
    x = seqgen.Input((3, 3), dtype="int32")
    given = {"add": (x, 1), "relu": (x,), "mean": (x, 1), "matmul": (x, x)}[name]
    with pytest.raises(SpecError, match="received int32"):
        getattr(seqgen.ops, name)(*given)


def test_whole_numbers_are_moved() -> None:
    x = seqgen.Input((3, 4), dtype="int32")
    assert seqgen.ops.transpose(x[:, ::2], (0, 2, 1)).dtype == "int32"


@pytest.mark.parametrize("alias", [alias for alias in ALIASES if alias.startswith("ops.")])
def test_second_names(alias: str) -> None:
    step = getattr(keras.ops, alias.removeprefix("ops."))(
        keras.Input((3,))
    )._keras_history.operation
    assert type(step).__name__ == LAYERS[ALIASES[alias]].__name__


def test_namespace() -> None:
    assert set(dir(seqgen.ops)) == set(names()) > set(KINDS)
    assert all(callable(getattr(seqgen.ops, name)) for name in names())
    with pytest.raises(AttributeError, match="did you mean 'softmax'"):
        seqgen.ops.softmx  # noqa: B018
    with pytest.raises(AttributeError):
        seqgen.ops.Dense  # noqa: B018


def test_only_graphs_hold_operations() -> None:
    relu = LAYERS["ops.relu"]
    with pytest.raises(SpecError, match="only a graph holds"):
        seqgen.Sequential([relu()])
    for inner in (relu(), "ops.relu", {"ops.relu": {}}):
        with pytest.raises(SpecError, match="only a graph holds"):
            seqgen.layers.TimeDistributed(inner)
    with pytest.raises(AttributeError):
        getattr(seqgen.layers, "ops.relu")
    assert "ops.relu" not in dir(seqgen.layers)
