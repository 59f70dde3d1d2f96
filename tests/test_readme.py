"""What the README shows is what seqgen does."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from seqgen.cli import main
from seqgen.matrix import markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_matrix_is_the_registry_s() -> None:
    shown = README.split("<!-- matrix -->\n")[1].split("<!-- /matrix -->")[0]
    assert shown == markdown()


def test_spec_is_the_example() -> None:
    shown = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    example = (ROOT / "examples" / "mnist_cnn.yaml").read_text()
    assert yaml.safe_load(shown[1]) == yaml.safe_load(example)


def test_graph_is_the_example() -> None:
    shown = re.search(r"```yaml\n(# examples/residual.*?)```", README, re.DOTALL)
    assert shown is not None
    example = (ROOT / "examples" / "residual_two_inputs.yaml").read_text()
    assert yaml.safe_load(shown[1]) == yaml.safe_load(example)


def test_graph_in_python_runs() -> None:
    shown = re.search(
        r"```python\n(import seqgen as keras\n[^`]*features = .*?)```", README, re.DOTALL
    )
    assert shown is not None
    made: dict[str, Any] = {}
    exec(shown[1], made)
    assert len(made["features"].outputs) == len(made["model"].layers) == 6
    assert made["features"].weights == made["model"].weights
    assert made["model"].to_dict()["graph"][2] == {"Add": {"from": ["conv2d", "conv2d_1"]}}


def test_program_is_the_example_s() -> None:
    shown = re.search(r"```python\n(class MnistCnn.*?)```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] in (ROOT / "examples" / "mnist_cnn" / "torch_model.py").read_text()


def test_sequence_is_the_example_s() -> None:
    shown = re.search(r"```python\n(    def forward.*?)```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] in (ROOT / "examples" / "sentiment_bilstm" / "torch_model.py").read_text()


def test_function_that_returns_a_module_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    shown = re.search(r"```python\n(# models.py\n.*?)```", README, re.DOTALL)
    command = re.search(r"^seqgen (import models:build .*)$", README, re.MULTILINE)
    assert shown is not None
    assert command is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "models", raising=False)
    Path("models.py").write_text(shown[1])
    made: dict[str, Any] = {}
    exec(shown[1], made)
    torch.save(made["build"]().state_dict(), "trained.pt")
    done = CliRunner().invoke(main, command[1].split())
    assert done.stdout.split() == ["model.yaml", "model.safetensors"], done.output


def test_both_commands_stand_first() -> None:
    commands = re.findall(r"^make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert commands[:2] == ["demo", "test"]
    assert all(f"\n{command}:" in makefile for command in commands)
