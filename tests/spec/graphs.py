"""Graphs written once, to be built with Keras and with seqgen: `make(keras)`."""

import random
from collections.abc import Sequence
from typing import Any

from tests.spec.models import Make


def residual(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(y)
    x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2)(x), name="residual")


def two_branches(keras: Any) -> Any:
    layers = keras.layers
    image = keras.Input((6, 6, 3), name="image")
    table = keras.Input((4,), name="table")
    x = layers.Flatten()(layers.Conv2D(3, 3)(image))
    y = layers.Dense(3, activation="relu")(table)
    y = layers.Dense(5)(y)
    z = layers.Concatenate()([x, y])
    score = layers.Dense(1, name="score")(z)
    kind = layers.Dense(3, activation="softmax", name="kind")(z)
    return keras.Model([image, table], [score, kind], name="two_branches")


def as_a_chain(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((5,))
    x = layers.Dense(4)(inputs)
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def layers_made_before_they_are_called(keras: Any) -> Any:
    layers = keras.layers
    last, first, own = layers.Dense(2), layers.Dense(4), layers.Dense(4, name="own")
    inputs = keras.Input((5,))
    x = first(inputs)
    return keras.Model(inputs, last(layers.Multiply()([own(inputs), x])))


def inputs_without_names(keras: Any) -> Any:
    layers = keras.layers
    a, b, c = keras.Input((4,)), keras.Input((4,)), keras.Input((3,))
    y = layers.Subtract()([b, a])
    return keras.Model([a, b, c], layers.Concatenate()([y, c, layers.Dense(2)(b)]))


def input_that_nothing_reads(keras: Any) -> Any:
    layers = keras.layers
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    return keras.Model([b, a], layers.Dense(2)(layers.Dense(3)(a)))


def input_as_output(keras: Any) -> Any:
    layers = keras.layers
    a = keras.Input((4,), name="a")
    return keras.Model(a, [a, layers.Dense(2)(a), a])


def shared(keras: Any) -> Any:
    layers = keras.layers
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    encode, norm = layers.Dense(3, activation="tanh"), layers.BatchNormalization()
    x, y = norm(encode(left)), norm(encode(right))
    return keras.Model([left, right], layers.Dense(1)(layers.Subtract()([x, y])))


def shared_at_two_depths(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((4,))
    mix = layers.Dense(4)
    x = mix(inputs)
    y = layers.ReLU()(mix(layers.Dense(4)(x)))
    return keras.Model(inputs, layers.Add()([x, mix(y), inputs]))


def shared_model(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Input((4,))
    code = layers.Dense(3)(inner)
    encoder = keras.Model(inner, [code, layers.ReLU()(code)], name="encoder")
    left, right = keras.Input((4,)), keras.Input((4,))
    a, b = encoder(left)
    c, d = encoder(right)
    return keras.Model([left, right], layers.Average()([a, b, d, c]))


def base_in_a_head(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inner)
    x = layers.BatchNormalization()(x)
    base = keras.Model(inner, layers.Add()([x, layers.Conv2D(4, 1)(inner)]), name="base")
    base.trainable = False
    inputs = keras.Input((8, 8, 3))
    x = base(inputs, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2)(layers.Dropout(0.2)(x)))


def thawed(keras: Any) -> Any:
    model = base_in_a_head(keras)
    model.get_layer("base").trainable = True
    model.get_layer("base").layers[1].trainable = False
    return model


def made_frozen(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Input((4,))
    base = keras.Model(inner, layers.Dense(3)(inner), trainable=False)
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(base(inputs)), trainable=True)


def models_in_models(keras: Any) -> Any:
    layers = keras.layers

    def block(units: int) -> Any:
        inputs = keras.Input((4,))
        x = keras.Sequential([layers.Dense(units), layers.ReLU()])(inputs)
        return keras.Model(inputs, layers.Concatenate()([x, layers.Dense(2)(inputs)]))

    inputs = keras.Input((4,))
    x = layers.Dense(4)(block(2)(inputs))
    y = block(3)(x)
    return keras.Model(inputs, [y, x], name="outer")


def graph_in_a_stack(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((4,))
    base = keras.Model(inputs, layers.Add()([layers.Dense(3)(inputs), layers.Dense(3)(inputs)]))
    return keras.Sequential([keras.Input((4,)), base, layers.Dense(2)])


def features_of_a_stack(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.ReLU(), layers.Dense(2)])
    return keras.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])


def features_of_a_graph(keras: Any) -> Any:
    model = residual(keras)
    return keras.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])


def up_to_a_layer(keras: Any) -> Any:
    model = two_branches(keras)
    return keras.Model(model.inputs[1], model.get_layer("dense_1").output)


