"""A base within a model: its own weights, and what it means that it is frozen."""

from pathlib import Path

import numpy as np
import pytest

import seqgen
from seqgen.errors import MismatchError, SpecError
from seqgen.weights import Weights, random_weights

BASE = """
  - Sequential:
      name: base
      trainable: false
      weights: {file}
      input: [6, 6, 3]
      layers:
        - Conv2D: {{filters: 4, kernel_size: 3}}
        - BatchNormalization
        - Flatten
"""
SPEC = f"seqgen: 1\ninput: [6, 6, 3]\nlayers:{BASE}  - Dense: 2\n"
GRAPH = """
seqgen: 1
input: [6, 6, 3]
graph:
  - Model:
      name: base
      trainable: false
      weights: {file}
      input: [6, 6, 3]
      graph:
        - Conv2D: {{filters: 4, kernel_size: 3}}
        - BatchNormalization
        - Flatten
  - Dense: 2
"""


def base_weights(folder: Path) -> Weights:
    """The weights of the base, saved as `base.safetensors`."""
    spec = {"seqgen": 1, "input": [6, 6, 3]}
    layers = [{"Conv2D": {"filters": 4, "kernel_size": 3}}, "BatchNormalization", "Flatten"]
    graph = seqgen.Sequential.from_dict({**spec, "layers": layers}).graph()
    weights = random_weights(graph.weights, 3, "float32")
    weights.save(folder / "base.safetensors")
    return weights


@pytest.mark.parametrize("spec", [SPEC, GRAPH], ids=["stack", "graph"])
def test_weights_of_a_base_come_from_a_file_of_its_own(spec: str, tmp_path: Path) -> None:
    weights = base_weights(tmp_path)
    (tmp_path / "model.yaml").write_text(spec.format(file="base.safetensors"))
    model = seqgen.load(tmp_path / "model.yaml")
    store = model.store()
    for key in weights:
        np.testing.assert_array_equal(store[f"base.{key}"], weights[key])
    assert model.has_own_weights
    frozen = {v.path for v in model.non_trainable_variables}
    assert "base/conv2d/kernel" in frozen
    assert {v.path for v in model.trainable_variables} == {"dense/kernel", "dense/bias"}


def test_a_frozen_base_is_written_and_read_as_one() -> None:
    model = seqgen.load(SPEC.replace("      weights: {file}\n", "").format())
    said = model.to_dict()
    assert said["layers"][0]["Sequential"]["trainable"] is False
    assert said["layers"][0]["Sequential"]["layers"][1] == "BatchNormalization"
    again = seqgen.Sequential.from_dict(said)
    assert again.to_dict() == said
    assert [v.path for v in again.trainable_variables] == ["dense/kernel", "dense/bias"]


def test_a_base_that_is_frozen_in_part_says_which_layers_are() -> None:
    base = seqgen.Sequential([seqgen.layers.Dense(3), seqgen.layers.Dense(2)], name="base")
    base.layers[0].trainable = False
    model = seqgen.Sequential([seqgen.Input((4,)), base])
    said = model.to_dict()["layers"][0]["Sequential"]
    assert "trainable" not in said
    assert said["layers"] == [{"Dense": {"units": 3, "trainable": False}}, {"Dense": 2}]


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((4,)), seqgen.layers.Dense(3)])
    model.save_weights(tmp_path / "other.safetensors")
    (tmp_path / "model.yaml").write_text(SPEC.format(file="other.safetensors"))
    with pytest.raises(MismatchError, match=r"conv2d\.kernel"):
        seqgen.load(tmp_path / "model.yaml")


FAULTS = {
    "weights: 7": "expected the path of a weights file, received 7",
    "weights: a.safetensors": "the model around it has weights already",
}


@pytest.mark.parametrize("given", FAULTS)
def test_faults_are_told(given: str, tmp_path: Path) -> None:
    text = SPEC.replace("weights: {file}", given).format()
    if "around" in FAULTS[given]:
        text = text.replace("seqgen: 1", "seqgen: 1\nweights: b.safetensors")
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(SpecError, match=FAULTS[given]):
        seqgen.load(tmp_path / "model.yaml")


def test_weights_of_a_model_inside_a_layer_are_refused() -> None:
    inner = {"Sequential": {"weights": "a.safetensors", "layers": [{"Dense": 2}]}}
    layers = [{"TimeDistributed": {"layer": inner}}]
    with pytest.raises(SpecError, match="inside a layer has no weights of its own"):
        seqgen.Sequential.from_dict({"seqgen": 1, "input": [4, 3], "layers": layers})
