"""Every layer against Keras itself: signature, name, shapes, weights and what is refused."""

import inspect
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqgen.errors import SpecError
from seqgen.ir.build import input_type
from seqgen.ir.types import TensorType
from seqgen.layers import LAYERS
from seqgen.layers.base import COMMON, Layer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")
np = pytest.importorskip("numpy")

HERE = Path(__file__).parent
# The layers of keras.layers.
KINDS = [kind for kind, layer in LAYERS.items() if not (layer.is_operation or layer.keras_path)]
# Keywords that Keras takes without naming them in a signature.
HIDDEN = {
    "rms_scaling",
    "implementation",
    "zero_output_for_mask",
    "unroll",
    "input_length",
    "seed",
}


def table(name: str) -> list[Any]:
    layers = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    return [
        pytest.param(kind, *row, id=f"{kind}-{row[0]}-{row[1]}")
        for kind, rows in layers.items()
        for row in rows
    ]


def of_keras(kind: str, arguments: dict[str, Any]) -> Any:
    """The Keras layer, with the layers that its arguments describe."""
    home = keras if kind == "Sequential" else keras.layers
    return getattr(home, kind)(**{key: inner(value) for key, value in arguments.items()})


def inner(value: Any) -> Any:
    """An argument as Keras takes it; `{Name: arguments}` is a layer."""
    if isinstance(value, list):
        return [inner(item) for item in value]
    if not isinstance(value, dict) or not {*value} <= {*LAYERS, "Sequential"}:
        return value
    ((kind, arguments),) = value.items()
    return of_keras(kind, arguments)


def each_shape(shape: list[Any]) -> list[list[int | None]]:
    """The shapes of all inputs: a case has one, or a list of several."""
    return shape if shape and isinstance(shape[0], list) else [shape]


def typed(layer: Layer, shape: list[Any]) -> tuple[TensorType, ...]:
    """The types of the inputs."""
    data_format = getattr(layer, "data_format", "channels_last")
    return tuple(input_type(each, "float32", data_format) for each in each_shape(shape))


def call(layer: Any, tensors: list[Any], **arguments: Any) -> Any:
    """Call a Keras layer on tensors, in a list if it takes one."""
    kind = LAYERS.get(type(layer).__name__)
    takes_list = kind and not kind.ports and kind.inputs != (1, 1)
    return layer(tensors, **arguments) if takes_list else layer(*tensors, **arguments)


def run(layer: Any, shape: list[Any], training: bool = False) -> Any:
    """Call a Keras layer on zeros, of size 4 where the size is open."""
    shapes = [[2, *(4 if size is None else size for size in each)] for each in each_shape(shape)]
    takes_training = "training" in inspect.signature(layer.call).parameters
    more = {"training": training} if takes_training else {}
    return call(layer, [np.zeros(each, "float32") for each in shapes], **more)


def symbolic(layer: Any, shape: list[Any]) -> Any:
    """Call a Keras layer on inputs of a model."""
    return call(layer, [keras.Input(each) for each in each_shape(shape)])


def weights_of(layer: Any) -> list[tuple[Any, ...]]:
    return [(w.path.partition("/")[2], tuple(w.shape), w.trainable, w.dtype) for w in layer.weights]


CASES = [pytest.param(*(*case.values, None)[:4], id=case.id) for case in table("cases")]


