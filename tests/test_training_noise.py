"""What layers draw in training: the generated PyTorch program against Keras, by their statistics.

Both draw from generators of their own, so that no two numbers agree. What must agree is the set of
values (of those that drop), along which axes one draw counts, and the moments of what is drawn,
within six standard deviations of their estimates. Seeds are fixed.
"""

import tempfile
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from seqgen.generator import Options, generate_programs
from seqgen.ir.graph import Model
from seqgen.weights import Weights
from tests.cases import graph_of

keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")

BATCH = 400
# Changes nothing, but lays an image out with its channels first, where PyTorch has layers for them.
CHANNELS_FIRST = {"MaxPooling2D": 1}
# Two inputs, so that noise that is added and noise that is multiplied differ.
INPUTS = (2.0, -1.0)
DEVIATIONS = 6.0

# Recurrent layers that show what they are given.
PLAIN = {
    "units": 1,
    "activation": "linear",
    "kernel_initializer": "identity",
    "recurrent_initializer": "zeros",
    "use_bias": False,
    "return_sequences": True,
}
PLAIN_GATES = {**PLAIN, "recurrent_activation": "linear", "kernel_initializer": "ones"}
CASES = {
    "dropout": ([4, 5, 6], {"Dropout": 0.3}),
    "dropout_vector": ([30], {"Dropout": 0.3}),
    "dropout_rate_0": ([4, 5], {"Dropout": 0.0}),
    "dropout_rate_1": ([4, 5], {"Dropout": 1.0}),
    "dropout_shared": ([4, 5, 6], {"Dropout": {"rate": 0.3, "noise_shape": [None, 1, 5, None]}}),
    "dropout_shared_by_all": ([4, 5], {"Dropout": {"rate": 0.3, "noise_shape": [None, 1, 1]}}),
    "dropout_of_vectors": ([9], {"Dropout": {"rate": 0.3, "noise_shape": [None, 1]}}),
    "dropout_of_batch": ([4, 300], {"Dropout": {"rate": 0.3, "noise_shape": [1, None, None]}}),
    "dropout_of_channels": ([4, 5, 6], {"Dropout": {"rate": 0.3, "noise_shape": [None, 1, 1, 6]}}),
    "dropout_shared_rate_1": ([4, 5], {"Dropout": {"rate": 1.0, "noise_shape": [None, 1, None]}}),
    "stochastic_depth": ([4, 5], {"StochasticDepth": 0.3}),
    "spatial_1d": ([4, 6], {"SpatialDropout1D": 0.3}),
    "spatial_2d": ([4, 5, 6], CHANNELS_FIRST, {"SpatialDropout2D": 0.3}),
    "spatial_2d_equal_sizes": ([5, 5, 5], CHANNELS_FIRST, {"SpatialDropout2D": 0.3}),
    "spatial_2d_channels_first": (
        [6, 5, 4],
        {"SpatialDropout2D": {"rate": 0.3, "data_format": "channels_first"}},
    ),
    "spatial_3d": ([2, 3, 4, 6], {"SpatialDropout3D": 0.3}),
    "gaussian_noise": ([4, 5, 6], {"GaussianNoise": 0.4}),
    "gaussian_noise_0": ([4, 5], {"GaussianNoise": 0.0}),
    "gaussian_dropout": ([4, 5, 6], {"GaussianDropout": 0.3}),
    "gaussian_dropout_rate_0": ([4, 5], {"GaussianDropout": 0.0}),
    "alpha_dropout": ([4, 5, 6], {"AlphaDropout": 0.2}),
    "alpha_dropout_rate_0": ([4, 5], {"AlphaDropout": 0.0}),
    "alpha_dropout_shared": ([4, 6], {"AlphaDropout": {"rate": 0.2, "noise_shape": [None, 1, 6]}}),
    "alpha_dropout_shared_rate_0": (
        [4, 6],
        {"AlphaDropout": {"rate": 0.0, "noise_shape": [None, 1, None]}},
    ),
    # What comes out is what is dropped of what goes in: at every step the same.
    "rnn_inputs": ([4, 6], {"SimpleRNN": {**PLAIN, "units": 6, "dropout": 0.3}}),
    "lstm_inputs": ([4, 1], {"LSTM": {**PLAIN_GATES, "dropout": 0.3}}),
    # Each gate drops inputs of its own as soon as states are dropped as well.
    "lstm_gates": ([1, 1], {"LSTM": {**PLAIN_GATES, "dropout": 0.3, "recurrent_dropout": 1e-9}}),
    "gru_gates": ([1, 1], {"GRU": {**PLAIN_GATES, "dropout": 0.2, "recurrent_dropout": 1e-9}}),
    "rnn_states": (
        [2, 1],
        {"SimpleRNN": {**PLAIN, "recurrent_initializer": "ones", "recurrent_dropout": 0.3}},
    ),
    "lstm_states": (
        [2, 1],
        {"LSTM": {**PLAIN_GATES, "recurrent_initializer": "ones", "recurrent_dropout": 0.3}},
    ),
    "gru_states": (
        [2, 1],
        {
            "GRU": {
                **PLAIN_GATES,
                "recurrent_initializer": "ones",
                "reset_after": False,
                "recurrent_dropout": 0.3,
            }
        },
    ),
}
# Programs that draw something else, each by a change of the right one.
WRONG = [
    ("dropout", "Dropout(0.3)", "Dropout(0.33)"),
    ("dropout", "nn.Dropout(0.3)", "nn.AlphaDropout(0.3)"),
    ("dropout", "nn.Dropout(0.3)", "nn.Dropout2d(0.3)"),
    ("dropout_shared", "(None, 1, None, None)", "(None, None, 1, None)"),
    ("spatial_2d", "nn.Dropout2d", "nn.Dropout"),
    ("spatial_2d_equal_sizes", "Dropout2d(0.3)", "Dropout2d(0.27)"),
    ("gaussian_noise", "torch.randn_like(x)", "torch.rand_like(x)"),
    ("gaussian_noise", "(0.4)", "(0.44)"),
    ("gaussian_dropout", "(rate / (1 - rate))", "(rate)"),
    ("gaussian_dropout", "x * (1 + ", "(x + "),
    ("alpha_dropout", "AlphaDropout(0.2)", "Dropout(0.2)"),
    ("alpha_dropout_shared", "limit * self.rate", "limit * (1 - self.rate)"),
    ("rnn_inputs", "(0.3, (None, 1, None))", "(0.3, (None, None, None))"),
    ("lstm_gates", "rate) for t, rate", "rate)[:1].expand(4, *t.shape) for t, rate"),
    ("rnn_states", "recurrent_dropout=0.3", "recurrent_dropout=0.33"),
    ("gru_states", " * (1 if h_noise is None else h_noise[2])", ""),
]


