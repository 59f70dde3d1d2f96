"""What a model keeps while it changes: names, shapes, weights, results."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen import layers
from seqgen.errors import SpecError


def small(**options: Any) -> seqgen.Sequential:
    return seqgen.Sequential([seqgen.Input((4,)), layers.Dense(3), layers.Dense(2)], **options)


def names(model: Any) -> list[Any]:
    return [names(item) if hasattr(item, "layers") else item.name for item in model.layers]


X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def test_a_failed_add_changes_nothing() -> None:
    model = small()
    before = model.to_dict(), model.graph().count_params()
    inner = seqgen.Sequential([layers.Dense(3), layers.Conv2D(3, 3)])
    for bad in (layers.Conv2D(3, 3), inner, layers.Dense(3, name="dense"), seqgen.Input((4,)), 5):
        with pytest.raises(seqgen.SpecError):
            model.add(bad)
        assert (model.to_dict(), model.graph().count_params()) == before
    assert not inner.built
    inner.pop()
    model.add(inner)
    assert model.output_shape == (None, 3)


def test_a_failed_build_changes_nothing() -> None:
    model = seqgen.Sequential([layers.Dense(3), layers.MaxPooling1D(5)])
    with pytest.raises(seqgen.SpecError, match="MaxPooling1D 'max_pooling1d'"):
        model.build((None, 4, 2))
    assert not model.built
    assert not model.layers[0].built
    model.build((None, 6, 7))
    assert model.output_shape == (None, 1, 3)


def test_layers_are_not_shared_within_a_model() -> None:
    layer = layers.Dense(4)
    with pytest.raises(seqgen.SpecError, match="twice"):
        seqgen.Sequential([layer, layer])
    model = seqgen.Sequential([seqgen.Input((4,)), layer])
    with pytest.raises(seqgen.SpecError, match="already"):
        model.add(layer)
    model.add(seqgen.Sequential([layer]))
    with pytest.raises(seqgen.SpecError, match="it is part of two models"):
        model.to_dict()


def test_a_model_is_no_part_of_itself() -> None:
    model, outer = small(), seqgen.Sequential()
    outer.add(model)
    with pytest.raises(seqgen.SpecError, match="itself"):
        model.add(outer)
    with pytest.raises(seqgen.SpecError, match="itself"):
        model.add(model)


def test_layers_of_two_models_share_their_weights() -> None:
    model = small()
    features = seqgen.Sequential([seqgen.Input((4,)), model.layers[0]])
    y = model(X)
    model.layers[0].set_weights([np.ones((4, 3)), np.zeros(3)])
    np.testing.assert_allclose(features(X), X.sum(1, keepdims=True).repeat(3, 1), rtol=1e-5)
    assert not np.allclose(model(X), y)
    with pytest.raises(
        seqgen.SpecError, match=r"built with weights of shapes \[\(4, 3\), \(3,\)\]"
    ):
        seqgen.Sequential([seqgen.Input((5,)), model.layers[0]])


def test_fresh_weights_do_not_depend_on_what_was_asked_first() -> None:
    one, two = small(), small()
    two.weights[3].numpy()
    two(X)
    for mine, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert np.ptp(one.get_weights()[0]) > 0.1


def test_a_model_within_has_the_weights_of_the_whole() -> None:
    inner = seqgen.Sequential([layers.Dense(3), layers.Dense(2)])
    model = seqgen.Sequential([seqgen.Input((4,)), inner])
    np.testing.assert_array_equal(inner(X), model(X))
    inner.layers[0].trainable = False
    assert len(model.trainable_weights) == 2


def test_results_follow_the_weights_and_the_layers() -> None:
    model = small()
    first = model(X)
    model.weights[1].assign(np.ones(3))
    second = model(X)
    assert not np.allclose(first, second)
    session = model._session
    model(X[:2])
    assert model._session is session
    model.add(layers.Dense(1))
    assert model(X).shape == (5, 1)
    model.pop()
    np.testing.assert_allclose(model(X), second)


def test_a_change_within_reaches_the_model_around() -> None:
    inner = seqgen.Sequential([layers.Dense(3)])
    middle = seqgen.Sequential([inner])
    model = seqgen.Sequential([seqgen.Input((4,)), middle, layers.ReLU()])
    assert model.output_shape == (None, 3)
    inner.add(layers.Dense(7))
    assert model.output_shape == (None, 7)
    assert model(X).shape == (5, 7)
    inner.add(layers.Reshape((7, 1)))
    inner.add(layers.ZeroPadding1D(1))
    assert model.output_shape == (None, 9, 1)
    model.add(layers.MaxPooling1D(9))
    for _ in range(2):
        inner.pop()
    for _ in range(2):
        with pytest.raises(seqgen.SpecError, match="MaxPooling1D"):
            model.output_shape  # noqa: B018


def test_names_stay_unique_when_layers_come_and_go() -> None:
    model = small()
    layer = model.pop()
    model.add(layers.Dense(5))
    assert names(model) == ["dense", "dense_2"]
    model.add(layers.Dense(3))
    other = seqgen.Sequential([seqgen.Input((4,)), layers.Dense(3), layers.Dense(6)])
    other.add(layers.Dense(3))
    layer.name = "dense"
    other.add(layers.Reshape((3,)))
    other.add(layer)
    assert names(other) == ["dense", "dense_1", "dense_2", "reshape", "dense_3"]


def test_freezing_is_seen_in_the_graph_and_its_copies_stay() -> None:
    model = small()
    graph = model.graph()
    model.trainable = False
    assert [node.trainable for node in graph.layers] == [True, True]
    assert [node.trainable for node in model.graph().layers] == [False, False]
    assert all(
        node.layer is not layer for node, layer in zip(graph.layers, model.layers, strict=True)
    )
    model.layers[0].units = 9
    assert graph.layers[0].layer.units == 3


def test_made_frozen_with_batch_normalization_is_refused() -> None:
    model = seqgen.Sequential(
        [seqgen.Input((4,)), layers.BatchNormalization(), layers.Dense(2)], trainable=False
    )
    assert model.trainable_weights == []
    with pytest.raises(seqgen.SpecError, match="freeze it too"):
        model.graph()
    model.trainable = False
    assert model.graph().count_params()["trainable"] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_dtypes(dtype: str) -> None:
    model = small(dtype=dtype)
    assert {v.dtype for v in model.weights} == {dtype}
    assert model(X).dtype == dtype
    assert {a.dtype.name for a in model.store().values()} == {dtype}
    assert model.graph().dtype == dtype


def test_integers_into_a_model_of_another_dtype() -> None:
    model = seqgen.Sequential(
        [seqgen.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten()],
        dtype="float64",
    )
    assert [node.type.dtype for node in model.graph().nodes] == ["int32", "float64", "float64"]
    assert model(np.array([[0, 4, 1]])).shape == (1, 6)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (4, 4, 4), ()])
def test_data_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(seqgen.SpecError, match=r"\(None, 4\)"):
        small()(np.zeros(shape))
    with pytest.raises(seqgen.SpecError, match="numbers"):
        small()(np.array([["a"] * 4]))


def test_variables() -> None:
    model = small()
    kernel = model.weights[0]
    assert (kernel.name, kernel.path, kernel.key) == ("kernel", "dense/kernel", "dense.kernel")
    assert (kernel.shape, kernel.dtype, kernel.trainable) == ((4, 3), "float32", True)
    assert not model.has_own_weights
    value = kernel.numpy()
    value[:] = 7
    assert kernel.value.max() < 7
    assert model.has_own_weights
    kernel.assign(value)
    assert np.asarray(kernel).tolist() == value.tolist()
    with pytest.raises(seqgen.MismatchError, match=r"dense/kernel.*\(4, 3\)"):
        kernel.assign(np.zeros((3, 4)))
    with pytest.raises(seqgen.MismatchError, match="expected 4 weights"):
        model.set_weights([np.zeros(3)])


def test_symbolic_inputs_and_outputs() -> None:
    model = small()
    described = [(t.name, t.shape, t.dtype) for t in (*model.inputs, *model.outputs)]
    assert described == [("input_layer", (None, 4), "float32"), ("dense_1", (None, 2), "float32")]
    assert model.outputs == [model.layers[-1].output]
    assert model.compute_output_shape((None, 4)) == (None, 2)
    late = seqgen.Sequential([layers.Conv1D(3, 2)])
    assert late.compute_output_shape((8, 9, 4)) == (8, 8, 3)
    assert not late.built


def test_copies_are_of_their_own() -> None:
    model = small()
    model(X)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model.to_dict()))):
        if isinstance(other, dict):
            other = seqgen.Sequential.from_dict(other)
        other.set_weights([w + 1 for w in other.get_weights()])
        assert not np.allclose(other(X), model(X))


def test_an_input_beside_a_layer_of_its_usual_name() -> None:
    model = seqgen.Sequential([layers.Dense(2, name="input_layer")])
    model.build((None, 4))
    assert model.inputs[0].name == "input_layer_1"
    assert seqgen.Sequential.from_dict(model.to_dict()).inputs[0].name == "input_layer_1"
    with pytest.raises(seqgen.SpecError, match="taken"):
        seqgen.Sequential([seqgen.Input((4,)), layers.Dense(2, name="input_layer")])


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras", "a"])
def test_weights_are_saved_to_safetensors_only(name: str, tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((2,)), layers.Dense(1)])
    with pytest.raises(SpecError, match=r"ends in \.safetensors"):
        model.save_weights(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.pt", "a"])
def test_weights_are_loaded_from_files_of_weights_only(name: str, tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((2,)), layers.Dense(1)])
    with pytest.raises(SpecError, match=r"\.safetensors"):
        model.load_weights(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
