"""Names that are code, keywords or taken: in every program they are harmless text."""

import ast
from pathlib import Path

import numpy as np
import pytest

import seqgen
from seqgen import layers
from seqgen.generator import Options, generate_programs

NAMES = [
    *("class", "def", "None", "print", "self", "forward", "nn", "torch", "np", "keras", "layers"),
    *("training", "x", "weight", "model", "__init__", "1", "été", "日本", "a.b", "a-b", "a b"),
    'a"b',
    "a'b",
    'a"""b',
    "a\\",
    "a\\'",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{0}",
    "%s",
    "# no",
    "'); open('pwned', 'w'); ('",
    '"); open("pwned", "w"); ("',
    "\"\"\"\nopen('pwned', 'w')".replace("\n", ";"),
    "__import__('os')",
]


@pytest.mark.parametrize("name", NAMES)
def test_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = seqgen.Sequential([layers.Dense(3, name=name), layers.ReLU()], name=name)
    model = seqgen.Sequential(
        [seqgen.Input((4,), name=f"{name} in"), block, layers.Dense(2, name=f"{name}2")], name=name
    )
    manifest = generate_programs(model.graph(), Options(), model.to_json())
    for text in manifest.files.values():
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        functions = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert not functions & {"open", "__import__", "exec", "eval"}
    x = np.ones((2, 4), "float32")
    assert model(x).shape == (2, 2)
    assert seqgen.load(model.to_yaml())(x).shape == (2, 2)
    assert list(tmp_path.iterdir()) == []


STEPS = ["embedding.mask", "embedding.lengths", "lstm.kept", "lstm.reversed_mask", "block.each"]


@pytest.mark.parametrize("name", STEPS)
def test_name_of_a_step_of_another_layer(name: str) -> None:
    model = seqgen.Sequential(
        [
            seqgen.Input((None,), dtype="int32"),
            layers.Embedding(5, 3, mask_zero=True, name="embedding"),
            layers.LSTM(3, return_sequences=True, go_backwards=True, name="lstm"),
            layers.TimeDistributed(layers.LayerNormalization(), name="block"),
            layers.Dense(2, name=name),
        ]
    )
    generate_programs(model.graph(), Options(("keras",)), "")
    for target in ("torch", "onnx"):
        with pytest.raises(seqgen.UnsupportedError, match=f"'{name}' may be that of a step"):
            generate_programs(model.graph(), Options((target,)), "")
