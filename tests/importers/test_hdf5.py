"""HDF5 files of Keras 3 and 2, imported and compared with what Keras and NumPy compute."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import seqgen
from seqgen.errors import MismatchError, SeqgenError, UnsupportedError
from seqgen.importers.hdf5 import hdf5_weights, numbers_only, open_store
from seqgen.tensor_file import BLOCK
from seqgen.weights import Weights
from tests.importers.keras_2 import (
    item,
    variance_scaling,
    write_model,
    write_weights_file,
)
from tests.importers.test_keras import (
    MODELS,
    SEQUENCES,
    assert_equal,
    nested,
    recurrent,
    with_random_weights,
)

keras = pytest.importorskip("keras")
layers = keras.layers
RNG = np.random.default_rng(3)


def draw(*shape: int, low: float = -1.0) -> np.ndarray:
    return RNG.uniform(low, 1.0, shape).astype("float32")


@keras.saving.register_keras_serializable("tests")
def old_hard_sigmoid(x: Any) -> Any:
    """What Keras 2 called hard_sigmoid."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


# Files that Keras 3 writes


def with_noise() -> Any:
    """Layers that keep more than weights in a file."""
    model = keras.Sequential(
        [
            keras.Input((6, 4), batch_size=3),
            layers.GaussianNoise(0.1),
            layers.LSTM(3, return_sequences=True, stateful=True, dropout=0.2),
            layers.TimeDistributed(keras.Sequential([layers.Dense(3), layers.Dropout(0.5)])),
            layers.Bidirectional(layers.GRU(2, recurrent_dropout=0.1)),
            layers.Dense(2),
        ],
        name="with_noise",
    )
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.zeros((3, 6, 4)), np.zeros((3, 2)), epochs=1, verbose=0)
    return model


def frozen_inside() -> Any:
    inner = keras.Sequential(
        [
            layers.Dense(4, trainable=False),
            layers.BatchNormalization(),
            layers.Dense(4),
            layers.BatchNormalization(trainable=False),
        ],
        name="inner",
    )
    return keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)], name="frozen_inside")


def all_frozen_inside() -> Any:
    model = frozen_inside()
    model.layers[0].trainable = False
    return model


ALL = [*MODELS, *SEQUENCES, with_noise, frozen_inside, all_frozen_inside]


def assert_same_variables(imported: Any, model: Any) -> None:
    expected = {v.path.removeprefix(f"{model.name}/"): np.asarray(v) for v in model.weights}
    expected = {k: v for k, v in expected.items() if "seed_generator" not in k}
    received = {v.path: v.numpy() for v in imported.weights}
    assert list(received) == list(expected)
    assert all(np.array_equal(received[path], expected[path]) for path in expected)


@pytest.mark.parametrize("make", ALL)
def test_weights_of_keras_3(make: Callable[[], Any], tmp_path: Path) -> None:
    model = with_random_weights(make())
    model.save_weights(tmp_path / "x.weights.h5")
    spec = tmp_path / "spec.yaml"
    fresh = seqgen.from_keras(model)
    fresh.save(spec)
    spec.write_text(spec.read_text() + "weights: x.weights.h5\n")
    assert_same_variables(seqgen.load(spec), model)
    again = seqgen.load(fresh.to_yaml())
    again.load_weights(tmp_path / "x.weights.h5")
    assert_same_variables(again, model)


@pytest.mark.parametrize("make", ALL)
def test_model_of_keras_3_in_the_old_format(make: Callable[[], Any], tmp_path: Path) -> None:
    model = with_random_weights(make())
    model.save(tmp_path / "model.h5")
    assert_same_variables(seqgen.from_keras(tmp_path / "model.h5"), model)


# Files that Keras 2 wrote

ZEROS = {"class_name": "Zeros", "config": {}}
ONES = {"class_name": "Ones", "config": {}}


def dense(name: str, units: int, **more: Any) -> dict[str, Any]:
    return item(
        "Dense",
        name=name,
        units=units,
        use_bias=True,
        kernel_initializer=variance_scaling(),
        bias_initializer=ZEROS,
        kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}},
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **{"activation": "linear", **more},
    )


def convolution(kind: str, name: str, **more: Any) -> dict[str, Any]:
    config = {
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "activation": "linear",
        "use_bias": True,
        "kernel_initializer": variance_scaling(distribution="normal"),
        "bias_initializer": ZEROS,
        "kernel_regularizer": None,
        "groups": 1,
        "strides": [1, 1],
    }
    return item(kind, name=name, **{**config, **more})


