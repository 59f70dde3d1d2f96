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
    return {names[m.weight.key]: m.apply(values[m.weight.key]) for m in moves}


@pytest.mark.parametrize("case", CASES)
def test_step_changes_variables_as_in_keras(case: str, tmp_path: Any) -> None:
    spec = {"name": "step", "input": [5, 4, 3], "dtype": "float64", "layers": CASES[case]}
    graph = graph_of(spec)
    manifest = generate_programs(graph, Options(("keras", "torch")), "")
    weights = str(tmp_path / "weights.safetensors")
    before = random_weights(graph.weights, 1, "float64")
    before.save(weights)
    x = np.random.default_rng(3).normal(size=(6, 5, 4, 3))
    expected = keras_step(run(manifest.files["keras_model.py"]), weights, x)
    perm = manifest.content["targets"]["torch"]["inputs"][0]["perm"] or range(4)
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
