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
# Keywords that Keras takes without naming them in a signature.
HIDDEN = {"rms_scaling", "implementation", "zero_output_for_mask", "unroll", "input_length"}


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


def typed(layer: Layer, shape: list[int | None]) -> TensorType:
    return input_type(shape, "float32", getattr(layer, "data_format", "channels_last"))


def run(layer: Any, shape: list[int | None], training: bool = False) -> Any:
    """Call a Keras layer on zeros, of size 4 where the size is open."""
    x = np.zeros([2, *(4 if size is None else size for size in shape)], "float32")
    takes_training = "training" in inspect.signature(layer.call).parameters
    return layer(x, training=training) if takes_training else layer(x)


def weights_of(layer: Any) -> list[tuple[Any, ...]]:
    return [(w.path.partition("/")[2], tuple(w.shape), w.trainable, w.dtype) for w in layer.weights]


CASES = [pytest.param(*(*case.values, None)[:4], id=case.id) for case in table("cases")]


def test_every_layer_has_cases() -> None:
    assert {case.values[0] for case in CASES} == set(LAYERS)
    assert len(CASES) >= 200


@pytest.mark.parametrize("kind", sorted(LAYERS))
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


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_name_is_keras_s(kind: str) -> None:
    arguments = next(case.values[2] for case in CASES if case.values[0] == kind)
    keras.utils.clear_session()
    assert LAYERS[kind].from_arguments(arguments).auto_name == of_keras(kind, arguments).name


@pytest.mark.parametrize(("kind", "shape", "arguments", "how"), CASES)
def test_shape_and_weights(
    kind: str, shape: list[int | None], arguments: dict[str, Any], how: str | None
) -> None:
    keras.utils.clear_session()
    layer, oracle = LAYERS[kind].from_arguments(arguments), of_keras(kind, arguments)
    x = typed(layer, shape)
    if how == "cell":
        oracle.build((None, *shape))
        assert [(w.name, w.shape) for w in layer.weight_types(x)] == [
            (path, of) for path, of, *_ in weights_of(oracle)
        ]
        return
    y = layer.output_type(x)
    expected = run(oracle, shape) if how == "run" else oracle(keras.Input(shape))
    assert y.rank == len(expected.shape)
    for mine, known in list(zip(y.keras_shape, expected.shape, strict=True))[1:]:
        assert mine == known or (mine is None and how == "run")
    assert y.shape[0] == "batch"
    assert len(y.axes) == y.rank
    assert y.dtype == keras.backend.standardize_dtype(expected.dtype)
    dtype = layer.dtype or "float32"
    weights = [(w.name, w.shape, w.trainable, w.dtype or dtype) for w in layer.weight_types(x)]
    if not layer.trainable:
        weights = [(name, of, False, dtype) for name, of, _, dtype in weights]
    assert weights == weights_of(oracle)


@pytest.mark.parametrize(("kind", "shape", "arguments"), table("bad"))
def test_refuses_what_keras_refuses(
    kind: str, shape: list[int | None] | None, arguments: dict[str, Any]
) -> None:
    with pytest.raises(SpecError) as error:
        infer(kind, shape, arguments)
    assert all(fault.message for fault in error.value.faults)
    with pytest.raises(Exception):  # noqa: B017, PT011 (each backend has errors of its own)
        use(of_keras(kind, arguments), shape)


def infer(kind: str, shape: list[int | None] | None, arguments: dict[str, Any]) -> None:
    layer = LAYERS[kind].from_arguments(arguments)
    if shape is not None:
        x = typed(layer, shape)
        layer.output_type(x)
        layer.weight_types(x)


def use(layer: Any, shape: list[int | None] | None) -> None:
    """Build a Keras layer for a shape and run it: some faults show only there."""
    if shape is not None:
        layer(keras.Input(shape))
        run(layer, shape, training=True)


@pytest.mark.parametrize(("kind", "shape", "arguments", "words"), table("refused"))
def test_refuses_what_it_cannot_say(
    kind: str, shape: list[int | None] | None, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError) as error:
        infer(kind, shape, arguments)
    assert words in str(error.value)


@pytest.mark.parametrize(("kind", "shape", "arguments", "how"), CASES)
def test_arguments_say_the_layer_again(
    kind: str, shape: list[int | None], arguments: dict[str, Any], how: str | None
) -> None:
    layer = LAYERS[kind].from_arguments(arguments)
    again = LAYERS[kind].from_arguments(layer.arguments())
    brief = {name: layer.kinds[name].brief(value) for name, value in layer.arguments().items()}
    shortened = LAYERS[kind].from_arguments(brief)
    assert again.arguments() == shortened.arguments() == layer.arguments()
