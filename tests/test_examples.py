"""The checked-in examples are what the generator writes today, clean, and equal to Keras."""

import subprocess
import sys
from pathlib import Path

import black
import pytest

import seqgen
from seqgen.generator import stale
from seqgen.verify import Pool
from tests.renew import EXAMPLES, folder_of

SPECS = sorted(EXAMPLES.glob("*.yaml"))
PROGRAMS = sorted(EXAMPLES.glob("*/*.py"))


def test_there_are_examples() -> None:
    assert len(SPECS) >= 5
    models = [path for path in PROGRAMS if path.stem.endswith("_model")]
    assert len(models) == 3 * len(SPECS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_programs_are_not_stale(spec: Path) -> None:
    names = stale(seqgen.load(spec), folder_of(spec))
    assert not names, f"{names} of {spec.stem} are out of date: run `make examples`"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_check_command_tells(spec: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seqgen.cli", "generate", str(spec), "--check", "-o"]
    fresh = subprocess.run([*command, str(folder_of(spec))], check=False)
    missing = subprocess.run([*command, str(tmp_path / "none")], check=False, capture_output=True)
    assert fresh.returncode == 0
    assert missing.returncode == 1
    assert not (tmp_path / "none").exists()


def test_programs_pass_ruff() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", *map(str, PROGRAMS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_program_is_stable_under_black_and_speaks_for_itself(program: Path) -> None:
    text = program.read_text()
    assert black.format_str(text, mode=black.Mode()) == text
    assert "import seqgen" not in text
    assert "from seqgen" not in text


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_programs_are_equal_to_keras(spec: Path, pool: Pool) -> None:
    exporters = spec.stem == "mnist_cnn"
    report = seqgen.verify(seqgen.load(spec), pool=pool, exporters=exporters)
    assert report.ok, report.to_json()


@pytest.mark.parametrize("name", ["cancer_mlp", "digits_cnn", "sunspots_tcn"])
def test_training_programs_are_equal_to_keras(name: str, pool: Pool) -> None:
    report = seqgen.verify(seqgen.load(EXAMPLES / f"{name}.yaml"), pool=pool, training=True)
    assert report.ok, report.to_json()
