"""Initial values have the distributions of Keras, which is asked itself."""

import math
from typing import Any

import numpy as np
import pytest

from seqgen.errors import SpecError
from seqgen.initializers import draw, draw_telling, fans, generator, require
from seqgen.ir.build import input_type
from seqgen.layers.base import Weight
from seqgen.layers.objects import INITIALIZERS, Named

KERNEL = (3, 5, 40, 60)
RANDOM = {
    "dense": (Named("GlorotUniform"), (120, 300)),
    "convolution": (Named("GlorotUniform"), KERNEL),
    "vector": (Named("LecunNormal"), (40000,)),
    "normal": (Named("RandomNormal", (("mean", 0.5), ("stddev", 2.0))), (200, 200)),
    "uniform": (Named("RandomUniform", (("minval", -1.0), ("maxval", 3.0))), (200, 200)),
    "truncated": (Named("TruncatedNormal", (("mean", -1.0), ("stddev", 0.3))), (200, 200)),
    **{
        name: (Named(name), KERNEL) for name in INITIALIZERS if name.endswith(("Normal", "Uniform"))
    },
    **{
        f"{mode} {distribution}": (
            Named(
                "VarianceScaling",
                (("scale", 3.0), ("mode", mode), ("distribution", distribution)),
            ),
            (150, 240),
        )
        for mode in ("fan_in", "fan_out", "fan_avg")
        for distribution in ("truncated_normal", "untruncated_normal", "uniform")
    },
    "axes": (
        Named("HeNormal", (("input_axes", (0,)), ("output_axes", (1, -1)))),
        (64, 16, 40),
    ),
    "input axes alone": (Named("HeUniform", (("input_axes", (0,)),)), (64, 16, 40)),
    "orthogonal": (Named("Orthogonal", (("gain", 1.5),)), (200, 200)),
}
EXACT = {
    "zeros": (Named("Zeros"), (2, 3)),
    "ones": (Named("Ones"), ()),
    "constant": (Named("Constant", (("value", 0.3),)), (3, 2)),
    "constant row": (Named("Constant", (("value", (1.0, -2.0, 0.1)),)), (2, 3)),
    "identity": (Named("Identity", (("gain", 2.5),)), (3, 5)),
}
# GlorotUniform and HeNormal of shape (2, 2) for seed 0 and the key `dense.kernel`.
UNIFORM = [-0.08224643847284852, -0.6767188572987635, -0.8991374199685085, 0.9549972100483151]
NORMAL = [0.6323124731310373, -1.1566858571992216, -0.10103242865216208, 0.2902163428814473]
SEEDED = [name for name, signature in INITIALIZERS.items() if "seed" in signature]


