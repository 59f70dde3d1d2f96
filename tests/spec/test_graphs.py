"""Graphs with Keras and with seqgen: names, order, shapes, variables, summary; and misuse."""

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen import layers
from tests.spec.graphs import GRAPHS, graph_in_a_stack, masked, random_graph, residual

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

# Keras counts over all that a process makes, what models hold inside included; a spec has names of
# its own. Which layer has which place is the same.
NUMBERED = r"(input_layer|functional|dense|re_lu|add|average|maximum|sequential)(_\d+)?"
# Of each graph those that have just the names that Keras gives.
NAMED = ["residual", "two_branches", "inputs_without_names", "shared_at_two_depths", "shared"]
SEEDS = range(60)


def plain(name: str) -> str:
    return re.sub(f"^{NUMBERED}$", r"\1", name)


def described(model: Any) -> dict[str, Any]:
    """All that a model says of itself."""

    def names(model: Any) -> list[Any]:
        return [
            (plain(item.name), names(item)) if hasattr(item, "layers") else plain(item.name)
            for item in model.layers
        ]

    def variables(kind: str) -> list[Any]:
        found = getattr(model, kind)
        paths = [[plain(part) for part in v.path.split("/")[-2:]] for v in found]
        return [(p, tuple(v.shape), v.dtype) for p, v in zip(paths, found, strict=True)]

    kinds = ("weights", "trainable_weights", "non_trainable_weights")
    return {
        "name": plain(model.name),
        "layers": names(model),
        "shapes": (model.input_shape, model.output_shape),
        "ports": [[(t.shape, t.dtype) for t in ports] for ports in (model.inputs, model.outputs)],
        "count": model.count_params(),
        **{kind: variables(kind) for kind in kinds},
    }


def summary(model: Any, **options: Any) -> str:
    texts: list[str] = []
    model.summary(print_fn=lambda text, line_break=True: texts.append(text), **options)
    return "".join(texts)


def table(model: Any, **options: Any) -> str:
    """A summary without the numbers of names, and without the width of columns."""
    text = re.sub(rf"\b{NUMBERED}\b", r"\1", summary(model, line_length=250, **options))
    return re.sub(r"[ ─━]+", " ", text)


