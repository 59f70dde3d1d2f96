"""Models written once, to be built with Keras and with seqgen: `make(keras)`."""

from collections.abc import Callable
from typing import Any

Make = Callable[[Any], Any]


def model_of(keras: Any, layer: Any, shape: Any) -> Any:
    """A model of one layer, for the shape of its input or a list of those of several inputs."""
    if shape and isinstance(shape[0], list):
        inputs = [keras.Input(each) for each in shape]
        return keras.Model(inputs, layer(*inputs) if layer.ports else layer(inputs))
    if layer.is_operation:
        inputs = keras.Input(shape)
        return keras.Model(inputs, layer(inputs))
    return keras.Sequential([keras.Input(shape), layer])


def plain(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(name="plain")
    model.add(keras.Input(shape=(28, 28, 1)))
    model.add(layers.Conv2D(32, 3, activation="relu"))
    model.add(layers.BatchNormalization())
    model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10))
    model.pop()
    model.add(layers.Dense(12, name="logits"))
    return model


def open_sizes(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(8, 3, padding="same", name="a" * 60),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1_234_567),
        ]
    )


def fixed_batch(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Sequential([layers.Reshape((-1, 6)), layers.Dense(2)], name="inner")
    return keras.Sequential(
        [
            keras.Input((10, 3), batch_size=4),
            layers.Conv1D(8, 3, padding="same"),
            layers.EinsumDense("abc,cd->abd", output_shape=(10, 6)),
            inner,
            layers.Flatten(),
            layers.RepeatVector(2),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )


def fixed_batch_late(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential([layers.Conv1D(3, 2), layers.MaxPooling1D(2)])
    model.build((4, None, 3))
    return model


def fixed_batch_of_base(keras: Any) -> Any:
    layers = keras.layers
    base = keras.Sequential([keras.Input(batch_shape=(4, None, 3)), layers.Dense(4)], name="base")
    return keras.Sequential([base, layers.Dense(2)])


def nested(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5),
            keras.Sequential([layers.Dense(4), keras.Sequential([layers.Dense(3)])]),
            keras.Sequential([layers.Dense(4), layers.ReLU()], name="tail"),
            layers.Dense(2),
        ]
    )


def nested_by_add(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential()
    model.add(keras.Input((6,)))
    model.add(layers.Dense(5))
    model.add(keras.Sequential([layers.Dense(4)]))
    model.add(keras.Sequential([layers.Dense(4)]))
    model.add(layers.Dense(5))
    return model


def base_first(keras: Any) -> Any:
    layers = keras.layers
    base = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()],
        name="base",
    )
    base.trainable = False
    return keras.Sequential(
        [keras.Input((8, 8, 3)), base, layers.Flatten(), layers.Dense(2)], name="tuned"
    )


def inferred_from_base(keras: Any) -> Any:
    layers = keras.layers
    base = keras.Sequential([keras.Input((7,)), layers.Dense(4)], name="base")
    return keras.Sequential([base, layers.Dense(2)])


def frozen(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), *[layers.Dense(4) for _ in range(3)], layers.Dropout(0.1)]
    )
    for layer in model.layers[:-2]:
        layer.trainable = False
    return model


def constructed_frozen(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Sequential([layers.Dense(4), layers.Dense(2, trainable=False)], trainable=False)
    return keras.Sequential([keras.Input((4,)), inner, layers.Dense(3)])


def thawed(keras: Any) -> Any:
    model = constructed_frozen(keras)
    model.trainable = False
    model.layers[-1].trainable = True
    return model


def odd_names(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,), name="x[0]"),
            layers.Dense(4, name="[bold]no"),
            layers.Dense(4, name="été 日本"),
            layers.Dense(4, name="class"),
            layers.Dense(4, name="a.b-c"),
        ],
        name="odd [red] \\ names",
    )


def late(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential([layers.Dense(3), layers.Normalization(), layers.PReLU()])
    model.build((None, 9))
    return model


def typed(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((9,), dtype="float64"),
            layers.Dense(3, dtype="float64"),
            layers.Dense(2, dtype="float64"),
        ]
    )


def large(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((9,), dtype="int32"), layers.Embedding(40_000, 300), layers.UpSampling1D(2)]
    )


def many_kinds(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.SeparableConv2D(4, 3),
            layers.LeakyReLU(),
            layers.DepthwiseConv2D(3),
            layers.Conv2DTranspose(2, 2, strides=2),
            layers.ZeroPadding2D(),
            layers.Reshape((-1, 2)),
            layers.SpectralNormalization(layers.Conv1D(3, 2)),
            layers.GlobalMaxPooling1D(),
            layers.LayerNormalization(),
            layers.GaussianNoise(0.1),
            layers.Activation("gelu"),
        ]
    )


def recurrent(keras: Any) -> Any:
    layers = keras.layers
    back = layers.LSTM(3, return_sequences=True, go_backwards=True)
    both = layers.GRU(3, return_sequences=True)
    return keras.Sequential(
        [
            keras.Input((None, 4)),
            layers.Masking(),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.Bidirectional(both, merge_mode="sum", backward_layer=back),
            layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], return_sequences=True),
            layers.RNN(layers.GRUCell(2, name="own"), return_sequences=True),
            layers.RNN([layers.LSTMCell(2), layers.LSTMCell(3)]),
        ]
    )


def within_steps(keras: Any) -> Any:
    layers = keras.layers
    first = layers.Dense(3)
    inner = keras.Sequential([layers.Dense(2), layers.Dense(2, name="named")])
    each = keras.Sequential([layers.Conv1D(3, 2), layers.Flatten(), inner, layers.Dense(2)])
    return keras.Sequential(
        [
            keras.Input((5, 6, 4)),
            layers.TimeDistributed(each),
            layers.TimeDistributed(first),
            layers.TimeDistributed(layers.BatchNormalization(trainable=False)),
            layers.Dense(3),
            layers.LSTM(2, trainable=False),
        ]
    )


def moving_pictures(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3, 6, 6, 2)),
            layers.ConvLSTM2D(3, 2, return_sequences=True),
            layers.TimeDistributed(layers.Conv2D(2, 2)),
            layers.TimeDistributed(layers.TimeDistributed(layers.SimpleRNN(3))),
            layers.TimeDistributed(layers.Bidirectional(layers.GRU(2))),
            layers.Bidirectional(layers.LSTM(2, name="forward_one")),
        ]
    )


MODELS: list[Make] = [
    plain,
    open_sizes,
    fixed_batch,
    fixed_batch_late,
    fixed_batch_of_base,
    nested,
    nested_by_add,
    base_first,
    inferred_from_base,
    frozen,
    constructed_frozen,
    thawed,
    odd_names,
    late,
    typed,
    large,
    many_kinds,
    recurrent,
    within_steps,
    moving_pictures,
]