def normalization(name: str, **more: Any) -> dict[str, Any]:
    config = {
        "axis": [3],
        "momentum": 0.9,
        "epsilon": 0.01,
        "center": True,
        "scale": True,
        "beta_initializer": ZEROS,
        "moving_variance_initializer": ONES,
        "gamma_constraint": None,
    }
    return item("BatchNormalizationV1", name=name, **{**config, **more})


def images() -> tuple[Any, Any, Any]:
    """Config, variables, and the same in Keras 3."""
    first = convolution("Conv2D", "conv2d_1", filters=4, kernel_size=[3, 3], activation="relu")
    first["config"]["batch_input_shape"] = [None, 8, 8, 3]
    first["config"]["dtype"] = "float32"
    config = {
        "name": "sequential_1",
        "build_input_shape": [None, 8, 8, 3],
        "layers": [
            first,
            normalization("batch_normalization_1"),
            item("LeakyReLU", name="leaky", alpha=0.10000000149011612),
            convolution("DepthwiseConv2D", "depthwise", kernel_size=[2, 2], depth_multiplier=2),
            item("ThresholdedReLU", name="thresholded", theta=0.25),
            convolution(
                "SeparableConv2D", "separable", filters=3, kernel_size=[3, 3], depth_multiplier=1
            ),
            item("UpSampling2D", name="up", size=[2, 2], data_format="channels_last"),
            item("MaxPooling2D", name="pool", pool_size=[2, 2], padding="valid", strides=[2, 2]),
            item("Dropout", name="drop", rate=0.5, noise_shape=None, seed=None),
            item("Flatten", name="flatten", data_format="channels_last"),
            dense("dense_1", 4, activation="softmax_v2"),
        ],
    }
    variables = {
        "conv2d_1": [("kernel", draw(3, 3, 3, 4)), ("bias", draw(4))],
        "batch_normalization_1": [
            ("gamma", draw(4, low=0.5)),
            ("beta", draw(4)),
            ("moving_mean", draw(4)),
            ("moving_variance", draw(4, low=0.5)),
        ],
        "leaky": [],
        "depthwise": [("depthwise_kernel", draw(2, 2, 4, 2)), ("bias", draw(8))],
        "thresholded": [],
        "separable": [
            ("depthwise_kernel", draw(3, 3, 8, 1)),
            ("pointwise_kernel", draw(1, 1, 8, 3)),
            ("bias", draw(3)),
        ],
        "dense_1": [("kernel", draw(192, 4) / 20), ("bias", draw(4))],
    }
    saved = [
        (name, [(f"{name}/{variable}:0", value) for variable, value in values])
        for name, values in variables.items()
    ]
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.BatchNormalization(epsilon=0.01),
            layers.LeakyReLU(0.1),
            layers.DepthwiseConv2D(2, depth_multiplier=2, padding="same"),
            layers.ReLU(threshold=0.25),
            layers.SeparableConv2D(3, 3, padding="same"),
            layers.UpSampling2D(2),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    return config, saved, model


def rnn(kind: str, name: str, units: int, **more: Any) -> dict[str, Any]:
    config = {
        "return_sequences": True,
        "return_state": False,
        "go_backwards": False,
        "stateful": False,
        "unroll": False,
        "activation": "tanh",
        "recurrent_activation": "hard_sigmoid",
        "use_bias": True,
        "kernel_initializer": variance_scaling(),
        "recurrent_initializer": {"class_name": "Orthogonal", "config": {"gain": 1, "seed": None}},
        "bias_initializer": ZEROS,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
        "implementation": 1,
    }
    return item(kind, name=name, units=units, **{**config, **more})


def cell(prefix: str, inputs: int, units: int, gates: int) -> list[tuple[str, np.ndarray]]:
    return [
        (f"{prefix}/kernel:0", draw(inputs, gates * units)),
        (f"{prefix}/recurrent_kernel:0", draw(units, gates * units)),
        (f"{prefix}/bias:0", draw(gates * units)),
    ]


