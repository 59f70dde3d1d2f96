"""Models that Keras makes and saves, imported and compared with what Keras computes."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen.errors import SeqgenError, UnsupportedError

keras = pytest.importorskip("keras")
layers = keras.layers


def small_cnn() -> Any:
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Rescaling(1 / 255.0),
            layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
            layers.Conv2D(4, 3, activation="relu"),
            layers.SeparableConv2D(3, 2),
            layers.BatchNormalization(),
            layers.Conv2D(
                2,
                2,
                activation=layers.LeakyReLU(0.1),
                kernel_regularizer="l2",
                kernel_constraint=keras.constraints.MaxNorm(3.0),
                name="weird name",
            ),
            layers.PReLU(shared_axes=[1, 2]),
            layers.GlobalAveragePooling2D(),
            layers.Dense(
                3,
                kernel_initializer=keras.initializers.HeNormal(seed=3),
                activation="softmax",
            ),
        ],
        name="small_cnn",
    )
    model.layers[3].trainable = False
    return model


def nested() -> Any:
    inner = keras.Sequential([layers.Dense(3), layers.Dense(2, activation="gelu")], name="inner")
    twin = keras.Sequential([layers.Dense(5), layers.Dropout(0.5)], name="twin")
    return keras.Sequential([keras.Input((4,)), inner, layers.Dense(4), twin], name="nested")


def spectral() -> Any:
    wrapped = layers.SpectralNormalization(layers.Dense(3, name="inside"))
    return keras.Sequential([keras.Input((4,)), wrapped, layers.ELU(0.3)], name="spectral")


def built_late() -> Any:
    model = keras.Sequential([layers.Dense(3, activation="tanh"), layers.Dense(2)], name="late")
    model.build((None, 6))
    return model


def adapted() -> Any:
    normalization = layers.Normalization(axis=-1)
    normalization.adapt(np.random.default_rng(0).normal(2.0, 3.0, (64, 5)).astype("float32"))
    return keras.Sequential([keras.Input((5,)), normalization, layers.Dense(2)], name="adapted")


def double() -> Any:
    return keras.Sequential(
        [keras.Input((5,), dtype="float64"), layers.Dense(2, dtype="float64")], name="double"
    )


def recurrent() -> Any:
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            layers.LSTM(3, return_sequences=True, name="memory"),
            layers.Bidirectional(layers.GRU(2, return_sequences=True, reset_after=False)),
            layers.Bidirectional(
                layers.SimpleRNN(3, return_sequences=True),
                merge_mode="mul",
                backward_layer=layers.LSTM(3, go_backwards=True, return_sequences=True),
            ),
            layers.RNN([layers.LSTMCell(2), layers.GRUCell(3), layers.LSTMCell(2, name="x")]),
        ],
        name="recurrent",
    )


def within_steps() -> Any:
    deep = keras.Sequential([layers.Dense(2), layers.Dense(3)])
    each = keras.Sequential([layers.Conv1D(3, 2), layers.Flatten(), deep, layers.Dense(2)])
    stacked = layers.RNN([layers.GRUCell(2), layers.GRUCell(3)], return_sequences=True)
    return keras.Sequential(
        [
            keras.Input((5, 6, 4)),
            layers.TimeDistributed(each),
            layers.Bidirectional(stacked),
            layers.TimeDistributed(layers.SpectralNormalization(layers.Dense(4))),
            layers.TimeDistributed(layers.Dense(3, activation="tanh")),
        ],
        name="within_steps",
    )


def moving_pictures() -> Any:
    return keras.Sequential(
        [
            keras.Input((3, 6, 6, 2)),
            layers.ConvLSTM2D(2, 2, return_sequences=True),
            layers.TimeDistributed(layers.Conv2D(2, 2)),
            layers.TimeDistributed(layers.TimeDistributed(layers.SimpleRNN(3))),
            layers.TimeDistributed(layers.Bidirectional(layers.GRU(2))),
        ],
        name="moving_pictures",
    )


MODELS = [small_cnn, nested, spectral, built_late, adapted]
SEQUENCES = [recurrent, within_steps, moving_pictures]


def with_random_weights(model: Any) -> Any:
    """Weights that differ from the fresh ones, so that a default cannot pass for them."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if variable.dtype.startswith("float"):
            variable.assign(rng.uniform(0.2, 1.0, variable.shape))
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


def assert_equal(imported: Any, model: Any) -> None:
    """Same numbers, same counts, same names."""
    x = np.random.default_rng(2).normal(size=(3, *model.input_shape[1:])).astype("float32")
    expected = np.asarray(model(x, training=False))
    assert np.allclose(imported(x), expected, rtol=1e-5, atol=1e-6)
    assert imported.count_params() == model.count_params()
    assert [layer.name for layer in imported.layers] == [layer.name for layer in model.layers]
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert imported.graph().count_params()["trainable"] == trainable


@pytest.mark.parametrize("make", MODELS)
def test_live_model(make: Callable[[], Any]) -> None:
    model = with_random_weights(make())
    assert_equal(seqgen.from_keras(model), model)


