"""Files in a folder: all or none, never over somebody else's, with the weights asked for."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import seqgen
from seqgen.errors import SpecError
from seqgen.folder import MANIFEST, WEIGHTS
from seqgen.generator import stale
from seqgen.weights import Weights

PROGRAMS = {"keras_model.py", "torch_model.py", "onnx_model.py"}


def model() -> seqgen.Sequential:
    """A small classifier that has no weights of its own."""
    return seqgen.load(
        {"seqgen": 1, "name": "small", "input": {"shape": [4]}, "layers": [{"Dense": 3}]}
    )


def listing(folder: Path) -> set[str]:
    """Names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def test_writes_programs_and_manifest(tmp_path: Path) -> None:
    manifest = seqgen.generate(model(), tmp_path / "a" / "b").to_dict()
    assert listing(tmp_path / "a" / "b") == PROGRAMS | {MANIFEST}
    assert json.loads((tmp_path / "a" / "b" / MANIFEST).read_text()) == manifest
    assert manifest["parameters"] == {"total": 15, "trainable": 15, "non_trainable": 0}
    assert manifest["targets"]["torch"]["weights"]["dense.kernel"] == "dense.weight"


def test_same_bytes_again(tmp_path: Path) -> None:
    for name in ("first", "second"):
        seqgen.generate(model(), tmp_path / name, initialize=3)
    for file in listing(tmp_path / "first"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_initial_weights_hang_on_the_seed(tmp_path: Path) -> None:
    kernels = []
    for seed in (0, 1):
        seqgen.generate(model(), tmp_path / str(seed), initialize=seed)
        kernels.append(Weights.open(tmp_path / str(seed) / WEIGHTS)["dense.kernel"])
    assert kernels[0].shape == kernels[1].shape == (4, 3)
    assert not np.array_equal(*kernels)


def test_own_weights_go_before_initial_ones(tmp_path: Path) -> None:
    mine = model()
    mine.set_weights([np.full((4, 3), 2.0), np.zeros(3)])
    seqgen.generate(mine, tmp_path / "out", initialize=1)
    assert np.all(Weights.open(tmp_path / "out" / WEIGHTS)["dense.kernel"] == 2.0)


def test_foreign_files_are_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "torch_model.py").write_text("mine")
    with pytest.raises(SpecError, match=r"torch_model\.py, which seqgen did not write"):
        seqgen.generate(model(), tmp_path)
    assert listing(tmp_path) == {"torch_model.py"}
    seqgen.generate(model(), tmp_path, force=True)
    assert (tmp_path / "torch_model.py").read_text() != "mine"
    seqgen.generate(model(), tmp_path)


def test_edited_files_are_kept_unless_forced(tmp_path: Path) -> None:
    seqgen.generate(model(), tmp_path, initialize=0)
    program = tmp_path / "torch_model.py"
    program.write_text(program.read_text() + "# mine\n")
    assert stale(model(), tmp_path) == ["torch_model.py"]
    with pytest.raises(SpecError, match=r"holds torch_model\.py, .* changed since"):
        seqgen.generate(model(), tmp_path)
    assert program.read_text().endswith("# mine\n")
    seqgen.generate(model(), tmp_path, force=True)
    assert stale(model(), tmp_path) == []


def test_weights_that_were_trained_since_are_kept(tmp_path: Path) -> None:
    seqgen.generate(model(), tmp_path, initialize=0)
    trained = Weights({"dense.kernel": np.ones((4, 3), "f4"), "dense.bias": np.ones(3, "f4")})
    trained.save(tmp_path / WEIGHTS)
    with pytest.raises(SpecError, match=WEIGHTS):
        seqgen.generate(model(), tmp_path, initialize=0)
    assert np.all(Weights.open(tmp_path / WEIGHTS)["dense.bias"] == 1.0)


def test_targets_one_after_the_other(tmp_path: Path) -> None:
    for target in ("torch", "keras", "torch"):
        seqgen.generate(model(), tmp_path, targets=target)
    assert listing(tmp_path) == {"torch_model.py", "keras_model.py", MANIFEST}
    assert stale(model(), tmp_path, targets="torch") == []
    assert stale(model(), tmp_path) == ["onnx_model.py"]
    seqgen.generate(model(), tmp_path)
    assert stale(model(), tmp_path) == []


def test_files_of_another_spec_are_taken_out(tmp_path: Path) -> None:
    seqgen.generate(model(), tmp_path, initialize=0)
    other = {"seqgen": 1, "name": "other", "input": {"shape": [4]}, "layers": [{"Dense": 5}]}
    seqgen.generate(seqgen.load(other), tmp_path, targets="torch")
    assert listing(tmp_path) == {"torch_model.py", MANIFEST}


def test_error_leaves_nothing(tmp_path: Path) -> None:
    celu = {"Activation": {"activation": {"celu": {"alpha": -1.0}}}}
    spec = {"seqgen": 1, "name": "bad", "input": {"shape": [4]}, "layers": [celu]}
    with pytest.raises(seqgen.UnsupportedError, match="celu"):
        seqgen.generate(seqgen.load(spec), tmp_path / "out")
    assert listing(tmp_path) == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SpecError, match="cannot write"):
        seqgen.generate(model(), tmp_path / "out")


def test_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    for force in (False, True):
        with pytest.raises(SpecError, match=r"is a file|cannot write"):
            seqgen.generate(model(), tmp_path / "out", force=force)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": ("tourch",)}, "did you mean 'torch'"),
        ({"targets": ()}, "no target"),
        ({"layout": "nhwc"}, "'native' or 'spec'"),
        ({"opset": 5}, "opsets 17 to"),
        ({"templates": "/nowhere/at/all"}, "no folder of templates"),
    ],
)
def test_wrong_options(options: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(seqgen.SeqgenError, match=words):
        seqgen.generate(model(), tmp_path / "out", **options)
    assert listing(tmp_path) == set()
