"""The Keras guide to the Sequential model, step by step, with one import changed."""

from typing import Any

import numpy as np
import pytest

import seqgen as keras
from seqgen import layers


def stack() -> keras.Sequential:
    return keras.Sequential(
        [
            layers.Dense(2, activation="relu"),
            layers.Dense(3, activation="relu"),
            layers.Dense(4),
        ]
    )


def text_of(model: keras.Sequential) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return "".join(lines)


def test_when_to_use_a_sequential_model() -> None:
    model = keras.Sequential(
        [
            layers.Dense(2, activation="relu", name="layer1"),
            layers.Dense(3, activation="relu", name="layer2"),
            layers.Dense(4, name="layer3"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    y = model(x)
    assert y.shape == (3, 4)
    layer1 = layers.Dense(2, activation="relu", name="layer1")
    layer2 = layers.Dense(3, activation="relu", name="layer2")
    layer3 = layers.Dense(4, name="layer3")
    assert layer3(layer2(layer1(x))).shape == (3, 4)
    for mine, theirs in zip((layer1, layer2, layer3), model.layers, strict=True):
        mine.set_weights(theirs.get_weights())
    np.testing.assert_allclose(layer3(layer2(layer1(x))), y, rtol=1e-6)


def test_creating_a_sequential_model() -> None:
    model = stack()
    assert [type(layer).__name__ for layer in model.layers] == ["Dense"] * 3
    model = keras.Sequential()
    model.add(layers.Dense(2, activation="relu"))
    model.add(layers.Dense(3, activation="relu"))
    model.add(layers.Dense(4))
    popped = model.pop()
    assert popped.units == 4
    assert len(model.layers) == len(model) == 2
    model = keras.Sequential(name="my_sequential")
    model.add(layers.Dense(2, activation="relu", name="layer1"))
    model.add(layers.Dense(4, name="layer3"))
    assert model.name == "my_sequential"
    assert [layer.name for layer in model.layers] == ["layer1", "layer3"]


def test_a_layer_has_weights_when_it_was_called() -> None:
    layer = layers.Dense(3)
    assert layer.weights == []
    layer(np.ones((1, 4)))
    assert [w.shape for w in layer.weights] == [(4, 3), (3,)]
    assert layer(np.ones((7, 4))).shape == (7, 3)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.weights,
        lambda model: model.summary(),
        lambda model: model.count_params(),
        lambda model: model.graph(),
        lambda model: model.output_shape,
        lambda model: model.save_weights("never.safetensors"),
    ],
)
def test_a_model_without_input_shape_says_why_it_has_nothing_to_show(use: Any) -> None:
    with pytest.raises(keras.SpecError, match=r"not built.*input shape is not known"):
        use(stack())
    with pytest.raises(keras.SpecError, match="has no layers yet"):
        use(keras.Sequential([keras.Input((4,))]))


def test_a_call_builds() -> None:
    model = stack()
    assert not model.built
    assert model(np.ones((1, 4))).shape == (1, 4)
    assert model.built
    assert len(model.weights) == 6
    assert "dense_2 (Dense)" in text_of(model)
    assert model(np.ones((9, 4))).shape == (9, 4)


def test_build_builds() -> None:
    model = stack()
    model.build((None, 16))
    assert (model.input_shape, model.output_shape) == ((None, 16), (None, 4))
    with pytest.raises(keras.SpecError, match="already"):
        model.build((None, 5))


def test_specifying_the_input_shape_in_advance() -> None:
    model = keras.Sequential()
    model.add(keras.Input(shape=(4,)))
    model.add(layers.Dense(2, activation="relu"))
    text = text_of(model)
    assert "(None, 2)" in text
    assert "10 (40.00 B)" in text
    assert [layer.name for layer in model.layers] == ["dense"]
    model = keras.Sequential()
    model.add(layers.Dense(2, activation="relu", input_shape=(4,)))
    assert text_of(model) == text
    assert len(model.weights) == 2


def test_add_and_summary_as_a_way_to_debug() -> None:
    model = keras.Sequential()
    model.add(keras.Input(shape=(250, 250, 3)))
    model.add(layers.Conv2D(32, 5, strides=2, activation="relu"))
    model.add(layers.Conv2D(32, 3, activation="relu"))
    model.add(layers.MaxPooling2D(3))
    assert "(None, 40, 40, 32)" in text_of(model)
    for pool in (3, 2):
        model.add(layers.Conv2D(32, 3, activation="relu"))
        model.add(layers.Conv2D(32, 3, activation="relu"))
        model.add(layers.MaxPooling2D(pool))
    assert model.output_shape == (None, 4, 4, 32)
    with pytest.raises(keras.SpecError, match=r"Conv2D 'conv2d_6'.*\(5, 5\).*\(4, 4\)"):
        model.add(layers.Conv2D(1, 5))
    model.add(layers.GlobalMaxPooling2D())
    model.add(layers.Dense(10))
    assert model.output_shape == (None, 10)
    assert "Total params: 49,002 (191.41 KB)" in text_of(model)


def test_freezing_all_layers_but_the_last() -> None:
    model = keras.Sequential(
        [
            keras.Input(shape=(784)),
            layers.Dense(32, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )
    for layer in model.layers[:-1]:
        layer.trainable = False
    assert [w.path for w in model.trainable_weights] == ["dense_2/kernel", "dense_2/bias"]
    assert model.graph().count_params()["trainable"] == 330
    assert [node.trainable for node in model.graph().layers] == [False, False, True]


def test_a_frozen_base_under_a_new_top() -> None:
    base = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.BatchNormalization()])
    base.trainable = False
    model = keras.Sequential([base, layers.Dense(3)])
    assert model.output_shape == (None, 3)
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 6
    assert "Non-trainable params: 52" in text_of(model)
    base.trainable = True
    assert len(model.trainable_weights) == 6


def test_weights_are_saved_and_loaded(tmp_path: Any) -> None:
    model, other = stack(), stack()
    x = np.random.default_rng(1).normal(size=(2, 5)).astype("float32")
    expected = model(x)
    model.set_weights([w + 0.5 for w in model.get_weights()])
    changed = model(x)
    assert not np.allclose(changed, expected)
    model.save_weights(tmp_path / "w.safetensors")
    other.build((None, 5))
    assert not other.has_own_weights
    other.load_weights(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").unlink()
    np.testing.assert_array_equal(other(x), changed)
    wrong = stack()
    wrong.build((None, 6))
    other.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(keras.MismatchError, match=r"dense\.kernel"):
        wrong.load_weights(tmp_path / "w.safetensors")
