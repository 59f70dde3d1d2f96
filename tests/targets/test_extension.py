"""Layers, targets and templates from outside, in a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LAYER = """
from pathlib import Path
from seqgen.layers.arguments import REAL, arg
from seqgen.layers.base import Layer

class Shift(Layer):
    \"\"\"Adds a number.\"\"\"
    keras_path = "shifting_keras:Shift"
    templates = Path(__file__).parent / "shifting_templates"
    amount: float = arg(REAL, 1.0)
"""
KERAS_LAYER = """
import keras

class Shift(keras.layers.Layer):
    def __init__(self, amount=1.0, **kwargs):
        super().__init__(**kwargs)
        self.amount = amount

    def call(self, x):
        return x + self.amount
"""
TARGET = """
from pathlib import Path
from seqgen.targets.base import Target

COUNT = Target(
    name="count",
    files={"model.py.j2": "count.py"},
    passes={"native": (), "spec": ()},
    templates=Path(__file__).parent / "shifting_templates",
    page=lambda target, model, macros: {"weight_names": {}},
)
"""
MACROS = {
    "torch": "{% macro Shift(node, x) %}{{ x }} + {{ node.layer.amount | py }}{% endmacro %}",
    "onnx": (
        '{% from "onnx/make.j2" import make %}{% macro Shift(node) %}'
        '{{ use.constant }}("{{ node.name }}.amount", {{ node.layer.amount | py }}),\n'
        '{{ make("Add", [node.inputs[0], node.name ~ ".amount"], [node.name]) }}{% endmacro %}'
    ),
}
USE = """
from seqgen.generator import Options, generate_programs
from seqgen.layers import Dense, Shift
from seqgen.ir.build import build_chain, input_type
from seqgen.verify import Pool, Settings, verify_graph

layers = [Dense(3, name="dense"), Shift(0.5, name="shift")]
graph = build_chain(
    "shifted", "input_layer", input_type((4,), "float32", "channels_last"),
    [(layer.name, layer) for layer in layers], "float32",
)
print(generate_programs(graph, Options(("count",)), "").files["count.py"])
with Pool() as pool:
    report = verify_graph(graph, Settings(seeds=1, exporters=False), pool)
report.print()
print("ok" if report.ok else "not ok")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed package that announces a layer and a target."""
    for name, text in (("shifting", LAYER + TARGET), ("shifting_keras", KERAS_LAYER)):
        (tmp_path / f"{name}.py").write_text(text)
    info = tmp_path / "shifting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shifting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[seqgen.layers]\nShift = shifting:Shift\n[seqgen.targets]\ncount = shifting:COUNT\n"
    )
    templates = tmp_path / "shifting_templates"
    for target, text in MACROS.items():
        (templates / target / "layers").mkdir(parents=True)
        (templates / target / "layers" / "shifting.j2").write_text(text)
    (templates / "count").mkdir()
    (templates / "count" / "model.py.j2").write_text("LAYERS = {{ model.layers | length }}\n")
    return tmp_path


def run(code: str, path: Path) -> str:
    """What a fresh process prints, with a folder on its path."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_layer_and_target_of_another_package(package: Path) -> None:
    output = run(USE, package)
    assert "LAYERS = 2" in output
    assert output.rstrip().endswith("\nok"), output


def test_broken_plugin_is_named(package: Path) -> None:
    (package / "shifting.py").write_text("raise ImportError('no luck')")
    code = """
    import seqgen.layers
    try:
        seqgen.layers.Shift
    except seqgen.errors.SeqgenError as error:
        print(error)
    """
    assert "'Shift' (shifting:Shift) does not load: no luck" in run(code, package)
