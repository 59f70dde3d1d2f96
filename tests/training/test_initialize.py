"""First values of PyTorch programs against the distributions of Keras's initializers."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen import initializers
from seqgen.layers.objects import INITIALIZERS
from seqgen.weights import Weights

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
L = seqgen.layers
Program = tuple[Any, ModuleType, Any]


def program(layers: list[Any], shape: tuple[int, ...], folder: Path, **more: Any) -> Program:
    """The model of a training program, every value of it unset, the program and the spec."""
    model = seqgen.Sequential([seqgen.Input(shape, **more), *layers])
    model.compile("sgd", "mse")
    seqgen.generate(model, folder, targets=("torch",))
    names: dict[str, ModuleType] = {}
    for name in ("torch_model", "torch_train"):
        names[name] = sys.modules[name] = ModuleType(name)
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        exec(compile(text, name, "exec"), vars(names[name]))
    made = names["torch_model"].build_model()
    for value in made.state_dict().values():
        value.fill_(math.nan if value.is_floating_point() else 0)
    torch.manual_seed(0)
    return made, names["torch_train"], model


def moments(values: np.ndarray) -> tuple[float, ...]:
    """What tells distributions apart."""
    flat = np.sort(np.asarray(values, np.float64).reshape(-1))
    return flat.mean(), flat.std(), *np.quantile(flat, (0.0, 0.25, 0.75, 1.0))


GIVEN: list[dict[str, Any]] = [{name: {}} for name in INITIALIZERS if name not in ("Constant",)]
GIVEN += [
    {"Constant": {"value": 0.25}},
    {"RandomUniform": {"minval": 1.0, "maxval": 3.0}},
    {"TruncatedNormal": {"mean": 2.0, "stddev": 0.5}},
    {"VarianceScaling": {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}},
    {"VarianceScaling": {"mode": "fan_avg", "distribution": "untruncated_normal"}},
    {"HeNormal": {"seed": 3}},
    {"Orthogonal": {"gain": 2.0}},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_first_values_are_distributed_as_in_keras(given: dict[str, Any], tmp_path: Path) -> None:
    made, train, _ = program([L.Dense(300, kernel_initializer=given)], (300,), tmp_path)
    train.initialize(made)
    ((name, arguments),) = given.items()
    expected = np.asarray(getattr(keras.initializers, name)(**arguments)((300, 300)))
    found = made.dense.weight.detach().numpy().T
    assert not made.dense.bias.any()
    unbounded = name in ("Orthogonal", "RandomNormal") or "untruncated_normal" in str(given)
    for which, (a, b) in enumerate(zip(moments(expected), moments(found), strict=True)):
        # Without bounds the smallest and the largest number differ by chance.
        if not unbounded or which not in (2, 5):
            assert a == pytest.approx(b, abs=0.05 * float(expected.std()) + 1e-9)
    if name in ("Orthogonal", "Identity"):
        np.testing.assert_allclose(found.T @ found, expected.T @ expected, atol=2e-5)


KERNELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv": (lambda: L.Conv2D(40, 3, kernel_initializer="he_normal"), (8, 8, 20)),
    "conv by outputs": (
        lambda: L.Conv2D(40, 3, kernel_initializer={"VarianceScaling": {"mode": "fan_out"}}),
        (8, 8, 20),
    ),
    "transposed": (lambda: L.Conv2DTranspose(40, 3, kernel_initializer="he_uniform"), (8, 8, 20)),
    "depthwise": (lambda: L.DepthwiseConv2D(5, depth_multiplier=2), (8, 8, 80)),
    "separable": (lambda: L.SeparableConv1D(80, 9), (20, 50)),
    "lstm": (lambda: L.LSTM(60), (5, 50)),
    "gru": (lambda: L.GRU(60, kernel_initializer="lecun_normal"), (5, 50)),
    "words": (lambda: L.Embedding(100, 50, embeddings_initializer="lecun_uniform"), (3,)),
    "einsum": (lambda: L.EinsumDense("abc,cde->abde", (None, 20, 30)), (3, 40)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_fans_are_those_of_keras(name: str, tmp_path: Path) -> None:
    layer, shape = KERNELS[name]
    dtype = {"dtype": "int32"} if name == "words" else {}
    made, train, model = program([layer()], shape, tmp_path, **dtype)
    train.initialize(made)
    found = [v.numpy().std() for k, v in made.state_dict().items() if "bias" not in k]
    kernels = [w for w in model.graph().weights if "bias" not in w.name]
    rng = np.random.default_rng(0)
    expected = [initializers.draw(w.initializer, w.shape, rng).std() for w in kernels]
    np.testing.assert_allclose(found, expected, rtol=0.06)


ORTHOGONAL: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv": (lambda: L.Conv2D(7, 3, kernel_initializer="orthogonal"), (5, 5, 4)),
    "transposed": (lambda: L.Conv1DTranspose(7, 3, kernel_initializer="orthogonal"), (5, 4)),
    "depthwise": (
        lambda: L.DepthwiseConv2D(3, depth_multiplier=2, depthwise_initializer="orthogonal"),
        (5, 5, 4),
    ),
    "einsum": (
        lambda: L.EinsumDense("abc,cde->abde", (None, 3, 5), kernel_initializer="orthogonal"),
        (3, 4),
    ),
}


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_orthogonal_as_keras_flattens(name: str, tmp_path: Path) -> None:
    layer, shape = ORTHOGONAL[name]
    made, train, model = program([layer()], shape, tmp_path)
    train.initialize(made)
    seqgen.port_weights(
        model, source=save(made, tmp_path / "first.pt"), target=tmp_path / "w.safetensors"
    )
    (weight,) = [w for w in model.graph().weights if "bias" not in w.name]
    kernel = Weights.open(tmp_path / "w.safetensors")[weight.key]
    matrix = kernel.reshape(-1, kernel.shape[-1])
    small = matrix.T @ matrix if len(matrix) >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-5)


def save(model: Any, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


def test_every_value_is_drawn_as_its_layer_says(tmp_path: Path) -> None:
    layers = [
        L.Conv2D(4, 3),
        L.BatchNormalization(moving_variance_initializer={"Constant": 2.0}),
        L.DepthwiseConv2D(3, name="depthwise_conv2d", bias_initializer="ones"),
        L.PReLU(alpha_initializer={"Constant": 0.5}),
        L.Reshape((-1, 8)),
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
        L.TimeDistributed(L.Dense(3, bias_initializer={"Constant": [1.0, 2.0, 3.0]})),
        L.LSTM(3, name="lstm", return_sequences=True, bias_initializer={"Constant": 0.5}),
        L.LayerNormalization(),
    ]
    made, train, _ = program(layers, (8, 8, 3), tmp_path)
    train.initialize(made)
    values = {k: v for k, v in made.state_dict().items() if v.is_floating_point()}
    assert all(torch.isfinite(v).all() for v in values.values())
    first = {k: v.flatten().tolist() for k, v in values.items()}
    assert first["batch_normalization.running_var"] == [2.0] * 4
    assert first["conv2d.bias"] == [0.0] * 4
    assert first["depthwise_conv2d.bias"] == [1.0] * 4
    assert set(first["lstm.bias_ih_l0"][:3] + first["lstm.bias_ih_l0"][6:]) == {0.5}
    assert first["lstm.bias_ih_l0"][3:6] == [1.0] * 3
    assert [1.0, 2.0, 3.0] in first.values()
