"""Specs that are wrong, broken or hostile: one report, each fault with its place."""

import itertools
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import seqgen
from seqgen import layers

CASES = yaml.safe_load((Path(__file__).parent / "faults.yaml").read_text())
PAIRS = itertools.pairwise("abcdefghijklmnop")
BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in PAIRS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_report(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(case.get("file", "spec.yaml"))
    file.write_text(case["text"], encoding="utf-8")
    with pytest.raises(seqgen.SpecError) as raised:
        seqgen.load(file)
    report = str(raised.value)
    missing = [fault for fault in case["faults"] if fault not in report]
    assert not missing, report
    places = [fault for fault in case["faults"] if fault.startswith("spec.")]
    assert len(raised.value.faults) >= max(1, len(places))
    assert len(raised.value.faults) <= len(case["faults"]), report


HOSTILE: dict[str, tuple[str, bytes]] = {
    "aliases_that_explode": ("spec.yaml", BOMB.encode()),
    "deep_flow": ("spec.yaml", b"[" * 10_000_000),
    "deep_mappings": ("spec.yaml", b"{a: " * 2_500_000),
    "deep_blocks": ("spec.yaml", b"- " * 5_000_000),
    "deep_question_marks": ("spec.yaml", b"? " * 5_000_000),
    "deep_json": ("spec.json", b"[" * 10_000_000),
    "deep_json_objects": ("spec.json", b'{"a":' * 2_000_000),
    "deep_toml": ("spec.toml", b"a = " + b"[" * 1_000_000),
    "deep_toml_keys": ("spec.toml", b"a" + b".a" * 200_000 + b" = 1"),
    "one_long_scalar": ("spec.yaml", b"a" * 10_000_000),
    "one_long_key": ("spec.yaml", b"seqgen: 1\n" + b"a" * 900 + b": 1"),
    "one_long_layer": ("spec.json", b'{"seqgen":1,"layers":["' + b"D" * 10_000_000 + b'"]}'),
    "one_long_argument": (
        "spec.json",
        b'{"seqgen":1,"layers":[{"Dense":{"' + b"u" * 5_000_000 + b'":1}}]}',
    ),
    "one_long_name": (
        "spec.json",
        b'{"seqgen":1,"name":"' + b"u" * 5_000_000 + b'","layers":["Flatten"]}',
    ),
    "one_long_activation": (
        "spec.json",
        b'{"seqgen":1,"layers":[{"Activation":"' + b"u" * 1_000_000 + b'"}]}',
    ),
    "one_long_number": ("spec.json", b'{"seqgen":' + b"1" * 5_000_000 + b"}"),
    "one_long_number_in_yaml": ("spec.yaml", b"seqgen: " + b"1" * 5_000),
    "one_long_number_in_toml": ("spec.toml", b"seqgen = " + b"1" * 5_000),
    "many_wrong_layers": (
        "spec.yaml",
        b"seqgen: 1\nlayers:\n" + b"".join(b"- Dense%d\n" % i for i in range(20_000)),
    ),
    "many_wrong_names": (
        "spec.yaml",
        b"seqgen: 1\ninput: [4]\ngraph:\n"
        + b"".join(b"- ReLU: {name: n%d, from: m%d}\n" % (i, i) for i in range(5_000)),
    ),
    "many_layers_that_nothing_reads": (
        "spec.yaml",
        b"seqgen: 1\ninput: [4]\ngraph:\n" + b"- ReLU: {from: input_layer}\n" * 5_000,
    ),
    "a_long_graph": (
        "spec.yaml",
        b"seqgen: 1\ninput: [4]\ngraph:\n" + b"- ReLU\n" * 10_000 + b"outputs: x",
    ),
    "many_wrong_keys": ("spec.yaml", b"".join(b"key%d: 1\n" % i for i in range(20_000))),
    "too_large": ("spec.yaml", b"# \n" * 7_000_000),
    "latin_1": ("spec.yaml", b"seqgen: 1\nname: \xe9\n"),
    "utf_16": ("spec.yaml", "seqgen: 1".encode("utf-16")),
    "zeros": ("spec.yaml", b"\0" * 1000),
    "zeros_in_json": ("spec.json", b"\0" * 1000),
    "zeros_in_toml": ("spec.toml", b"\0" * 1000),
    "a_zip": ("spec.yaml", b"PK\x03\x04\x14\x00"),
    "other_suffix": ("spec.txt", b"seqgen: 1"),
    "no_suffix": ("spec", b"seqgen: 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(name: str, tmp_path: Path) -> None:
    file, data = HOSTILE[name]
    path = tmp_path / file
    path.write_bytes(data)
    started = time.process_time()
    with pytest.raises(seqgen.SpecError) as raised:
        seqgen.load(path)
    # A bound on blow-ups, not a measurement.
    assert time.process_time() - started < 30
    assert len(str(raised.value)) < 100_000
    assert all(len(str(fault)) < 1000 for fault in raised.value.faults)


@pytest.mark.parametrize("path", ["missing.yaml", ".", "a\0b.yaml", "x" * 5000 + ".yaml"])
def test_file_that_cannot_be_read(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.yaml").mkdir()
    for source in (path, "folder.yaml"):
        with pytest.raises(seqgen.SpecError):
            seqgen.load(source)


def endless() -> dict[str, Any]:
    spec: dict[str, Any] = {"seqgen": 1}
    spec["layers"] = [spec]
    return spec


@pytest.mark.parametrize(
    "spec",
    [
        *(None, 5, [], {}, "Dense", object()),
        {"seqgen": 1, "layers": [object()]},
        {"seqgen": 1, "layers": [{5: 6}]},
        {"seqgen": 1, "layers": [{"Dense": {None: 5}}]},
        {"seqgen": 1, "layers": [{"Dense": b"3"}]},
        {"seqgen": 1, "layers": [{"Dense": {"units": 3, "name": b"x"}}]},
        {"seqgen": True, "layers": ["Flatten"]},
        {"seqgen": [1], "layers": ["Flatten"]},
        {"seqgen": 1, "layers": ["_Kernel"]},
        {"seqgen": 1, "layers": ["Layer"]},
        {"seqgen": 1, "layers": [""]},
        {"seqgen": 1, "layers": ["Sequential"]},
        {"seqgen": 1, "layers": [{"Sequential": []}]},
        {"seqgen": 1, "layers": [{"Sequential": 3}]},
        {"seqgen": 1, "layers": [{"Sequential": None}]},
        {"seqgen": 1, "layers": [{"Sequential": {"layers": None}}]},
        {"seqgen": 1, "layers": [{"SpectralNormalization": {"layer": "Flatten"}}], "input": [4]},
        {"seqgen": 1, "layers": [{"SpectralNormalization": {"layer": {"Dense": -1}}}]},
        {"seqgen": 1, "layers": [{"Dense": {"units": 3, "kernel_initializer": {"a": 1, "b": 2}}}]},
        {"seqgen": 1, "layers": [{"Dense": {"units": 3, "kernel_initializer": []}}]},
        {"seqgen": 1, "layers": [{"Rescaling": [[1, 2], [3]]}]},
        {"seqgen": 1, "layers": [{"Rescaling": float("nan")}]},
        {"seqgen": 1, "layers": ["Flatten"], "input": {"shape": [4], "name": "/"}},
        {"seqgen": 1, "layers": ["Flatten"], "input": {"shape": 1.5}},
        {"seqgen": 1, "layers": ["Flatten"], "weights": ""},
        {"seqgen": 1, "layers": ["Flatten"], "trainable": "no"},
        {"seqgen": 1, "input": [4], "graph": [object()]},
        {"seqgen": 1, "input": [4], "graph": [{5: 6}]},
        {"seqgen": 1, "input": [4], "graph": [{"Dense": {"units": 3, "from": object()}}]},
        {"seqgen": 1, "input": [4], "graph": [{"Dense": {"units": 3, "from": b"x"}}]},
        {"seqgen": 1, "input": [4], "graph": [{"Dense": {"units": 3, "from": {5: "x"}}}]},
        {"seqgen": 1, "input": [4], "graph": [{"Dense": {"units": 3, "with": {5: "x"}}}]},
        {"seqgen": 1, "input": [4], "graph": [{"Dense": {"units": 3, "with": {"training": []}}}]},
        {"seqgen": 1, "input": [4], "graph": [{"Dense": {"units": 3, "name": ["x"]}}]},
        {"seqgen": 1, "input": [4], "graph": [{"call": {"layer": "x", "name": 5}}]},
        {"seqgen": 1, "input": [4], "graph": [{"Model": {"graph": None}}]},
        {"seqgen": 1, "input": [4], "graph": [{"Model": {"input": [4], "graph": [None]}}]},
        {"seqgen": 1, "input": [4], "graph": [{"call": object()}]},
        {"seqgen": 1, "inputs": [4], "graph": ["Flatten"]},
        {"seqgen": 1, "inputs": {5.5: [4]}, "graph": ["Flatten"]},
        {"seqgen": 1, "inputs": {"": [4]}, "graph": ["Flatten"]},
        {"seqgen": 1, "inputs": {"a": [4]}, "graph": {"a": "Flatten"}},
        {"seqgen": 1, "input": [4], "graph": ["Flatten"], "outputs": object()},
        {"seqgen": 1, "input": [4], "graph": ["Flatten"], "outputs": [["input_layer"]]},
        endless(),
    ],
    # Without the addresses of objects, which differ from process to process.
    ids=lambda spec: re.sub(r" at 0x\w+", "", str(spec))[:60],
)
def test_hostile_values(spec: Any) -> None:
    with pytest.raises(seqgen.SpecError) as raised:
        seqgen.Sequential.from_dict(spec)
    assert str(raised.value)


def test_missing_weights_are_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "seqgen: 1\nweights: w.safetensors\ninput: [4]\nlayers: [{Dense: 3}]"
    )
    with pytest.raises(seqgen.MismatchError, match=r"w\.safetensors"):
        seqgen.load(tmp_path / "m.yaml")


@pytest.mark.parametrize("command", [["show"], ["generate", "-o", "out"]])
def test_commands_end_with_2_and_write_nothing(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("seqgen: 1\ninput: [4]\nlayers: [{Dense: -3}, Dnse]")
    name, *options = command
    argv = [sys.executable, "-m", "seqgen.cli", name, "m.yaml", *options]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "m.yaml:3: layers[0] Dense: argument 'units'" in done.stderr
    assert "m.yaml:3: layers[1] 'Dnse'" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_text_instead_of_a_file() -> None:
    assert len(seqgen.load('{"seqgen": 1, "layers": ["Flatten"]}')) == 1
    assert len(seqgen.load("seqgen: 1\nlayers: [Flatten]")) == 1
    assert len(seqgen.load('seqgen = 1\nlayers = ["Flatten"]\n', format="toml")) == 1
    assert len(seqgen.load({"seqgen": 1, "layers": ["Flatten"]})) == 1
    with pytest.raises(seqgen.SpecError, match="<text>:2"):
        seqgen.load("seqgen: 1\nlayers: [Flaten]")
    with pytest.raises(seqgen.SpecError, match="format"):
        seqgen.load("seqgen: 1\n", format="xml")


WRONG_IN_PYTHON = [
    (lambda: seqgen.Sequential([layers.Dense]), "received its class; write Dense()"),
    (lambda: seqgen.Sequential([5]), "expected a layer, received 5"),
    (lambda: seqgen.Sequential([seqgen.Input((4,)), seqgen.Input((4,))]), "one Input"),
    (lambda: seqgen.Sequential([layers.Flatten(), seqgen.Input((4,))]), "one Input"),
    (lambda: seqgen.Sequential([layers.ReLU(name="a"), layers.ReLU(name="a")]), "is taken"),
    (lambda: seqgen.Sequential([layers.ReLU(name="a/b")]), "without a slash"),
    (lambda: seqgen.Sequential(name="a\nb"), "printable"),
    (lambda: seqgen.Sequential(name="x" * 201), "at most 200"),
    (lambda: seqgen.Sequential(dtype="int8"), "dtype"),
    (lambda: seqgen.Sequential().pop(), "no layer to pop"),
    (lambda: seqgen.Sequential().build((None, 4)), "no layers"),
    (lambda: seqgen.Sequential([layers.Flatten()]).build(), "with the batch first"),
    (lambda: seqgen.Sequential([layers.Flatten()]).build("ab"), "with the batch first"),
    (lambda: seqgen.Sequential([layers.Flatten()]).get_layer("flaten"), "did you mean 'flatten'"),
    (lambda: seqgen.Sequential([layers.Flatten()]).get_layer(index=1), "no layer 1"),
    (lambda: seqgen.Sequential([layers.Flatten()]).get_layer(), "either"),
    (lambda: seqgen.Input((4, 0)), "shape"),
    (lambda: seqgen.Input((4,), batch_size=0), "'batch_size': expected a positive integer"),
    (lambda: seqgen.Input((4,), batch_size=True), "'batch_size'"),
    (lambda: seqgen.Input(batch_shape=(2.0, 4)), "'batch_size'"),
    (lambda: seqgen.Input((4,), batch_shape=(3, 4)), "'batch_shape': it stands instead"),
    (lambda: seqgen.Input(batch_size=3, batch_shape=(3, 4)), "'batch_shape': it stands instead"),
    (lambda: seqgen.Input((4,), sparse=True), "dense"),
    (lambda: seqgen.Input((4,), dtype="complex64"), "dtype"),
    (lambda: seqgen.regularizers.L2(l3=1), "'l3'"),
    (lambda: seqgen.regularizers.L2(1, 2), "takes 1 arguments"),
    (lambda: seqgen.initializers.HeNormal(seed="x"), "seed"),
]


@pytest.mark.parametrize(("make", "words"), WRONG_IN_PYTHON)
def test_wrong_in_python(make: Any, words: str) -> None:
    with pytest.raises(seqgen.SpecError) as raised:
        make()
    assert words in str(raised.value)