def between_tensors(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((4,))
    x = layers.Dense(3)(inputs)
    y = layers.Dense(3)(x)
    whole = keras.Model(inputs, layers.Dense(2)(layers.Add()([x, y])))
    return keras.Model(inputs, [y, whole.output])


def on_top_of_outputs(keras: Any) -> Any:
    layers = keras.layers
    base = residual(keras)
    x = base.layers[-2].output
    return keras.Model(base.input, layers.Dense(7, activation="softmax")(x), name="on_top")


def masked(keras: Any) -> Any:
    layers = keras.layers
    words, other = keras.Input((None,), dtype="int32"), keras.Input((None, 4), name="other")
    x = layers.Embedding(10, 4, mask_zero=True)(words)
    y = layers.LSTM(3)(layers.Add()([x, x]))
    return keras.Model([words, other], layers.Concatenate()([y, layers.LSTM(2)(other)]))


def fixed_batch(keras: Any) -> Any:
    layers = keras.layers
    a, b = keras.Input((4,), batch_size=3), keras.Input(batch_shape=(3, 4), name="b")
    return keras.Model([a, b], layers.Maximum()([a, layers.Dense(4)(b)]))


def double_precision(keras: Any) -> Any:
    layers = keras.layers
    a = keras.Input((4,), dtype="float64")
    x = layers.Dense(3, dtype="float64")(a)
    return keras.Model(a, layers.Minimum(dtype="float64")([x, layers.ReLU(dtype="float64")(x)]))


GRAPHS: list[Make] = [
    residual,
    two_branches,
    as_a_chain,
    layers_made_before_they_are_called,
    inputs_without_names,
    input_that_nothing_reads,
    input_as_output,
    shared,
    shared_at_two_depths,
    shared_model,
    base_in_a_head,
    thawed,
    made_frozen,
    models_in_models,
    graph_in_a_stack,
    features_of_a_stack,
    features_of_a_graph,
    up_to_a_layer,
    between_tensors,
    on_top_of_outputs,
    masked,
    fixed_batch,
    double_precision,
]


class Dag:
    """A random graph of tensors with four features, the same for each `keras` with one seed.

    Args:
        keras: What it is made with.
        rng: Draws it.
        names: Names that layers and models may be given.
        depth: How many models there are around it.
    """

    def __init__(
        self, keras: Any, rng: random.Random, names: Sequence[str], depth: int = 0
    ) -> None:
        self._keras = keras
        self._rng = rng
        self._depth = depth
        self._all_names = names
        self._names = list(names)
        self._inputs = [self._entry(i) for i in range(rng.choice([1, 1, 2, 3]))]
        self._tensors: list[Any] = list(self._inputs)
        # What can be called once more.
        self._called: list[Any] = []
        self._early = [keras.layers.Dense(4) for _ in range(rng.choice([0, 0, 2]))]

    def model(self) -> Any:
        """The graph."""
        rng = self._rng
        for _ in range(rng.randint(1, 9 if self._depth == 0 else 4)):
            self._grow()
        outputs = rng.sample(self._tensors, k=min(len(self._tensors), rng.choice([1, 1, 2, 3])))
        outputs.append(self._keras.layers.ReLU()(self._tensors[-1]))
        inputs = self._inputs if len(self._inputs) > 1 or rng.random() < 0.5 else self._inputs[0]
        name = self._name() if self._depth else rng.choice([None, "net"])
        return self._keras.Model(inputs, outputs[rng.choice([0, 0, -1]) :], name=name)

    def _entry(self, number: int) -> Any:
        name = self._rng.choice([None, f"in_{number}"])
        return self._keras.Input((4,), name=name)

    def _name(self) -> str | None:
        name = self._rng.choice([None, *self._names])
        if name is not None:
            self._names.remove(name)
        return name

    def _some(self, count: int) -> list[Any]:
        return [self._rng.choice(self._tensors[-4:] + self._inputs) for _ in range(count)]

    def _grow(self) -> None:
        """Call a layer, a new one or one that was called before."""
        rng, layers = self._rng, self._keras.layers
        step = rng.random()
        if step < 0.2 and self._called:
            item, count = rng.choice(self._called)
        elif step < 0.3 and self._early:
            item, count = self._early.pop(), 1
        elif step < 0.45 and self._depth < 2:
            inner = Dag(self._keras, rng, self._all_names, self._depth + 1)
            item, count = inner.model(), len(inner._inputs)
        elif step < 0.55:
            item = self._keras.Sequential([layers.Dense(4), layers.ReLU()], name=self._name())
            count = 1
        elif step < 0.75:
            kind = rng.choice([layers.Add, layers.Maximum, layers.Average])
            item, count = kind(name=self._name()), rng.choice([2, 2, 3])
        else:
            item, count = layers.Dense(4, name=self._name()), 1
        reads = self._distinct(count) if hasattr(item, "layers") else self._some(count)
        if reads:
            self._called.append((item, count))
            made = item(reads if count > 1 else reads[0])
            self._tensors += made if isinstance(made, (list, tuple)) else [made]

    def _distinct(self, count: int) -> list[Any]:
        """Different tensors, or none if there are not as many."""
        tensors = list({id(tensor): tensor for tensor in self._tensors}.values())
        return self._rng.sample(tensors, k=count) if len(tensors) >= count else []


def random_graph(keras: Any, seed: int, names: Sequence[str] = ("a", "b", "c")) -> Any:
    """The random graph of a seed.

    Args:
        keras: What it is made with.
        seed: The seed.
        names: Names that layers and models may be given.
    """
    return Dag(keras, random.Random(seed), names).model()