def keras_values(initializer: Named, shape: tuple[int, ...], **more: int) -> np.ndarray:
    import keras

    arguments = {
        key: np.array(value, "float32") if key == "value" else value
        for key, value in initializer.arguments
    }
    made = getattr(keras.initializers, initializer.name)(**arguments, **more)
    return keras.ops.convert_to_numpy(made(shape, dtype="float32"))


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two empirical distributions, as Kolmogorov and Smirnov take it."""
    values = np.concatenate((ours, theirs))
    below = [np.searchsorted(np.sort(side), values, "right") / side.size for side in (ours, theirs)]
    return float(np.abs(below[0] - below[1]).max())


@pytest.mark.parametrize("name", RANDOM)
def test_distribution_is_that_of_keras(name: str) -> None:
    initializer, shape = RANDOM[name]
    ours = draw(initializer, shape, generator(1, name)).ravel()
    theirs = keras_values(initializer, shape, seed=7).ravel()
    spread = float(theirs.std())
    # Orthogonal entries depend on each other only weakly; the same bounds hold.
    assert distance(ours, theirs) < 2.2 * math.sqrt(2 / ours.size)
    assert ours.std() == pytest.approx(spread, rel=0.02)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.03 * spread)
    if "ormal" not in name and name != "orthogonal":
        assert ours.min() == pytest.approx(theirs.min(), abs=0.01 * spread)
        assert ours.max() == pytest.approx(theirs.max(), abs=0.01 * spread)


def test_the_comparison_of_distributions_can_fail() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=36000), 1.03 * rng.normal(size=36000)
    cut = theirs[np.abs(theirs) < 2]
    assert distance(ours, cut) > 2.2 * math.sqrt(2 / ours.size)
    assert ours.std() != pytest.approx(theirs.std(), rel=0.02)


@pytest.mark.parametrize("name", EXACT)
def test_constants_are_those_of_keras(name: str) -> None:
    initializer, shape = EXACT[name]
    ours = draw(initializer, shape, generator(0))
    theirs = keras_values(initializer, shape)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (5, 3, 4), (2, 3, 4, 6), (2, 2, 2, 3, 5)])
@pytest.mark.parametrize("axes", [(None, None), ((0,), (-1,)), ((0, 1), None)])
def test_fans_are_those_of_keras(shape: tuple[int, ...], axes: tuple) -> None:
    from keras.src.initializers.random_initializers import compute_fans

    if shape or axes[1] is None:
        assert fans(shape, *axes) == compute_fans(shape, *axes)


def test_truncation_is_at_two_standard_deviations() -> None:
    values = draw(Named("TruncatedNormal", (("stddev", 1.0),)), (500, 500), generator(0), "float64")
    assert 1.99 < np.abs(values).max() <= 2.0
    assert draw(Named("LecunNormal"), (1000, 200), generator(0)).std() == pytest.approx(
        math.sqrt(1 / 1000), rel=0.01
    )


@pytest.mark.parametrize("shape", [(3, 3, 8, 20), (40, 10), (10, 40)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    values = draw(Named("Orthogonal", (("gain", 3.0),)), shape, generator(0), "float64")
    matrix = values.reshape(-1, shape[-1]) / 3.0
    product = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-13)
    assert (matrix.diagonal() > 0).any()
    assert (matrix.diagonal() < 0).any()


@pytest.mark.parametrize("name", SEEDED)
def test_an_own_seed_goes_before_the_generator(name: str) -> None:
    seeded = [Named(name, (("seed", seed),)) for seed in (3, 4, -3)]
    first, again = (draw(seeded[0], (4, 5), generator(i)) for i in (0, 1))
    np.testing.assert_array_equal(first, again)
    assert all((draw(other, (4, 5), generator(0)) != first).any() for other in seeded[1:])
    unseeded = [draw(Named(name), (4, 5), generator(i)) for i in (0, 1)]
    assert (unseeded[0] != unseeded[1]).any()


def test_values_are_pinned() -> None:
    """A change of NumPy or of this module that moves the numbers of a seed is seen here."""
    uniform = draw(Named("GlorotUniform"), (2, 2), generator(0, "dense.kernel"), "float64")
    normal = draw(Named("HeNormal"), (2, 2), generator(0, "dense.kernel"), "float64")
    np.testing.assert_allclose(uniform.ravel(), UNIFORM, rtol=1e-14)
    np.testing.assert_allclose(normal.ravel(), NORMAL, rtol=1e-14)


@pytest.mark.parametrize("name", [*SEEDED, "Ones"])
def test_dtypes_hold_the_same_values(name: str) -> None:
    wide = draw(Named(name), (300, 300), generator(0), "float64")
    assert wide.dtype == np.float64
    for dtype in ("float32", "float16", "bfloat16"):
        narrow = draw(Named(name), (300, 300), generator(0), dtype)
        assert narrow.dtype.name == dtype
        np.testing.assert_array_equal(narrow, wide.astype(narrow.dtype))


@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        (Named("Identity"), (3,)),
        (Named("Identity"), (2, 3, 4)),
        (Named("Orthogonal"), (3,)),
        (Named("Constant", (("value", (1.0, 2.0)),)), (3,)),
        (Named("Constant", (("value", (1.0, 2.0)),)), ()),
        (Named("Constant", (("value", ((1.0, 2.0), (3.0,))),)), (2, 2)),
        (Named("GlorotNormal", (("input_axes", (2,)), ("output_axes", (0,)))), (3, 4)),
    ],
)
def test_unfit_shapes_are_refused(initializer: Named, shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=f"initializer '{initializer.name}' expected"):
        draw(initializer, shape, generator(0))


def telling(name: str, shape: tuple[int, ...], **more: str) -> np.ndarray:
    weight = Weight(name, shape, Named("Zeros"), key=more.get("key", f"layer.{name}"))
    return draw_telling(weight, generator(0, name), more.get("dtype", "float32"))


def test_telling_values_are_away_from_what_hides_a_term() -> None:
    for name in ("bias", "beta", "moving_mean", "lstm_cell/bias"):
        assert np.abs(telling(name, (2, 500))).min() >= 0.1
    variance, gamma, alpha = (telling(n, (500,)) for n in ("moving_variance", "gamma", "alpha"))
    assert ((variance >= 0.5) & (variance <= 1.5) & (np.abs(variance - 1) > 0.09)).all()
    assert ((gamma >= 0.5) & (gamma <= 1.5) & (np.abs(gamma - 1) > 0.09)).all()
    assert ((alpha > 0.05) & (alpha < 0.5)).all()
    assert variance.min() < 1 < variance.max()
    assert gamma.min() < 1 < gamma.max()
    assert telling("embeddings", (300, 40)).std() == pytest.approx(1, rel=0.05)


def test_telling_kernels_have_the_root_of_their_inputs() -> None:
    kernel = telling("kernel", (4, 2, 16, 30))
    assert kernel.std() * math.sqrt(4 * 2 * 16) == pytest.approx(1, rel=0.05)
    assert (kernel != kernel[::-1]).all()
    assert (kernel != kernel[:, ::-1]).all()
    for depthwise in (
        telling("depthwise_kernel", (3, 3, 500, 2)),
        telling("kernel", (3, 3, 500, 2), key="depthwise_conv2d.kernel"),
    ):
        assert depthwise.std() * 3 == pytest.approx(1, rel=0.05)


def test_telling_counts_are_integers() -> None:
    assert telling("count", (), dtype="int64") >= 1
    assert telling("count", (), dtype="int64").dtype == np.int64


def forgetting(initializer: Any, layer: str = "LSTM") -> Weight:
    """The bias of an LSTM of two units, or of a ConvLSTM of two filters."""
    import seqgen.layers

    x = {"LSTM": (5, 3), "ConvLSTM1D": (5, 4, 3)}[layer]
    arguments = {"LSTM": (2,), "ConvLSTM1D": (2, 3)}[layer]
    made = getattr(seqgen.layers, layer)(*arguments, bias_initializer=initializer)
    return made.weight_types(input_type(x, "float32", "channels_last"))[-1]


@pytest.mark.parametrize("layer", ["LSTM", "ConvLSTM1D"])
def test_an_lstm_begins_without_forgetting(layer: str) -> None:
    bias = forgetting({"Constant": 0.5}, layer)
    values = draw(bias.initializer, bias.shape, generator(0, bias.key))
    np.testing.assert_array_equal(values, [0.5, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.5])


def test_a_forgetting_bias_needs_what_keras_needs() -> None:
    bias = forgetting({"Constant": [0.5, 0.25]})
    with pytest.raises(SpecError, match="can be broadcast"):
        require(bias.initializer, bias.shape)
    keras = pytest.importorskip("keras")
    constant = keras.initializers.Constant([0.5, 0.25])
    with pytest.raises(Exception):  # noqa: B017, PT011 (an error of the backend)
        keras.layers.LSTMCell(2, bias_initializer=constant).build((None, 3))


def test_a_forgetting_bias_is_no_initializer_of_a_spec() -> None:
    from seqgen.layers import Dense

    with pytest.raises(SpecError, match="the name of an initializer"):
        Dense(3, bias_initializer="UnitForgetBias")
    assert "UnitForgetBias" not in INITIALIZERS