@pytest.mark.parametrize("make", MODELS)
def test_keras_file(make: Callable[[], Any], tmp_path: Path) -> None:
    model = with_random_weights(make())
    model.save(tmp_path / "model.keras")
    assert_equal(seqgen.from_keras(tmp_path / "model.keras"), model)


@pytest.mark.parametrize("make", SEQUENCES)
def test_layers_within_layers(make: Callable[[], Any], tmp_path: Path) -> None:
    model = with_random_weights(make())
    model.save(tmp_path / "model.keras")
    expected = {
        variable.path.removeprefix(f"{model.name}/"): np.asarray(variable)
        for variable in model.weights
    }
    for source in (model, tmp_path / "model.keras"):
        imported = {v.path: v.numpy() for v in seqgen.from_keras(source).weights}
        assert list(imported) == list(expected)
        assert all(np.array_equal(imported[path], expected[path]) for path in expected)


@pytest.mark.parametrize("make", [*MODELS, double, *SEQUENCES])
def test_config_as_json(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    (tmp_path / "model.json").write_text(model.to_json())
    imported = seqgen.from_keras(tmp_path / "model.json")
    assert imported.count_params() == model.count_params()
    assert not imported.has_own_weights


def test_command_writes_a_spec_with_its_weights_and_imports_no_framework(tmp_path: Path) -> None:
    model = with_random_weights(small_cnn())
    model.save(tmp_path / "model.keras")
    code = """
import sys
from seqgen.cli import main
try:
    main(["import", "model.keras", "-o", "spec.yaml"])
except SystemExit as done:
    assert not done.code, done.code
bad = {"keras", "tensorflow", "torch", "onnxruntime"} & set(sys.modules)
assert not bad, bad
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert_equal(seqgen.load(tmp_path / "spec.yaml"), model)
    out = tmp_path / "out"
    seqgen.generate(seqgen.load(tmp_path / "spec.yaml"), out)
    assert (out / "weights.safetensors").exists()
    direct = tmp_path / "direct"
    seqgen.generate(seqgen.load(tmp_path / "model.keras"), direct)
    weights = "weights.safetensors"
    assert (direct / weights).read_bytes() == (out / weights).read_bytes()
    again = [sys.executable, "-m", "seqgen.cli", "import", "model.keras", "-o", "spec.yaml"]
    refused = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "exists" in refused.stderr


class Custom(layers.Layer):
    """A layer of a user's own."""

    def call(self, x: Any) -> Any:
        return x


def lambda_layer() -> Any:
    return keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x), Custom(name="mine")])


