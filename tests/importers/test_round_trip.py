"""Graphs of specs as programs of Keras, which are saved and imported again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from tests.cases import SPEC_KEYS, load_cases

keras = pytest.importorskip("keras")

from keras.src.applications.convnext import ConvNeXt  # noqa: E402

# Without operations, which are functions in a program and lose their names.
CASES = [
    case
    for case in load_cases()
    if "graph" in case and case["id"].startswith(("merging", "attention")) and "refused" not in case
    if "ops." not in str(case["graph"])
]
# Keras numbers the inputs of models within, and notes what it chose for attention and axes.
NOT_TO_THE_LETTER = ("Model", "MultiHeadAttention", "GroupedQueryAttention", "LayerNormalization")


def program_of(model: Any, folder: Path) -> str:
    seqgen.generate(model, folder, targets=("keras",))
    return (folder / "keras_model.py").read_text(encoding="utf-8")


def built(program: str) -> Any:
    keras.backend.clear_session()
    names: dict[str, Any] = {"__name__": "keras_model"}
    exec(program, names)
    return names["build_model"]()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_graph_comes_back(case: dict[str, Any], tmp_path: Path) -> None:
    spec = {key: value for key, value in case.items() if key in SPEC_KEYS}
    program = program_of(seqgen.load({"seqgen": 1, **spec}), tmp_path / "first")
    built(program).save(tmp_path / "model.keras")
    imported = seqgen.from_keras(tmp_path / "model.keras")
    second = program_of(imported, tmp_path / "second")
    if not any(f"'{word}" in str(case["graph"]) for word in NOT_TO_THE_LETTER):
        assert second == program
    again = seqgen.from_keras(built(second))
    assert again.to_dict() == imported.to_dict()


def layer_stack(*layers: Any) -> Any:
    return seqgen.load({"seqgen": 1, "input": [6, 4], "layers": list(layers)})


# With what Keras has no public name for, which programs write out, and with an array.
WRITTEN = {
    "convnext": lambda: seqgen.from_keras(
        ConvNeXt((1, 1, 1, 1), (8, 12, 16, 20), input_shape=(32, 32, 3), weights=None, classes=5)
    ),
    "scales": lambda: seqgen.load(
        {
            "seqgen": 1,
            "name": "scales",
            "input": [4],
            "graph": [
                {"Dense": {"units": 4, "activation": "hard_sigmoid_keras_2", "name": "x"}},
                {"CustomScaleLayer": {"scale": 0.17, "from": ["input_layer", "x"]}},
            ],
        }
    ),
    "array": lambda: seqgen.load(
        {
            "seqgen": 1,
            "name": "array",
            "input": [4],
            "graph": [{"ops.subtract": {"x1": [0.1, 0.2, 0.3, 0.7], "name": "subtract"}}],
        }
    ),
    "stack": lambda: layer_stack(
        {"LayerScale": {"init_values": 0.1, "projection_dim": 4}},
        {"StochasticDepth": 0.3},
        {
            "Bidirectional": {
                "layer": {"LSTM": {"units": 3, "recurrent_activation": "hard_sigmoid_keras_2"}}
            }
        },
        {"Activation": "hard_sigmoid_keras_2"},
    ),
}


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_out_comes_back(name: str, suffix: str, tmp_path: Path) -> None:
    program = program_of(WRITTEN[name](), tmp_path / "first")
    model = built(program)
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    imported = seqgen.from_keras(path)
    assert seqgen.from_keras(model).to_dict() == imported.to_dict()
    for own, known in zip(imported.variables, model.weights, strict=True):
        assert np.array_equal(own.numpy(), np.asarray(known)), own.path
    second = program_of(imported, tmp_path / "second")
    if "LayerNormalization" not in program:
        assert second == program
    assert seqgen.from_keras(built(second)).to_dict() == imported.to_dict()
    if suffix == "keras":
        # Beside a program, Keras loads the file; from its older format it makes no operations.
        assert keras.models.load_model(path).count_params() == imported.count_params()
