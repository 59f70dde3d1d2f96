"""The wheel, installed where no framework is, generates."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import importlib.util, json, sys
for name in ("tensorflow", "keras", "torch"):
    assert importlib.util.find_spec(name) is None, name
import seqgen, seqgen.render
assert seqgen.render.templates_folder().parent.name == "seqgen"
model = seqgen.load(sys.argv[1])
seqgen.generate(model, sys.argv[2])
print(json.dumps(model.count_params()))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with nothing but the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "-c", str(ROOT / "constraints.txt"), "-w", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True)
    venv.create(folder / "env", with_pip=False)
    interpreter = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("seqgen-*.whl")
    install = [*pip, "--python", str(interpreter), "install", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*install, str(wheel)], check=True)
    return interpreter


def test_generates_without_frameworks(python: Path, tmp_path: Path) -> None:
    command = [python, "-c", USE, ROOT / "examples" / "mnist_cnn.yaml", tmp_path / "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "keras_model.py",
        "torch_model.py",
        "onnx_model.py",
        "seqgen.json",
    }


def test_command_is_installed(python: Path, tmp_path: Path) -> None:
    command = [python.parent / "seqgen", "show", ROOT / "examples" / "mnist_cnn.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Total params" in done.stdout


def test_types_travel(python: Path) -> None:
    code = "from importlib.resources import files; print((files('seqgen') / 'py.typed').is_file())"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
