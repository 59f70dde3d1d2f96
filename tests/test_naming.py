"""Names of a spec as names of programs."""

import pytest

from seqgen.naming import MODULE_ATTRIBUTES, class_name, identifier


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dense", "dense"),
        ("dense-1", "dense_1"),
        ("1st", "layer_1st"),
        ("__init__", "init"),
        ("class", "class_"),
        ("forward", "forward_"),
        ("code", "code_"),
        ("schön", "sch_n"),
        ("'); import os #", "import_os"),
        ("", "layer"),
    ],
)
def test_identifier(name: str, expected: str) -> None:
    assert identifier(name) == expected


def test_identifier_differs_from_those_taken() -> None:
    assert identifier("a b", ["a_b", "a_b_1"]) == "a_b_2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mnist_cnn", "MnistCnn"), ("2d net", "Model2dNet"), ("f", "FModel"), ("!", "Model")],
)
def test_class_name(name: str, expected: str) -> None:
    assert class_name(name) == expected


def test_no_attribute_of_a_module_is_hidden() -> None:
    torch = pytest.importorskip("torch")
    graph = torch.fx.symbolic_trace(torch.nn.Identity())
    public = {name for name in dir(graph) if not name.startswith("_")}
    assert public - MODULE_ATTRIBUTES == set()
