"""One step of gradient descent: the generated PyTorch program against Keras, variable by variable.

Verification compares results and what training mode changes; here gradients are compared too, and
that the backward pass runs at all.
"""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from seqgen.generator import Manifest, Options, generate_programs
from seqgen.ir.graph import Model
from seqgen.targets import TARGETS
from seqgen.verify.rows import names_of
from seqgen.weights import random_weights
from tests.cases import graph_of

tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

CONV = {"Conv2D": {"filters": 4, "kernel_size": 2}}
CASES = {
    "batch": [CONV, "BatchNormalization", "ReLU", {"BatchNormalization": {"axis": 1}}],
    "batch_without": [
        {"BatchNormalization": {"scale": False}},
        "ReLU",
        {"BatchNormalization": {"center": False, "momentum": 0.5}},
    ],
    "batch_of_vectors": [CONV, "Flatten", "BatchNormalization", {"Dense": 3}],
    "batch_frozen": [{"BatchNormalization": {"trainable": False}}, CONV],
    "group": [CONV, {"GroupNormalization": {"groups": 2, "center": False}}],
    "layer": ["LayerNormalization", CONV, {"LayerNormalization": {"axis": [1, 3]}}],
    "layer_rms_scaling": [CONV, {"LayerNormalization": {"axis": 2, "rms_scaling": True}}],
    "rms": [CONV, "RMSNormalization", "UnitNormalization"],
    "spectral": [{"SpectralNormalization": {"layer": CONV, "power_iterations": 2}}],
    "spectral_of_vectors": [CONV, "Flatten", {"SpectralNormalization": {"layer": {"Dense": 3}}}],
    "upsampling": [CONV, {"UpSampling2D": {"size": [2, 3]}}, CONV],
}
SEQUENCES = {
    "lstm": [{"LSTM": 4}],
    "lstm_masked": [
        "Masking",
        {"LSTM": {"units": 4, "return_sequences": True}},
        {"LSTM": {"units": 3, "go_backwards": True, "zero_output_for_mask": True}},
    ],
    "lstm_loop": ["Masking", {"LSTM": {"units": 4, "activation": "gelu"}}],
    "gru": [{"GRU": {"units": 4, "return_sequences": True}}, {"GRU": 3}],
    "gru_masked": ["Masking", {"GRU": {"units": 4, "return_sequences": True}}],
    "gru_reset_before": ["Masking", {"GRU": {"units": 4, "reset_after": False}}],
    "simple": ["Masking", {"SimpleRNN": {"units": 4, "activation": "relu"}}],
    "both_ways": [{"Bidirectional": {"layer": {"LSTM": {"units": 3}}}}],
    "both_ways_masked": [
        "Masking",
        "BatchNormalization",
        {"Bidirectional": {"layer": {"GRU": {"units": 3, "return_sequences": True}}}},
        {"Bidirectional": {"layer": {"LSTM": {"units": 3}}, "merge_mode": "mul"}},
    ],
    "stacked": ["Masking", {"RNN": {"cell": [{"LSTMCell": 3}, {"GRUCell": 4}]}}],
    "frozen": ["Masking", {"LSTM": {"units": 4, "trainable": False}}, {"Dense": 2}],
    "mean": ["Masking", {"Dense": 3}, "GlobalAveragePooling1D"],
    "each_step": [{"TimeDistributed": {"layer": {"Dense": 4}}}, {"LSTM": 2}],
}
RATE = 0.1


def run(text: str) -> ModuleType:
    """A generated program as a module."""
    module = ModuleType("program")
    exec(compile(text, "program", "exec"), module.__dict__)
    return module


def keras_step(program: ModuleType, weights: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every variable after a step, by its key."""
    model = program.build_model()
    program.load_weights(model, weights)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.sin(model(x, training=True)))
    trained = model.trainable_variables
    for variable, gradient in zip(trained, tape.gradient(loss, trained), strict=True):
        variable.assign_sub(RATE * gradient)
    prefix = f"{model.name}/"
    return {v.path.removeprefix(prefix).replace("/", "."): v.numpy() for v in model.weights}


def torch_step(program: ModuleType, weights: str, x: Any) -> dict[str, np.ndarray]:
    """Every variable after a step, by its name in the state dict."""
    model = program.build_model()
    program.load_weights(model, weights)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=RATE)
    torch.sin(model.train()(x)).mean().backward()
    optimizer.step()
    return {name: value.numpy() for name, value in model.state_dict().items()}


def as_in_torch(graph: Model, manifest: Manifest, values: dict[str, np.ndarray]) -> Any:
    """Variables in Keras layout, by the name and as PyTorch has them."""
    lowered = TARGETS["torch"].lower(graph, "native")
    moves = [m for node in lowered.nodes for m in TARGETS["torch"].moves(lowered, node)]
    names = manifest.content["targets"]["torch"]["weights"]
    known = {key: iter(names_of(names, key)) for key in names}
    return {next(known[m.weight.key]): m.apply(values[m.weight.key]) for m in moves}


def sequences() -> np.ndarray:
    """Sequences of which some steps are zeros: at the end, at the beginning, and one between."""
    x = np.random.default_rng(3).normal(size=(5, 7, 3))
    x[0, 4:] = x[1, :3] = x[2, 3] = 0
    return x


@pytest.mark.parametrize("case", SEQUENCES)
def test_step_over_sequences_changes_variables_as_in_keras(case: str, tmp_path: Any) -> None:
    check_step(SEQUENCES[case], sequences(), tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_step_changes_variables_as_in_keras(case: str, tmp_path: Any) -> None:
    check_step(CASES[case], np.random.default_rng(3).normal(size=(6, 5, 4, 3)), tmp_path)


def check_step(layers: list[Any], x: np.ndarray, tmp_path: Any) -> None:
    """Compare every variable after a step over a batch."""
    spec = {"name": "step", "input": x.shape[1:], "dtype": "float64", "layers": layers}
    graph = graph_of(spec)
    manifest = generate_programs(graph, Options(("keras", "torch")), "")
    weights = str(tmp_path / "weights.safetensors")
    before = random_weights(graph.weights, 1, "float64")
    before.save(weights)
    expected = keras_step(run(manifest.files["keras_model.py"]), weights, x)
    perm = manifest.content["targets"]["torch"]["inputs"][0]["perm"] or range(x.ndim)
    given = torch.from_numpy(x.transpose(perm).copy())
    received = torch_step(run(manifest.files["torch_model.py"]), weights, given)
    for name, value in as_in_torch(graph, manifest, expected).items():
        np.testing.assert_allclose(received[name], value, rtol=1e-8, atol=1e-10, err_msg=name)
    # A bias before a normalization has no gradient.
    trained = [
        w.key
        for node in graph.nodes
        for w in node.weights
        if node.trainable and w.trainable and not w.name.endswith("bias")
    ]
    assert all(np.abs(expected[key] - before[key]).max() > 1e-6 for key in trained)
