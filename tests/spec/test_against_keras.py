"""The same definitions with Keras and with seqgen: same names, shapes, counts, and summary."""

import math
import os
from typing import Any

import pytest

import seqgen
from tests.spec.models import MODELS, Make, plain

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

OPTIONS: list[dict[str, Any]] = [
    {},
    {"expand_nested": True},
    {"show_trainable": True},
    {"expand_nested": True, "show_trainable": True, "line_length": 120},
    {"line_length": 60},
]


@pytest.fixture(scope="module", params=MODELS, ids=lambda make: make.__name__)
def both(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    make: Make = request.param
    keras.utils.clear_session()
    return make(keras), make(seqgen)


def summary(model: Any, **options: Any) -> str:
    texts: list[str] = []
    model.summary(print_fn=lambda text, line_break=True: texts.append(text), **options)
    return "".join(texts)


def described(variables: list[Any]) -> list[Any]:
    """Names, shapes and dtypes. Keras keeps the path of the model that was built first."""
    return [(v.path.split("/")[-2:], v.name, tuple(v.shape), v.dtype) for v in variables]


def names(model: Any) -> list[Any]:
    return [names(item) if hasattr(item, "layers") else item.name for item in model.layers]


def test_names(both: tuple[Any, Any]) -> None:
    theirs, mine = both
    assert mine.name == theirs.name
    assert names(mine) == names(theirs)


def test_shapes_and_counts(both: tuple[Any, Any]) -> None:
    theirs, mine = both
    assert (mine.input_shape, mine.output_shape) == (theirs.input_shape, theirs.output_shape)
    assert mine.count_params() == theirs.count_params()
    assert len(mine.layers) == len(theirs.layers)


def test_variables(both: tuple[Any, Any]) -> None:
    theirs, mine = both
    for kind in ("weights", "trainable_weights", "non_trainable_weights"):
        assert described(getattr(mine, kind)) == described(getattr(theirs, kind))


def test_paths(both: tuple[Any, Any]) -> None:
    theirs, mine = both
    prefix = f"{theirs.name}/"
    known = {v.path.removeprefix(prefix) for v in theirs.weights if v.path.startswith(prefix)}
    assert known <= {v.path for v in mine.weights}
    assert [w.key for w in mine.graph().weights] == [w.path.replace("/", ".") for w in mine.weights]


def test_graph_counts(both: tuple[Any, Any]) -> None:
    theirs, mine = both
    counts = mine.graph().count_params()
    assert counts["total"] == theirs.count_params()
    assert counts["trainable"] == sum(math.prod(v.shape) for v in theirs.trainable_weights)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_summary_is_the_same_text(both: tuple[Any, Any], options: dict[str, Any]) -> None:
    theirs, mine = both
    assert summary(mine, **options) == summary(theirs, **options)


def test_range_of_layers() -> None:
    keras.utils.clear_session()
    theirs, mine = plain(keras), plain(seqgen)
    for layers in (["conv2d", "flatten"], ["drop.*", "max.*"], ["logits", "logits"]):
        assert summary(mine, layer_range=layers) == summary(theirs, layer_range=layers)
    with pytest.raises(seqgen.SpecError, match="no layer"):
        mine.summary(layer_range=["nothing", "logits"])


def test_summary_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    mine = plain(seqgen)
    mine.summary()
    assert capsys.readouterr().out == summary(mine)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("L2", {"l2": 0.5}),
        ("l1", {}),
        ("L1L2", {"l1": 0.5, "l2": 0.25}),
        ("HeNormal", {"seed": 1}),
        ("glorot_uniform", {}),
        ("RandomUniform", {"minval": -1.0, "maxval": 2.0}),
        ("MaxNorm", {"max_value": 3}),
        ("non_neg", {}),
    ],
)
def test_functions_go_by_their_keras_names(name: str, arguments: dict[str, Any]) -> None:
    modules = ("regularizers", "initializers", "constraints")
    module = next(m for m in modules if hasattr(getattr(keras, m), name))
    theirs = getattr(getattr(keras, module), name)(**arguments)
    mine = getattr(getattr(seqgen, module), name)(**arguments)
    assert mine.name == type(theirs).__name__
    config = theirs.get_config()
    assert {key: config[key] for key in mine.kwargs} == mine.kwargs
