"""Templates of a user's own stand before the packaged ones, macro by macro and page by page."""

from pathlib import Path

from seqgen.generator import Options, generate_programs
from seqgen.ir.graph import Model
from tests.cases import graph_of


def graph() -> Model:
    """A Dense layer with an activation."""
    return graph_of({"name": "small", "input": [4], "layers": [{"Dense": 3}, "Flatten"]})


def programs(folder: Path) -> dict[str, str]:
    """The texts of all files with a folder of templates."""
    return generate_programs(graph(), Options(templates=folder), "").files


def test_one_macro_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    family = tmp_path / "torch" / "layers"
    family.mkdir(parents=True)
    (family / "core.j2").write_text(
        "{% macro Dense_init(node) %}nn.LazyLinear({{ node.layer.units }}){% endmacro %}"
    )
    text = programs(tmp_path)["torch_model.py"]
    assert "nn.LazyLinear(3)" in text
    assert "torch.flatten(x, 1)" in text


def test_a_page_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.py.j2").write_text("NAME = {{ model.name | py }}\n")
    files = programs(tmp_path)
    assert files["onnx_model.py"] == 'NAME = "small"\n'
    assert "nn.Linear(4, 3)" in files["torch_model.py"]