class Subclassed(keras.Model):
    """A model of a user's own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def subclassed() -> Any:
    return Subclassed(name="mine")


def all_in_a_graph() -> Any:
    """Everything that is refused, at several depths of a graph."""
    entry = keras.Input((4,))
    x = layers.Lambda(lambda x: x, name="code")(entry)
    inner = keras.Model(entry, Custom(name="deep")(x), name="inner")
    y = keras.ops.fft2((entry[:, None], entry[:, None]))[0][:, 0]
    z = layers.LSTM(2, name="memory")(entry[:, None], mask=keras.ops.greater(entry[:, :1], 0))
    return keras.Model(entry, layers.Concatenate()([inner(entry), y, z]), name="graph")


def mixed() -> Any:
    return keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype="mixed_float16")])


def unbuilt() -> Any:
    return keras.Sequential([layers.Dense(2)])


def frozen_too_early() -> Any:
    """Its constructor does not freeze what stands within."""
    steps = layers.TimeDistributed(layers.Dense(3, name="own"), trainable=False, name="steps")
    return keras.Sequential([keras.Input((5, 4)), steps])


def frozen_in_part() -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="some")])
    model.layers[0].bias.trainable = False
    return model


def with_wider_array() -> Any:
    entry = keras.Input((4, 2))
    x = keras.ops.add(entry, np.array([0.5, 0.25]))
    return keras.Model(entry, layers.Dense(2)(x))


def with_states() -> Any:
    entry = keras.Input((4, 2))
    x, state, _ = layers.LSTM(3, return_state=True, name="memory")(entry)
    return keras.Model(entry, layers.Add()([x, state]))


def with_scores() -> Any:
    entry = keras.Input((4, 2))
    heads = layers.MultiHeadAttention(2, 3, name="heads")
    return keras.Model(entry, heads(entry, entry, return_attention_scores=True))


REFUSED = [
    (with_states, ["reads result 1 of 'memory'", "no states"]),
    (with_scores, ["an output of the model reads result 1 of 'heads'", "no attention scores"]),
    (
        with_wider_array,
        ["Add 'add", "an array of float32, as the model has it, received one of float64"],
    ),
    (frozen_too_early, ["'steps'", "freezes its weights, but 'steps/own/kernel'", "once it is"]),
    (frozen_in_part, ["'some'", "trains its weights, but 'some/bias' does not"]),
    (lambda_layer, ["Lambda", "never run", "Custom 'mine'"]),
    (subclassed, ["only Sequential and functional", "Subclassed"]),
    (all_in_a_graph, ["'code'", "'deep'", "FFT2 'fft2", "Greater 'greater", "'memory'", "'mask'"]),
    (mixed, ["mixed_float16"]),
    (unbuilt, ["never built"]),
]


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_refused_by_name(make: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(UnsupportedError) as raised:
        seqgen.from_keras(make())
    assert all(word in str(raised.value) for word in words), str(raised.value)


@pytest.mark.parametrize(
    ("given", "spec"),
    [
        ({}, {"layer": {"LSTM": {"units": 3, "return_sequences": True, "name": "one"}}}),
        (
            {"merge_mode": "sum"},
            {
                "layer": {"LSTM": {"units": 3, "return_sequences": True, "name": "one"}},
                "merge_mode": "sum",
            },
        ),
    ],
)
def test_direction_that_follows_is_left_out(given: Any, spec: Any) -> None:
    layer = layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="one"), **given)
    imported = seqgen.from_keras(keras.Sequential([keras.Input((None, 2)), layer]))
    (item,) = imported.to_dict()["layers"]
    assert item == {"Bidirectional": {**spec, "name": layer.name}}


def test_direction_of_its_own_is_kept() -> None:
    back = layers.LSTM(3, go_backwards=True, activation="relu", name="back")
    model = keras.Sequential(
        [keras.Input((None, 2)), layers.Bidirectional(layers.LSTM(3), backward_layer=back)]
    )
    (item,) = seqgen.from_keras(model).to_dict()["layers"]
    said = item["Bidirectional"]["backward_layer"]["LSTM"]
    assert said == {"units": 3, "activation": "relu", "go_backwards": True, "name": "back"}


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "Softmax"])
def test_layer_that_is_an_activation_elsewhere_stays_a_layer(name: str) -> None:
    layer = layers.TimeDistributed(getattr(layers, name)(name="inner"))
    imported = seqgen.from_keras(keras.Sequential([keras.Input((5, 2)), layer]))
    (item,) = imported.to_dict()["layers"]
    assert item["TimeDistributed"]["layer"] == {name: {"name": "inner"}}


def test_something_else_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="received dict"):
        seqgen.from_keras({})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as Keras writes it."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    nested().save(path)
    return path


def edited(source: Path, out: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A copy of an archive in which each member is what `change` makes of it; None drops it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
    return out


def with_config(change: Callable[[Any], Any]) -> Callable[[str, bytes], bytes]:
    """A change of the config."""

    def apply(name: str, data: bytes) -> bytes:
        return json.dumps(change(json.loads(data))).encode() if name == "config.json" else data

    return apply


def widened(config: Any) -> Any:
    config["config"]["layers"][2]["config"]["units"] = 7
    return config


HOSTILE: dict[str, Callable[[str, bytes], bytes | None]] = {
    "no_config": lambda name, data: None if name == "config.json" else data,
    "no_weights": lambda name, data: None if name.endswith(".h5") else data,
    "config_is_no_json": lambda name, data: b"{" if name == "config.json" else data,
    "config_is_deep": lambda name, data: b"[" * 200_000 if name == "config.json" else data,
    "config_is_a_list": with_config(lambda config: [1]),
    "config_without_layers": with_config(lambda config: {**config, "config": {"name": "m"}}),
    "weights_cut_off": lambda name, data: data[:3000] if name.endswith(".h5") else data,
    "weights_are_no_hdf5": lambda name, data: b"x" * 100 if name.endswith(".h5") else data,
    "keras_2": lambda name, data: (
        b'{"keras_version": "2.15.0"}' if name == "metadata.json" else data
    ),
    "other_shape": with_config(widened),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_file_is_one_clear_error(name: str, good: Path, tmp_path: Path) -> None:
    path = edited(good, tmp_path / "bad.keras", HOSTILE[name])
    with pytest.raises(SeqgenError, match=r"\S"):
        dict(seqgen.from_keras(path).store())


def test_truncated_archive_and_no_archive(good: Path, tmp_path: Path) -> None:
    for data in (good.read_bytes()[:5000], b"", b"PK\x03\x04" + b"\0" * 50):
        path = tmp_path / "bad.keras"
        path.write_bytes(data)
        with pytest.raises(SeqgenError, match="broken"):
            seqgen.from_keras(path)
    with pytest.raises(SeqgenError, match="cannot read"):
        seqgen.from_keras(tmp_path / "none.keras")


def test_external_link_is_not_followed(good: Path, tmp_path: Path) -> None:
    import h5py

    secret, weights = tmp_path / "secret.h5", tmp_path / "model.weights.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.zeros((4, 4), "float32")
    with zipfile.ZipFile(good) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(weights, "a") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        group["0"] = h5py.ExternalLink(str(secret), "/x")
    data = weights.read_bytes()
    swap = lambda name, old: data if name.endswith(".h5") else old  # noqa: E731
    with pytest.raises(SeqgenError, match="layers/dense/vars/0"):
        seqgen.from_keras(edited(good, tmp_path / "bad.keras", swap))