def both(make: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A model of Keras and one of seqgen; None for both if that is an error."""
    keras.utils.clear_session()
    try:
        mine = make(seqgen)
    except seqgen.SpecError:
        with pytest.raises(ValueError):  # noqa: PT011
            make(keras)
        return None, None
    return make(keras), mine


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_a_graph_is_that_of_keras(make: Any) -> None:
    theirs, mine = both(make)
    assert described(mine) == described(theirs)
    counts = mine.graph().count_params()
    assert counts["total"] == theirs.count_params()
    sizes = [int(np.prod(w.shape)) for w in theirs.trainable_weights]
    assert counts["trainable"] == sum(sizes)
    if make.__name__ in NAMED:
        assert [item.name for item in mine.layers] == [item.name for item in theirs.layers]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_graph_is_that_of_keras(seed: int) -> None:
    theirs, mine = both(lambda keras: random_graph(keras, seed))
    if mine is not None:
        assert described(mine) == described(theirs)
        for expand in (False, True):
            assert table(mine, expand_nested=expand) == table(theirs, expand_nested=expand)


# Keras has rows for what it computes masks with.
SHOWN = [make for make in GRAPHS if make is not masked]


@pytest.mark.parametrize("make", SHOWN, ids=lambda make: make.__name__)
def test_the_summary_is_that_of_keras(make: Any) -> None:
    theirs, mine = both(make)
    for expand in (False, True):
        options = {"expand_nested": expand, "show_trainable": True}
        assert table(mine, **options) == table(theirs, **options)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", [{}, {"show_trainable": True}, {"line_length": 70}], ids=str)
def test_the_summary_is_the_same_text(name: str, options: dict[str, Any]) -> None:
    theirs, mine = both(next(make for make in GRAPHS if make.__name__ == name))
    assert summary(mine, **options) == summary(theirs, **options)


def test_a_range_of_a_summary() -> None:
    theirs, mine = both(residual)
    for layers_shown in (["conv2d_1", "add"], ["input.*", "conv.*"]):
        shown = [summary(model, layer_range=layers_shown) for model in (mine, theirs)]
        assert shown[0] == shown[1]


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_shapes_of_outputs_for_other_inputs(make: Any) -> None:
    theirs, mine = both(make)
    assert mine.compute_output_shape(mine.input_shape) == shapes(theirs, theirs.input_shape)


def shapes(model: Any, given: Any) -> Any:
    made = model.compute_output_shape(given)
    return made[0] if isinstance(made, list) and len(made) == 1 else made


def test_shapes_of_outputs_for_larger_images() -> None:
    for make in (
        lambda keras: keras.Input((None, None, 3)),
        lambda keras: keras.Input((None, None, 3), batch_size=2),
    ):
        models = []
        for k in (seqgen, keras):
            x = make(k)
            y = k.layers.Conv2D(4, 3)(x)
            models.append(k.Model(x, [y, k.layers.GlobalMaxPooling2D()(y)]))
        mine, theirs = models
        wanted = (2, 9, 8, 3)
        assert mine.compute_output_shape(wanted) == theirs.compute_output_shape(wanted)


def test_layers_of_a_graph_by_name_and_place() -> None:
    theirs, mine = both(residual)
    for name in ("input_layer", "conv2d_1", "add"):
        assert mine.get_layer(name).name == theirs.get_layer(name).name
        assert mine.get_layer(name).output.shape == theirs.get_layer(name).output.shape
    assert [mine.get_layer(index=i).name for i in range(-2, 3)] == [
        theirs.get_layer(index=i).name for i in range(-2, 3)
    ]
    with pytest.raises(seqgen.SpecError, match="did you mean 'conv2d_1'"):
        mine.get_layer("conv2d1")


def test_features_have_the_weights_of_the_model() -> None:
    model = residual(seqgen)
    features = seqgen.Model(model.inputs, [layer.output for layer in model.layers[1:]])
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(features(x)[-1], model(x))
    model.layers[-1].variables[1].assign(np.ones(2))
    np.testing.assert_array_equal(features(x)[-1], model(x))
    for variable, other in zip(features.weights, model.weights, strict=True):
        assert variable is other


def test_a_graph_in_a_stack_is_run() -> None:
    model = graph_in_a_stack(seqgen)
    assert model(np.ones((3, 4))).shape == (3, 2)


def test_several_inputs_and_outputs_are_lists_of_arrays() -> None:
    a, b = seqgen.Input((4,)), seqgen.Input((3,))
    model = seqgen.Model([a, b], [layers.Concatenate()([a, b]), layers.Dense(2)(a)])
    first, second = model([np.zeros((5, 4)), np.ones((5, 3))])
    assert (first.shape, second.shape) == ((5, 7), (5, 2))
    assert first.sum() == 15


@pytest.mark.parametrize("kind", ["Model", "Sequential"])
def test_a_model_within_has_the_dtype_of_the_whole(kind: str) -> None:
    inside = {"input": [4], "graph" if kind == "Model" else "layers": [{"Dense": 3}]}
    spec = {"seqgen": 1, "dtype": "float64", "input": [4], "graph": [{kind: inside}, {"Dense": 2}]}
    model = seqgen.load(spec)
    assert {w.dtype for w in model.weights} == {"float64"}
    assert {node.type.dtype for node in model.graph().nodes} == {"float64"}
    assert model(np.ones((2, 4))).dtype == np.float64
    stack = {"seqgen": 1, "dtype": "float64", "input": [4], "layers": [{kind: inside}]}
    assert {w.dtype for w in seqgen.load(stack).weights} == {"float64"}
    inside["input"] = {"shape": [4], "dtype": "float32"}
    with pytest.raises(seqgen.SpecError, match="of float32, for which it was built"):
        seqgen.load(spec)


def test_a_change_of_a_stack_within_reaches_the_graph_around() -> None:
    inner = seqgen.Sequential([layers.Dense(3)])
    x = seqgen.Input((4,))
    model = seqgen.Model(x, layers.ReLU()(inner(x)))
    assert model.output_shape == (None, 3)
    inner.add(layers.Dense(7))
    assert model.output_shape == model.outputs[0].shape == (None, 7)
    assert model(np.ones((5, 4))).shape == (5, 7)


X = seqgen.Input((4,), name="x")
OTHER = seqgen.Input((4,), name="other")
DENSE = layers.Dense(4, name="dense")
Y = DENSE(X)
MODEL = seqgen.Model(X, Y, name="known")
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "array_and_tensor": (lambda: layers.Add()([X, np.ones((1, 4))]), "symbolic"),
    "array_and_tensor_of_a_model": (lambda: MODEL(np.ones((1, 4)), X), "symbolic"),
    "no_tensor": (lambda: seqgen.Model(X, 3), "'outputs': expected symbolic tensors"),
    "layer_for_a_tensor": (lambda: seqgen.Model(X, DENSE), "'outputs': expected symbolic tensors"),
    "no_inputs": (lambda: seqgen.Model([], Y), "'inputs': expected symbolic tensors"),
    "no_outputs": (lambda: seqgen.Model(X, []), "'outputs': expected symbolic tensors"),
    "nothing_between": (lambda: seqgen.Model(X, X), "at least one layer"),
    "other_input": (lambda: seqgen.Model(OTHER, Y), "'x' that Dense 'dense' needs is none"),
    "input_missing": (lambda: seqgen.Model(X, layers.Add()([Y, OTHER])), "'other' that Add"),
    "input_twice": (lambda: seqgen.Model([X, X], Y), "given twice"),
    "output_before_input": (lambda: seqgen.Model(Y, X), "the output needs is none of"),
    "inputs_of_one_name": (
        lambda: seqgen.Model([X, seqgen.Input((4,), name="x")], Y),
        "two inputs have the name 'x'",
    ),
    "layers_of_one_name": (
        lambda: seqgen.Model(X, layers.Dense(2, name="dense")(Y)),
        "the name 'dense' is taken",
    ),
    "layer_of_the_name_of_an_input": (
        lambda: seqgen.Model(X, layers.Dense(2, name="x")(X)),
        "the name 'x' is taken",
    ),
    "too_few_tensors": (lambda: layers.Subtract()([X]), "expected 2 input tensors, received 1"),
    "too_many_tensors": (lambda: DENSE([X, Y]), "expected one input tensor, received 2"),
    "model_of_too_many": (lambda: MODEL([X, Y]), "expected one input tensor, received 2"),
    "other_shape": (lambda: MODEL(seqgen.Input((5,))), r"expected an input \(None, 4\)"),
    "shared_on_another_shape": (lambda: DENSE(seqgen.Input((5,))), "built with weights of shapes"),
    "unknown_argument": (lambda: DENSE(X, trainig=True), "'trainig': a call of it takes no"),
    "wrong_argument": (lambda: DENSE(X, training="yes"), "'training': expected true or false"),
    "called_twice": (
        lambda: seqgen.Model(X, layers.ReLU(name="r")(Y)) and DENSE(Y) is DENSE.output,
        "Dense 'dense': it has no output: it was called 2 times",
    ),
    "called_nowhere": (lambda: layers.Dense(3).output, "it has no output: it was called nowhere"),
    "arrays_for_a_layer_of_two": (lambda: layers.Subtract()(np.ones((1, 4))), "make a Model"),
    "one_array_for_two": (
        lambda: seqgen.Model([X, OTHER], layers.Add()([X, OTHER]))(np.ones((1, 4))),
        "expected 2",
    ),
    "model_of_a_graph_in_a_stack_with_two_inputs": (
        lambda: seqgen.Sequential([X, seqgen.Model([X, OTHER], layers.Add()([X, OTHER]))]),
        "expected 2 input tensors, received 1",
    ),
    "shapes_of_another_number": (
        lambda: seqgen.Model([X, OTHER], layers.Add()([X, OTHER])).compute_output_shape([(1, 4)]),
        "expected 2 shapes, received 1",
    ),
    "graph_for_each_step": (
        lambda: layers.TimeDistributed(MODEL),
        "TimeDistributed: argument 'layer': expected a layer.*'known' is a graph",
    ),
    "name_that_is_none": (lambda: seqgen.Model(X, Y, name="a/b"), "without a slash"),
    "dtype_that_is_none": (lambda: seqgen.Model(X, Y, dtype="int8"), "'dtype'"),
}


def test_a_graph_is_no_part_of_itself() -> None:
    inner = seqgen.Sequential([layers.Dense(4)])
    model = seqgen.Model(X, inner(X))
    with pytest.raises(seqgen.SpecError, match="a model cannot be part of itself"):
        inner.add(model)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_in_python(name: str) -> None:
    make, words = WRONG[name]
    with pytest.raises(seqgen.SpecError) as raised:
        make()
    assert re.search(words, str(raised.value)), str(raised.value)