@dataclass(frozen=True)
class Drawn:
    """What a program makes in training of one number, everywhere."""

    values: np.ndarray

    @property
    def shared(self) -> tuple[bool, ...]:
        """For each axis, whether all values along it are one draw."""
        spans = (np.ptp(self.values, axis=axis).max() for axis in range(self.values.ndim))
        return tuple(bool(span < 1e-6) for span in spans)

    @property
    def independent(self) -> np.ndarray:
        """One value of each draw."""
        index = tuple(slice(0, 1) if shared else slice(None) for shared in self.shared)
        return self.values[index].ravel().astype(np.float64)

    @property
    def few(self) -> np.ndarray | None:
        """The values, if there are as few as a mask makes."""
        found = np.unique(self.values.round(5))
        return found if len(found) <= 2 else None


def run(text: str) -> ModuleType:
    """A generated program as a module."""
    module = ModuleType("program")
    exec(compile(text, "program", "exec"), module.__dict__)
    return module


def loaded(program: ModuleType, graph: Model) -> Any:
    """The model of a program, with the initial weights of its spec."""
    model = program.build_model()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/weights.safetensors"
        Weights.initialize(graph.weights).save(path)
        program.load_weights(model, path)
    return model


def draw(case: str, number: float, old: str = "", new: str = "") -> tuple[Drawn, Drawn]:
    """What Keras and the PyTorch program, with a part of its text replaced, draw."""
    shape, *layers = CASES[case]
    graph = graph_of({"name": "noise", "input": shape, "layers": layers})
    manifest = generate_programs(graph, Options(("keras", "torch")), "")
    text = manifest.files["torch_model.py"]
    assert old in text
    perm = manifest.content["targets"]["torch"]["inputs"][0]["perm"] or range(len(shape) + 1)
    x = np.full((BATCH, *shape), number, np.float32)
    keras.utils.set_random_seed(1)
    torch.manual_seed(2)
    expected, received = (
        loaded(run(program), graph)
        for program in (manifest.files["keras_model.py"], text.replace(old, new))
    )
    expected = expected(x, training=True)
    received = received.train()(torch.from_numpy(x.transpose(perm))).detach().numpy()
    back = np.argsort(perm)
    return Drawn(keras.ops.convert_to_numpy(expected)), Drawn(received.transpose(back))


def moments(drawn: Drawn) -> list[tuple[float, float]]:
    """Mean, variance and weight of the tails of what is drawn, each with its standard error."""
    x = drawn.independent
    centered = x - x.mean()
    tails = np.abs(centered) > 1.5 * x.std()
    # Of two values, the mean says it all.
    samples = (x,) if drawn.few is not None else (x, centered**2, tails.astype(np.float64))
    return [(s.mean(), s.std() / np.sqrt(len(s))) for s in samples]


def disagreement(expected: Drawn, received: Drawn) -> str:
    """How two programs differ in what they draw; empty if they do not."""
    if expected.shared != received.shared:
        return f"one draw along {received.shared} instead of {expected.shared}"
    few, found = expected.few, received.few
    if (few is None) != (found is None):
        return f"values {found} instead of {few}"
    if few is not None and (len(found) != len(few) or not np.allclose(few, found, atol=2e-5)):
        return f"values {found} instead of {few}"
    names = ("mean", "variance", "tails")
    for name, (a, da), (b, db) in zip(names, moments(expected), moments(received), strict=False):
        if abs(a - b) > DEVIATIONS * np.hypot(da, db) + 1e-5:
            return f"{name} {b:.4f} instead of {a:.4f}"
    return ""


@pytest.mark.parametrize("case", CASES)
def test_noise_is_that_of_keras(case: str) -> None:
    for number in INPUTS:
        assert disagreement(*draw(case, number)) == ""


@pytest.mark.parametrize(("case", "old", "new"), WRONG)
def test_other_noise_is_seen(case: str, old: str, new: str) -> None:
    assert any(disagreement(*draw(case, number, old, new)) for number in INPUTS)


def test_every_step_draws_anew() -> None:
    shape, *layers = CASES["dropout_shared"]
    graph = graph_of({"name": "noise", "input": shape, "layers": layers})
    model = run(generate_programs(graph, Options(("torch",)), "").files["torch_model.py"])
    made = model.build_model().train()
    x = torch.ones(BATCH, *shape)
    assert not torch.equal(made(x), made(x))
