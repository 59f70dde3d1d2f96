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
RESIDUAL = {"Conv2D": {"filters": 3, "kernel_size": 3, "padding": "same", "name": "conv"}}
# Specs with `graph`, as in tests/specs; each has one input.
GRAPHS = {
    "residual_with_a_shared_layer": [
        RESIDUAL,
        {"BatchNormalization": {"name": "norm"}},
        {"Add": {"from": ["input_layer", "norm"], "name": "sum"}},
        {"call": {"layer": "conv", "from": "sum", "name": "conv_again"}},
        {"call": {"layer": "norm", "from": "conv_again", "name": "norm_again"}},
        {"Add": {"from": ["sum", "norm_again"]}},
        "GlobalAveragePooling2D",
        {"Dense": 2},
    ],
    "channels_weighted": [
        RESIDUAL,
        "GlobalAveragePooling2D",
        {"Dense": {"units": 3, "activation": "sigmoid", "name": "weights"}},
        {"Multiply": {"from": ["weights", "conv"]}},
        CONV,
    ],
    "likeness": [
        RESIDUAL,
        {"Dot": {"axes": 3, "normalize": True, "from": ["conv", "input_layer"]}},
    ],
}
GRAPHS_OF_SEQUENCES = {
    "heads": [
        {"Dense": {"units": 4, "name": "x"}},
        {
            "MultiHeadAttention": {
                "num_heads": 2,
                "key_dim": 3,
                "use_gate": True,
                "from": ["x", "input_layer"],
                "with": {"use_causal_mask": True},
            }
        },
        {"LayerNormalization": {}},
    ],
    "heads_masked": [
        {"Masking": {"name": "kept"}},
        {"Dense": {"units": 4, "name": "x"}},
        {
            "MultiHeadAttention": {
                "num_heads": 2,
                "key_dim": 3,
                "value_dim": 2,
                "output_shape": 5,
                "from": ["x", "kept"],
            }
        },
    ],
    "groups_masked": [
        {"Masking": {"name": "kept"}},
        {
            "GroupQueryAttention": {
                "head_dim": 3,
                "num_query_heads": 4,
                "num_key_value_heads": 2,
                "sliding_window": 3,
                "from": ["input_layer", "kept"],
            }
        },
    ],
    "attention": [
        {"Masking": {"name": "kept"}},
        {"Dense": {"units": 3, "name": "x"}},
        {"Attention": {"use_scale": True, "from": ["x", "kept"], "name": "dot"}},
        {"Attention": {"score_mode": "concat", "use_scale": True, "from": ["dot", "x"]}},
    ],
    "additive": [
        {"Masking": {"name": "kept"}},
        {"AdditiveAttention": {"from": ["kept", "kept"], "with": {"use_causal_mask": True}}},
        {"Dense": 2},
    ],
    "masked": [
        {"Masking": {"name": "kept"}},
        {"Dense": {"units": 3, "name": "a"}},
        {"Masking": {"mask_value": 1.0, "name": "kept_too", "from": "input_layer"}},
        {"Dense": {"units": 3, "name": "b"}},
        {"Multiply": {"from": ["a", "b"], "name": "product"}},
        {"Maximum": {"from": ["product", "a"], "name": "largest"}},
        {"Concatenate": {"axis": 1, "from": ["largest", "a"], "name": "all"}},
        {"LSTM": 3},
    ],
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
    first = [node for node in lowered.nodes if not node.same_as]
    moves = [m for node in first for m in TARGETS["torch"].moves(lowered, node)]
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


@pytest.mark.parametrize("case", GRAPHS)
def test_step_of_a_graph_changes_variables_as_in_keras(case: str, tmp_path: Any) -> None:
    x = np.random.default_rng(3).normal(size=(6, 5, 4, 3))
    check_step(GRAPHS[case], x, tmp_path, "graph")


@pytest.mark.parametrize("case", GRAPHS_OF_SEQUENCES)
def test_step_of_a_graph_over_sequences(case: str, tmp_path: Any) -> None:
    check_step(GRAPHS_OF_SEQUENCES[case], sequences(), tmp_path, "graph")


def check_step(items: list[Any], x: np.ndarray, tmp_path: Any, what: str = "layers") -> None:
    """Compare every variable after a step over a batch.

    Args:
        items: The layers, or the items of a graph.
        x: The batch.
        tmp_path: A folder for the weights.
        what: Which of the two they are, `layers` or `graph`.
    """
    spec = {"name": "step", "input": list(x.shape[1:]), "dtype": "float64", what: items}
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