def sequences() -> tuple[Any, Any, Any]:
    """The bare list of layers of Keras 2.0, with its default of hard_sigmoid."""
    inside = rnn("LSTM", "lstm_2", 2)
    config = [
        item(
            "Embedding",
            name="embedding_1",
            batch_input_shape=[None, 7],
            dtype="float32",
            input_dim=9,
            output_dim=4,
            embeddings_initializer={
                "class_name": "RandomUniform",
                "config": {"minval": -0.05, "maxval": 0.05, "seed": None},
            },
            mask_zero=True,
            input_length=7,
        ),
        rnn("LSTM", "lstm_1", 3, unit_forget_bias=True),
        rnn("GRU", "gru_1", 3),
        item("Bidirectional", name="bidirectional_1", layer=inside, merge_mode="concat"),
        item("TimeDistributed", name="steps", layer=dense("d", 3, activation="hard_sigmoid")),
        item("Activation", name="activation_1", activation="hard_sigmoid"),
    ]
    # The size of the vocabulary is an argument here, and no shape.
    saved = [
        ("embedding_1", [("embedding_1/embeddings:0", draw(9, 4))]),
        ("lstm_1", cell("lstm_1", 4, 3, 4)),
        ("gru_1", cell("gru_1", 3, 3, 3)),
        (
            "bidirectional_1",
            [
                *cell("bidirectional_1/forward_lstm_2", 3, 2, 4),
                *cell("bidirectional_1/backward_lstm_2", 3, 2, 4),
            ],
        ),
        ("steps", [("steps/kernel:0", draw(4, 3)), ("steps/bias:0", draw(3))]),
        ("activation_1", []),
    ]
    gate = {"recurrent_activation": old_hard_sigmoid, "return_sequences": True}
    model = keras.Sequential(
        [
            keras.Input((7,)),
            layers.Embedding(9, 4, mask_zero=True),
            layers.LSTM(3, **gate),
            layers.GRU(3, reset_after=False, **gate),
            layers.Bidirectional(layers.LSTM(2, **gate)),
            layers.TimeDistributed(layers.Dense(3, activation=old_hard_sigmoid)),
            layers.Activation(old_hard_sigmoid),
        ]
    )
    return config, saved, model


def moving() -> tuple[Any, Any, Any]:
    """`tf.keras` of TensorFlow 2.3: objects with policies, and the default of ConvLSTM2D."""
    policy = {"class_name": "Policy", "config": {"name": "float32"}}
    entry = {"batch_input_shape": [None, 3, 5, 5, 2], "dtype": "float32", "sparse": False}
    recurrent = convolution(
        "ConvLSTM2D",
        "conv_lst_m2d",
        filters=2,
        kernel_size=[2, 2],
        recurrent_activation="hard_sigmoid",
        activation="tanh",
        return_sequences=False,
        time_major=False,
        dtype=policy,
    )
    del recurrent["config"]["groups"]
    config = {
        "name": "sequential",
        "layers": [
            {"class_name": "InputLayer", "config": {**entry, "ragged": False, "name": "in"}},
            recurrent,
            item("UpSampling2D", name="up", size=[2, 2], interpolation="bilinear", dtype=policy),
            item("GlobalAveragePooling2D", name="mean", data_format="channels_last"),
            item("LayerNormalization", name="norm", axis=[1], epsilon=0.01, dtype=policy),
            dense("dense", 2, activation="swish"),
        ],
    }
    prefix = "conv_lst_m2d"
    saved = [
        (
            prefix,
            [
                (f"{prefix}/kernel:0", draw(2, 2, 2, 8)),
                (f"{prefix}/recurrent_kernel:0", draw(2, 2, 2, 8)),
                (f"{prefix}/bias:0", draw(8)),
            ],
        ),
        ("up", []),
        ("norm", [("norm/gamma:0", draw(2)), ("norm/beta:0", draw(2))]),
        ("dense", [("dense/kernel:0", draw(2, 2)), ("dense/bias:0", draw(2))]),
    ]
    model = keras.Sequential(
        [
            keras.Input((3, 5, 5, 2)),
            layers.ConvLSTM2D(2, 2, padding="same", recurrent_activation=old_hard_sigmoid),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.GlobalAveragePooling2D(),
            layers.LayerNormalization(epsilon=0.01),
            layers.Dense(2, activation="silu"),
        ]
    )
    return config, saved, model


