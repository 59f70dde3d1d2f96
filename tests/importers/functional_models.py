"""Functional models of Keras, each with what an import could get wrong."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers


def residual() -> Any:
    x = entry = keras.Input((8, 7, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.BatchNormalization()(x)
    y = layers.Activation("relu")(y)
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same")(y)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(entry, layers.Dense(2)(x), name="residual")


def two_inputs_two_outputs() -> Any:
    left, right = keras.Input((4,), name="z"), keras.Input((3,), name="a")
    x = layers.Concatenate()([layers.Dense(3)(right), layers.Dense(5)(left)])
    return keras.Model([left, right], [layers.Dense(2)(x), layers.Dense(1)(x)], name="pairs")


def by_name() -> Any:
    """Inputs and outputs by name, which Keras takes in the order of the names."""
    left, right = keras.Input((4,), name="z"), keras.Input((4,), name="a")
    difference = layers.Subtract()([left, layers.Dense(4)(right)])
    outputs = {"y": layers.Dense(3)(difference), "b": difference}
    return keras.Model({"z": left, "a": right}, outputs, name="by_name")


def structured() -> Any:
    a, b, c = (keras.Input((4,), name=name) for name in "abc")
    x = layers.Subtract()([layers.Add()([a, b]), c])
    return keras.Model([[c, a], (b,)], [[x], {"v": layers.Dense(2)(x)}], name="structured")


def shared_at_two_depths() -> Any:
    entry = keras.Input((4,))
    again, other = layers.Dense(4, name="again"), layers.Dense(4, name="other")
    x = again(other(again(entry)))
    return keras.Model(entry, layers.Add()([x, other(x), again(entry)]), name="depths")


def shared_out_of_order() -> Any:
    """A layer whose first call stands behind its second one."""
    entry = keras.Input((4,))
    again = layers.Dense(4, name="again")
    deep = layers.Dense(4)(layers.Dense(4)(entry))
    return keras.Model(entry, layers.Subtract()([again(deep), again(entry)]), name="order")


def inner_graph(name: str = "inner") -> Any:
    left, right = keras.Input((4,)), keras.Input((3,))
    x = layers.Dense(3, name="dense")(left)
    total = layers.Add(name="add")([x, right])
    return keras.Model([left, right], [total, x], name=name)


def nested_twice() -> Any:
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    inner = inner_graph()
    total, x = inner([left, right])
    again, _ = inner([left, x])
    return keras.Model([left, right], [layers.Subtract()([again, total]), x], name="twice")


def nested_output_alone() -> Any:
    """A model whose only output is that of a model within."""
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    inner = inner_graph()
    first, _ = inner([left, right])
    _, second = inner([left, first])
    return keras.Model([left, right], second, name="alone")


def called_by_name() -> Any:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    inner = keras.Model([left, right], layers.Subtract()([left, right]), name="inner")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = inner({"right": layers.Dense(4)(a), "left": b})
    return keras.Model([a, b], x, name="called_by_name")


def deep() -> Any:
    """Graphs in stacks in graphs."""
    entry = keras.Input((4,))
    x = layers.Dense(3, name="dense")(entry)
    core = keras.Model(
        entry, layers.Multiply()([x, layers.Dense(3, name="other")(entry)]), name="core"
    )
    stack = keras.Sequential([keras.Input((4,)), core, layers.Dense(4, name="dense")], name="stack")
    outer = keras.Input((4,))
    y = stack(layers.Dense(4, name="dense")(outer))
    return keras.Model(outer, layers.Average()([y, outer, stack(y)]), name="deep")


def in_a_stack() -> Any:
    return keras.Sequential(
        [keras.Input((8, 7, 3)), residual(), layers.Dropout(0.2), layers.Dense(3)], name="head"
    )


def of_a_stack() -> Any:
    stack = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="a"), layers.ReLU(), layers.Dense(2)], name="s"
    )
    return keras.Model(stack.inputs, [layer.output for layer in stack.layers], name="features")


def from_the_middle() -> Any:
    entry = keras.Input((4,))
    x = layers.Dense(3, name="skipped")(entry)
    y = layers.Dense(5, name="kept")(x)
    return keras.Model(x, layers.Concatenate()([y, x]), name="middle")


def in_a_mode() -> Any:
    entry = keras.Input((4,))
    base = keras.Sequential([layers.Dense(3), layers.BatchNormalization()], name="base")
    x = base(entry, training=False)
    return keras.Model(entry, layers.BatchNormalization()(x, training=False), name="in_a_mode")


def frozen_base() -> Any:
    base = residual()
    base.trainable = False
    entry = keras.Input((8, 7, 3))
    return keras.Model(entry, layers.Dense(3)(base(entry)), name="frozen_base")


def frozen_attention() -> Any:
    entry = keras.Input((5, 4))
    heads = layers.MultiHeadAttention(2, 3, name="heads")
    steps = layers.Bidirectional(layers.ConvLSTM1D(2, 2), name="steps")
    x = steps(layers.Reshape((5, 4, 1))(heads(entry, entry)))
    model = keras.Model(entry, layers.Dense(3)(x), name="frozen_attention")
    heads.trainable = steps.trainable = False
    return model


def shared_with_a_model_within() -> Any:
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="own"), shared], name="inner")
    entry = keras.Input((4,))
    return keras.Model(entry, layers.Add()([inner(entry), shared(entry)]), name="sharing")


def same_classes() -> Any:
    """Layers of one class whose order is not that in which they were made."""
    entry = keras.Input((4,))
    late, early = layers.Dense(4, name="late"), layers.Dense(4, name="early")
    x = early(entry)
    y = layers.Dense(4, name="side")(entry)
    return keras.Model(entry, layers.Subtract()([late(x), y]), name="same_classes")


def sequences() -> Any:
    entry = keras.Input((5, 3))
    x = layers.LSTM(4, return_sequences=True)(layers.Masking()(entry))
    y = layers.Bidirectional(layers.GRU(2, return_sequences=True))(x)
    z = layers.TimeDistributed(layers.Dense(4))(x)
    return keras.Model(entry, layers.Concatenate()([y, z]), name="sequences")


def masked() -> Any:
    """Masks that Keras notes as arguments, with the operations that make them."""
    words, steps = keras.Input((5,), name="words"), keras.Input((5, 4), name="steps")
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    y = layers.Masking(0.5)(steps)
    x = layers.Concatenate()([layers.Add()([x, layers.Dense(4)(x)]), y])
    x = layers.LSTM(3, return_sequences=True, dropout=0.1)(x)
    x = layers.Bidirectional(layers.GRU(2, return_sequences=True))(layers.Dropout(0.3)(x))
    return keras.Model([words, steps], layers.GlobalAveragePooling1D()(x), name="masked")


def attention() -> Any:
    """Layers that take each tensor at a place, or by name, of its own."""
    entry = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3)(entry, entry, use_causal_mask=True)
    y = layers.MultiHeadAttention(2, 3)(query=x, key=x, value=entry)
    z = layers.GroupQueryAttention(3, 4, 2)(y, value=x)
    return keras.Model(entry, layers.Attention()([z, y, entry]), name="attention")


def by_keyword() -> Any:
    entry = keras.Input((4,))
    return keras.Model(entry, layers.Dense(3)(inputs=entry), name="by_keyword")


def operations() -> Any:
    entry = keras.Input((4,))
    x = layers.Dense(4)(entry)
    x = keras.ops.relu(x * 0.5 + entry) - np.array([0.5, 0.25, 2.0, 1.0], "float32")
    return keras.Model(entry, [x[:, :2], 1.0 - x], name="operations")


MODELS: list[Callable[[], Any]] = [
    residual,
    two_inputs_two_outputs,
    by_name,
    structured,
    shared_at_two_depths,
    shared_out_of_order,
    nested_twice,
    nested_output_alone,
    called_by_name,
    deep,
    in_a_stack,
    of_a_stack,
    from_the_middle,
    in_a_mode,
    frozen_base,
    frozen_attention,
    same_classes,
    sequences,
    masked,
    attention,
    by_keyword,
    operations,
]