def test_every_layer_has_cases() -> None:
    assert {case.values[0] for case in CASES} == set(KINDS)
    assert len(CASES) >= 200


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_signature(kind: str) -> None:
    layer = LAYERS[kind]
    signature = inspect.signature(getattr(keras.layers, kind).__init__).parameters.values()
    known = [p for p in signature if p.name != "self" and p.kind != p.VAR_KEYWORD]
    own = [field for field in fields(layer) if not field.kw_only]
    keywords = {field.name for field in fields(layer) if field.kw_only}
    assert [field.name for field in own] == [p.name for p in known]
    assert keywords <= set(COMMON) | HIDDEN
    expected = {
        p.name: layer.kinds[p.name].parse(p.default, layer.rank)
        for p in known
        if p.default is not p.empty
    }
    defaults = layer.defaults()
    assert {name: defaults[name] for name in defaults if name not in keywords} == expected


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_name_is_keras_s(kind: str) -> None:
    arguments = next(case.values[2] for case in CASES if case.values[0] == kind)
    keras.utils.clear_session()
    assert LAYERS[kind].from_arguments(arguments).auto_name == of_keras(kind, arguments).name


@pytest.mark.parametrize(("kind", "shape", "arguments", "how"), CASES)
def test_shape_and_weights(
    kind: str, shape: list[Any], arguments: dict[str, Any], how: str | None
) -> None:
    keras.utils.clear_session()
    layer, oracle = LAYERS[kind].from_arguments(arguments), of_keras(kind, arguments)
    xs = typed(layer, shape)
    if how == "cell":
        oracle.build((None, *shape))
        assert [(w.name, w.shape) for w in layer.weight_types(*xs)] == [
            (path, of) for path, of, *_ in weights_of(oracle)
        ]
        return
    y = layer.output_type(*xs)
    expected = run(oracle, shape) if how == "run" else symbolic(oracle, shape)
    assert y.rank == len(expected.shape)
    for mine, known in list(zip(y.keras_shape, expected.shape, strict=True))[1:]:
        assert mine == known or (mine is None and how == "run")
    assert y.shape[0] == "batch"
    assert len(y.axes) == y.rank
    assert y.dtype == keras.backend.standardize_dtype(expected.dtype)
    dtype = layer.dtype or "float32"
    weights = [(w.name, w.shape, w.trainable, w.dtype or dtype) for w in layer.weight_types(*xs)]
    if not layer.trainable:
        weights = [(name, of, False, dtype) for name, of, _, dtype in weights]
    assert weights == weights_of(oracle)


@pytest.mark.parametrize(("kind", "shape", "arguments"), table("bad"))
def test_refuses_what_keras_refuses(
    kind: str, shape: list[Any] | None, arguments: dict[str, Any]
) -> None:
    with pytest.raises(SpecError) as error:
        infer(kind, shape, arguments)
    assert all(fault.message for fault in error.value.faults)
    with pytest.raises(Exception):  # noqa: B017, PT011 (each backend has errors of its own)
        use(of_keras(kind, arguments), shape)


def infer(kind: str, shape: list[Any] | None, arguments: dict[str, Any]) -> None:
    layer = LAYERS[kind].from_arguments(arguments)
    if shape is not None:
        xs = typed(layer, shape)
        layer.check_count(len(xs))
        layer.output_type(*xs)
        layer.weight_types(*xs)


def use(layer: Any, shape: list[Any] | None) -> None:
    """Build a Keras layer for a shape and run it: some faults show only there."""
    if shape is not None:
        symbolic(layer, shape)
        run(layer, shape, training=True)


@pytest.mark.parametrize(("kind", "shape", "arguments", "words"), table("refused"))
def test_refuses_what_it_cannot_say(
    kind: str, shape: list[Any] | None, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError) as error:
        infer(kind, shape, arguments)
    assert words in str(error.value)


@pytest.mark.parametrize(("kind", "shape", "arguments", "how"), CASES)
def test_arguments_say_the_layer_again(
    kind: str, shape: list[Any], arguments: dict[str, Any], how: str | None
) -> None:
    layer = LAYERS[kind].from_arguments(arguments)
    again = LAYERS[kind].from_arguments(layer.arguments())
    brief = {name: layer.kinds[name].brief(value) for name, value in layer.arguments().items()}
    shortened = LAYERS[kind].from_arguments(brief)
    assert again.arguments() == shortened.arguments() == layer.arguments()