OLD = [(images, "2.2.4"), (sequences, "2.0.8"), (moving, "2.4.0")]


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize(("make", "version"), OLD)
def test_model_of_keras_2(make: Any, version: str, pieces: int, tmp_path: Path) -> None:
    config, saved, model = make()
    for variable, value in zip(model.weights, [v for _, vs in saved for _, v in vs], strict=True):
        variable.assign(value)
    path = write_model(tmp_path / "model.hdf5", config, saved, version, pieces=pieces)
    imported = seqgen.from_keras(path)
    x = RNG.normal(size=(3, *model.input_shape[1:])).astype("float32")
    if make is sequences:
        x = RNG.integers(0, 9, (3, 7)).astype("float32")
    assert np.allclose(imported(x), np.asarray(model(x, training=False)), rtol=1e-5, atol=1e-6)
    given = config["layers"] if isinstance(config, dict) else config
    names = [i["config"]["name"] for i in given if i["class_name"] != "InputLayer"]
    assert [layer.name for layer in imported.layers] == names


@pytest.mark.parametrize(("make", "version"), OLD)
def test_programs_of_a_model_of_keras_2_are_equal(make: Any, version: str, tmp_path: Path) -> None:
    config, saved, _ = make()
    path = write_model(tmp_path / "model.h5", config, saved, version)
    report = seqgen.verify(seqgen.load(path), exporters=False)
    assert report.ok, report.to_json()


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_cudnn(kind: str, gates: int, tmp_path: Path) -> None:
    """Matrices that CuDNN reads row by row, each times the vector behind it."""
    units, inputs, steps = 3, 2, 4
    config = {
        "units": units,
        "return_sequences": True,
        "go_backwards": False,
        "stateful": False,
        "kernel_initializer": variance_scaling(),
        "batch_input_shape": [None, steps, inputs],
        "time_major": False,
    }
    kernel, state = draw(inputs, gates * units), draw(units, gates * units)
    bias = draw(2 * gates * units)
    saved = [("r", [("r/kernel:0", kernel), ("r/recurrent_kernel:0", state), ("r/bias:0", bias)])]
    items = {"name": "m", "layers": [item(f"CuDNN{kind}", name="r", **config)]}
    imported = seqgen.from_keras(write_model(tmp_path / "m.h5", items, saved))
    x = RNG.normal(size=(2, steps, inputs)).astype("float32")

    w = [part.reshape(units, inputs) for part in np.hsplit(kernel, gates)]
    r = [part.reshape(units, units) for part in np.hsplit(state, gates)]
    b, c = np.split(bias[: gates * units], gates), np.split(bias[gates * units :], gates)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    h = carry = np.zeros((2, units))
    expected = []
    for t in range(steps):
        a = [x[:, t] @ w[g].T + b[g] for g in range(gates)]
        u = [h @ r[g].T + c[g] for g in range(gates)]
        if kind == "LSTM":
            carry = sigmoid(a[1] + u[1]) * carry + sigmoid(a[0] + u[0]) * np.tanh(a[2] + u[2])
            h = sigmoid(a[3] + u[3]) * np.tanh(carry)
        else:
            update, reset = sigmoid(a[0] + u[0]), sigmoid(a[1] + u[1])
            h = update * h + (1 - update) * np.tanh(a[2] + reset * u[2])
        expected.append(h)
    assert np.allclose(imported(x), np.stack(expected, 1), atol=1e-5)


def inner_model(trained: bool) -> dict[str, Any]:
    inside = [dense("a", 3), normalization("n", axis=[1]), dense("b", 3)]
    for one in inside:
        one["config"]["trainable"] = trained
    inside[0]["config"]["batch_input_shape"] = [None, 3]
    nested = {"class_name": "Sequential", "config": {"name": "inner", "layers": inside}}
    return {"name": "outer", "layers": [nested, dense("head", 2)]}


VALUES = {
    "a/kernel": draw(3, 3),
    "a/bias": draw(3),
    "n/gamma": draw(3),
    "n/beta": draw(3),
    "n/moving_mean": draw(3),
    "n/moving_variance": draw(3, low=0.5),
    "b/kernel": draw(3, 3),
    "b/bias": draw(3),
}
IN_ORDER = list(VALUES)
TRAINED_FIRST = sorted(IN_ORDER, key=lambda name: "moving" in name)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("order", [IN_ORDER, TRAINED_FIRST])
def test_variables_of_a_nested_model_in_either_order(
    order: list[str], trained: bool, tmp_path: Path
) -> None:
    head = ("head", [("head/kernel:0", draw(3, 2)), ("head/bias:0", draw(2))])
    saved = [("inner", [(f"{name}_1:0", VALUES[name]) for name in order]), head]
    imported = seqgen.from_keras(write_model(tmp_path / "m.h5", inner_model(trained), saved))
    received = {v.path: v.numpy() for v in imported.weights}
    assert all(np.array_equal(received[f"inner/{name}"], VALUES[name]) for name in IN_ORDER)
    # The same as weights of their own, onto the spec.
    weights = write_weights_file(tmp_path / "w.h5", saved)
    again = seqgen.load(imported.to_yaml())
    again.load_weights(weights)
    assert all(np.array_equal(a.numpy(), received[a.path]) for a in again.weights)


def test_variables_that_could_be_either_layer_are_refused(tmp_path: Path) -> None:
    spec = """
seqgen: 1
input: {shape: [3]}
layers:
  - Sequential:
      layers:
        - Dense: {units: 3, trainable: false}
        - Dense: {units: 3}
"""
    names = ["x/kernel:0", "x/bias:0", "y/kernel:0", "y/bias:0"]
    saved = [("s", [(n, draw(3, 3) if "kernel" in n else draw(3)) for n in names])]
    with pytest.raises(MismatchError, match="cannot be told"):
        seqgen.load(spec).load_weights(write_weights_file(tmp_path / "w.h5", saved))


def test_command_imports_no_framework(tmp_path: Path) -> None:
    config, saved, _ = sequences()
    write_model(tmp_path / "model.h5", config, saved, "2.0.8")
    code = """
import sys
from seqgen.cli import main
for args in (["import", "model.h5", "-o", "spec.yaml"], ["generate", "model.h5", "-o", "out"]):
    try:
        main(args)
    except SystemExit as done:
        assert not done.code, done.code
bad = {"keras", "tensorflow", "torch", "onnxruntime"} & set(sys.modules)
assert not bad, bad
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert "hard_sigmoid_keras_2" in (tmp_path / "spec.yaml").read_text()
    weights = (tmp_path / "out" / "weights.safetensors").read_bytes()
    assert weights == (tmp_path / "spec.safetensors").read_bytes()


# What is refused


def one(layer: dict[str, Any]) -> dict[str, Any]:
    layer["config"]["batch_input_shape"] = [None, 4, 4, 3]
    return {"name": "m", "layers": [layer]}


def sized(**more: Any) -> dict[str, Any]:
    return item("UpSampling2D", name="up", size=[2, 2], **more)


REFUSED: list[tuple[Any, dict[str, Any], list[str]]] = [
    (item("Lambda", name="code", function=["4wEAAAAA", None, None]), {}, ["'code'", "never run"]),
    (item("LocallyConnected2D", name="local"), {}, ["LocallyConnected2D 'local'"]),
    (item("TFOpLambda", name="op", function="math.add"), {}, ["TFOpLambda 'op'"]),
    (sized(interpolation="bilinear"), {}, ["'up', interpolation", "2.4"]),
    (normalization("bn", renorm=True), {}, ["'bn', renorm"]),
    (normalization("bn", virtual_batch_size=4), {}, ["virtual_batch_size"]),
    (normalization("bn", axis=[1, 2]), {}, ["axis"]),
    (rnn("LSTM", "r", 3, time_major=True), {}, ["'r', time_major"]),
    (
        convolution("Conv2D", "c", filters=2, kernel_size=[2, 2]),
        {"backend": "theano"},
        ["'c'", "theano"],
    ),
    (item("Flatten", name="f", dtype="mixed_float16"), {}, ["mixed_float16"]),
    (item("Custom>Mine", name="f"), {}, ["Custom>Mine"]),
    (item("Flatten", name="f"), {"version": "1.2.2"}, ["Keras '1.2.2'"]),
    (item("Flatten", name="f"), {"version": "4.0"}, ["Keras '4.0'"]),
]


@pytest.mark.parametrize(("layer", "how", "words"), REFUSED)
def test_refused_by_name(layer: Any, how: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.h5", one(layer), [], **how)
    with pytest.raises(SeqgenError) as raised:
        seqgen.from_keras(path)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_subclassed_model_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.h5", {}, [])
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Mine", "config": {}})
    with pytest.raises(UnsupportedError, match="only Sequential and functional"):
        seqgen.from_keras(path)


# Hostile and broken files


@pytest.fixture
def good(tmp_path: Path) -> Path:
    config = {"name": "m", "layers": [dense("d", 3, batch_input_shape=[None, 2]), dense("e", 2)]}
    saved = [
        ("d", [("d/kernel:0", draw(2, 3)), ("d/bias:0", draw(3))]),
        ("e", [("e/kernel:0", draw(3, 2)), ("e/bias:0", draw(2))]),
    ]
    return write_model(tmp_path / "good.h5", config, saved)


def replaced(group: Any, name: str, value: Any, **how: Any) -> None:
    del group[name]
    group.create_dataset(name, data=value, **how)


def external(file: Any) -> None:
    other = Path(file.filename).with_name("secret.h5")
    with h5py.File(other, "w") as secret:
        secret["x"] = draw(2, 3)
    del file["model_weights/d/d/kernel:0"]
    file["model_weights/d/d/kernel:0"] = h5py.ExternalLink(str(other), "/x")


def soft(file: Any) -> None:
    file["elsewhere"] = draw(2, 3)
    del file["model_weights/d/d/kernel:0"]
    file["model_weights/d/d/kernel:0"] = h5py.SoftLink("/elsewhere")


def outside(file: Any) -> None:
    raw = Path(file.filename).with_name("raw")
    raw.write_bytes(b"0" * 24)
    del file["model_weights/d/d/kernel:0"]
    file["model_weights/d"].create_dataset("d/kernel:0", (2, 3), "f4", external=[(str(raw), 0, 24)])


def huge(file: Any) -> None:
    group = file["model_weights/d"]
    del group["d/kernel:0"]
    group.create_dataset("d/kernel:0", (2**40, 2**10), "f4", chunks=(2, 2), compression="gzip")


def reordered(file: Any) -> None:
    file["model_weights"].attrs["layer_names"] = np.asarray([b"e", b"d"])


def set_config(value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        file.attrs["model_config"] = value

    return change


def not_a_number() -> np.ndarray:
    values = draw(2, 3)
    values[1, 1] = np.nan
    return values


HOSTILE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "external_link": (external, "no array at .*d/kernel:0"),
    "soft_link": (soft, "no array at"),
    "external_storage": (outside, "file itself"),
    "huge_shape": (huge, "claims shape"),
    "cycle": (lambda f: f["model_weights/d"].__setitem__("d/x", f["/"]), ""),
    "wrong_shape": (
        lambda f: replaced(f["model_weights/d"], "d/kernel:0", draw(2, 4)),
        r"d.kernel: expected shape \(2, 3\)",
    ),
    "integers": (
        lambda f: replaced(f["model_weights/d"], "d/kernel:0", np.ones((2, 3), "i4")),
        "d.kernel': expected float32, received int32",
    ),
    "texts": (
        lambda f: replaced(f["model_weights/d"], "d/kernel:0", np.full((2, 3), b"x")),
        "expected one of",
    ),
    "nan": (
        lambda f: replaced(f["model_weights/d"], "d/kernel:0", not_a_number()),
        "'d.kernel' holds NaN",
    ),
    "missing_array": (lambda f: f["model_weights/d"].__delitem__("d/kernel:0"), "no array at"),
    "missing_group": (lambda f: f["model_weights"].__delitem__("d"), "no group"),
    "missing_names": (lambda f: f["model_weights/d"].attrs.pop("weight_names"), "weight_names"),
    "no_bias": (
        lambda f: f["model_weights/d"].attrs.__setitem__("weight_names", [b"d/kernel:0"]),
        "expected 2 variables",
    ),
    "other_variable": (
        lambda f: f["model_weights/d"].attrs.__setitem__("weight_names", [b"d/kernel:0"] * 2),
        "d.bias",
    ),
    "numbers_for_names": (
        lambda f: f["model_weights/d"].attrs.__setitem__("weight_names", [1.0, 2.0]),
        "no text",
    ),
    "one_layer": (
        lambda f: f["model_weights"].attrs.__setitem__("layer_names", [b"d"]),
        "the 2 layers",
    ),
    "layers_reordered": (reordered, "another order"),
    "config_is_no_json": (set_config("{"), "JSON"),
    "config_is_deep": (set_config("[" * 60_000), "JSON"),
    "config_is_a_number": (set_config(3), "no text"),
    "config_is_no_text": (set_config(b"\xff\xfe"), "no text"),
    "config_without_layers": (set_config('{"class_name": "Sequential", "config": {}}'), "layers"),
    "config_of_numbers": (
        set_config('{"class_name": "Sequential", "config": [1, [2]]}'),
        "describes no layer",
    ),
    "config_without_config": (set_config('{"class_name": "Sequential"}'), "list of layers"),
    "no_config": (lambda f: f.attrs.pop("model_config"), "holds no model"),
    "no_version": (
        lambda f: [g.attrs.pop("keras_version") for g in (f, f["model_weights"])],
        "written by Keras",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_file_is_one_clear_error(name: str, good: Path) -> None:
    change, words = HOSTILE[name]
    with h5py.File(good, "a") as file:
        change(file)
    if name == "cycle":
        assert len(dict(seqgen.from_keras(good).store())) == 4
        return
    with pytest.raises(SeqgenError, match=words):
        dict(seqgen.from_keras(good).store())


def test_truncated_file(good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    for size in (0, 7, 100, 1000, len(data) // 2, len(data) - 1):
        path = tmp_path / "cut.h5"
        path.write_bytes(data[:size])
        with pytest.raises(SeqgenError, match="no HDF5 file, or it is broken"):
            seqgen.from_keras(path)
    with pytest.raises(SeqgenError, match="cannot read"):
        seqgen.from_keras(tmp_path / "none.h5")


def test_heap_on_which_hdf5_would_turn_for_ever(good: Path) -> None:
    data = bytearray(good.read_bytes())
    start = data.index(b"GCOL")
    size = int.from_bytes(data[start + 8 : start + 16], "little")
    at = start + 16
    while int.from_bytes(data[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(data[at + 8 : at + 16], "little") // 8) * 8
        assert at < start + size
    data[at + 8 : at + 16] = bytes(8)
    good.write_bytes(data)
    with pytest.raises(SeqgenError, match="heap of texts is damaged"):
        seqgen.from_keras(good)


LAYOUTS: dict[str, dict[str, Any]] = {
    "as_it_is": {},
    "in_chunks": {"chunks": (64, 128)},
    "big_end_first": {"dtype": ">f4"},
    "double": {"dtype": "f8"},
}


@pytest.mark.parametrize("user_block", [0, 512])
@pytest.mark.parametrize("how", LAYOUTS)
def test_arrays_of_many_blocks(how: str, user_block: int, tmp_path: Path) -> None:
    values, path = draw(1000, 2 * BLOCK // 1000 + 1), tmp_path / "x.h5"
    values[-1, -1] = 7.0

    def write() -> Weights:
        with h5py.File(path, "w", userblock_size=user_block) as file:
            file.create_dataset("x", data=values, **LAYOUTS[how])
        return numbers_only(Weights({"x": open_store(path).entry("x")}))

    weights = write()
    np.testing.assert_array_equal(weights["x"], values)
    assert weights.own("x").flags.writeable
    weights.save(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(Weights.open(tmp_path / "x.safetensors")["x"], values)
    for place in ((0, 0), (999, -1)):
        values[-1, -1], values[place] = 7.0, np.nan
        with pytest.raises(MismatchError, match="'x' holds NaN"):
            write()["x"]
        with pytest.raises(MismatchError, match="'x' holds NaN"):
            write().save(tmp_path / "x.safetensors")
        values[place] = 7.0
    assert not np.isnan(Weights.open(tmp_path / "x.safetensors")["x"]).any()


def test_file_cut_off_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=draw(1000, 1000))
    entry = open_store(path).entry("x")
    os.truncate(path, 100_000)
    with pytest.raises(SeqgenError, match="'x' cannot be read: the file is cut off"):
        entry.load()


def test_weights_of_another_model(tmp_path: Path) -> None:
    model = nested()
    model.save_weights(tmp_path / "x.weights.h5")
    other = seqgen.from_keras(recurrent())
    with pytest.raises(MismatchError, match="no weights of this model"):
        other.load_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        del file["layers/dense"]
    with pytest.raises(MismatchError, match="no array at 'layers/dense/vars/0'"):
        seqgen.from_keras(model).load_weights(tmp_path / "x.weights.h5")
    (tmp_path / "empty.h5").write_bytes(b"")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(SeqgenError, match="holds no weights"):
        hdf5_weights(tmp_path / "empty.h5", other)


def test_imported_numbers_are_those_of_keras(tmp_path: Path) -> None:
    for make in MODELS:
        model = with_random_weights(make())
        model.save(tmp_path / "model.h5")
        assert_equal(seqgen.from_keras(tmp_path / "model.h5"), model)
