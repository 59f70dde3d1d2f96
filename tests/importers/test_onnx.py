"""ONNX files as specs, compared with what onnxruntime computes of the very files."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import seqgen
from seqgen.errors import SeqgenError, UnsupportedError
from seqgen.generator import Options, program
from seqgen.importers.onnx import from_onnx
from seqgen.targets import TARGETS
from seqgen.verify import Pool
from seqgen.weights import random_weights
from tests.cases import graph_of, load_cases
from tests.importers import onnx_cases as cases
from tests.importers.onnx_files import (
    compare,
    compare_programs,
    drawn,
    graph_file,
    port,
)

IDS = [f"{at}-{case.label}" for at, case in enumerate(cases.GRAPHS)]


@pytest.mark.parametrize("case", cases.GRAPHS, ids=IDS)
def test_spec_computes_what_the_file_does(case: cases.Graph, tmp_path: Path) -> None:
    compare(case.write(tmp_path / "model.onnx"))


@pytest.mark.parametrize(("case", "words"), cases.REFUSED)
def test_refused_by_name(case: cases.Graph, words: list[str], tmp_path: Path) -> None:
    path = case.write(tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError) as raised:
        from_onnx(path)
    assert all(word in str(raised.value) for word in words), str(raised.value)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(dtype: str, tmp_path: Path) -> None:
    constants = {"w": drawn((5, 4), dtype), "b": drawn((4,), dtype)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["t"]),
        helper.make_node("LayerNormalization", ["t", "b", "b"], ["y"], epsilon=0.1),
    ]
    path = graph_file(tmp_path / "model.onnx", nodes, {"x": (5,)}, constants, dtype=dtype)
    spec = compare(path, 1e-3 if dtype == "float16" else 1e-12)
    assert spec.dtype == dtype
    assert {variable.dtype for variable in spec.variables} == {dtype}


def test_names_follow_those_of_the_file(tmp_path: Path) -> None:
    constants = {
        "encoder.0.weight": drawn((4, 3, 3, 3)),
        "encoder.0.bias": drawn((4,)),
        "onnx::MatMul_7": drawn((252, 2)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "encoder.0.weight", "encoder.0.bias"], ["a"], "Conv_0"),
        helper.make_node("Relu", ["a"], ["b"], "node_relu_1"),
        helper.make_node("Flatten", ["b"], ["c"], "/Flatten"),
        helper.make_node("MatMul", ["c", "onnx::MatMul_7"], ["d"], "/head/out/MatMul"),
        helper.make_node("Softmax", ["d"], ["y"], "prob abilities?"),
    ]
    path = graph_file(tmp_path / "m.onnx", nodes, {"image:0": (3, 9, 11)}, constants)
    model = onnx.load(path)
    model.graph.node[0].input[0] = "image:0"
    onnx.save(model, path)
    spec = compare(path)
    names = [layer.name for layer in spec.layers]
    assert names == ["encoder_0", "re_lu", "flatten", "out", "prob_abilities"]
    assert spec.name == "net"
    assert spec.entry.name == "image_0"


def test_chain_is_a_sequential_and_a_graph_a_model(tmp_path: Path) -> None:
    chain = from_onnx(cases.DENSE[6].write(tmp_path / "chain.onnx"))
    assert isinstance(chain, seqgen.Sequential)
    assert [type(layer).__name__ for layer in chain.layers] == ["Dense", "ReLU", "Dense"]
    graph = from_onnx(cases.RESIDUAL.write(tmp_path / "graph.onnx"))
    assert isinstance(graph, seqgen.Model)
    assert [tensor.shape for tensor in graph.outputs] == [(None, 9, 8, 4)] * 2


def test_layers_share_what_operators_share(tmp_path: Path) -> None:
    spec = from_onnx(cases.DENSE[-1].write(tmp_path / "model.onnx"))
    assert spec.count_params() == 24
    assert [type(layer).__name__ for layer in spec.layers].count("Dense") == 1


@pytest.mark.parametrize("at", [0, 6, 19, 27])
def test_programs_take_the_tensors_of_the_file(at: int, tmp_path: Path) -> None:
    compare_programs(cases.CONVOLUTIONS[at].write(tmp_path / "model.onnx"), tmp_path)


@pytest.mark.parametrize("case", [cases.RESIDUAL, cases.SHAPES[0], cases.ARITHMETIC[14]])
def test_programs_of_all_targets_are_equal(case: cases.Graph, tmp_path: Path, pool: Pool) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    report = seqgen.verify(from_onnx(case.write(tmp_path / "m.onnx")), pool=pool, exporters=False)
    assert report.ok, report.to_json()


def test_import_command(tmp_path: Path) -> None:
    path = cases.RESIDUAL.write(tmp_path / "model.onnx")
    out = tmp_path / "model.yaml"
    command = [sys.executable, "-m", "seqgen.cli", "import", str(path), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    x = drawn((2, 9, 8, 3))
    for again in (seqgen.load(out), seqgen.load(path), seqgen.from_onnx(str(path))):
        for a, b in zip(again(x), from_onnx(path)(x), strict=True):
            assert np.array_equal(a, b)


def test_no_framework_is_imported(tmp_path: Path) -> None:
    path = cases.RESIDUAL.write(tmp_path / "model.onnx")
    code = (
        "import sys, seqgen; seqgen.from_onnx(sys.argv[1])\n"
        "assert not {'keras', 'tensorflow', 'torch', 'onnxruntime'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Files that other programs write

FAMILIES = (
    *("activation", "axis_operations", "convolution", "core", "flatten", "merging"),
    *("normalization", "operations", "pooling", "preprocessing", "recurrent", "regularization"),
    *("reshaping", "wrappers-bidirectional"),
)
# Operators that no layer says by itself: programs have several of them for one layer.
UNSAID = {
    *("Cast", "Conv", "Equal", "Erf", "Expand", "GRU", "Gather", "GatherND", "Greater", "LSTM"),
    *("Less", "Pad", "RNN", "Range", "ReduceL2", "ReduceLogSumExp", "Scan", "Sub", "Tile", "TopK"),
    *("MatMul", "Reshape", "Softmax", "Squeeze", "Where"),
}
WRITTEN = [case for case in load_cases() if case["id"].startswith(FAMILIES)][::4]


def said_of(path: Path) -> list[str]:
    """What is refused of a file, line by line."""
    try:
        from_onnx(path)
    except UnsupportedError as error:
        return str(error).splitlines()[1:] or [str(error)]
    return []


@pytest.mark.parametrize("case", WRITTEN, ids=[case["id"] for case in WRITTEN])
def test_own_programs_come_back(case: dict[str, Any], tmp_path: Path) -> None:
    graph = graph_of(case)
    if "onnx" in case.get("refused", {}) or graph.dtype in ("bfloat16", "float64"):
        pytest.skip("there is no program that onnxruntime runs")
    options = Options(("onnx",), case.get("layout", "native"), case.get("opset", 21))
    (text,) = program(graph, TARGETS["onnx"], options).texts.values()
    names: dict[str, Any] = {"__name__": "onnx_model"}
    exec(compile(text, "onnx_model.py", "exec"), names)
    weights, path = tmp_path / "weights.safetensors", tmp_path / "model.onnx"
    random_weights(graph.weights, 0, graph.dtype).save(weights)
    onnx.save(names["build_model"](str(weights)), path)
    refused = said_of(path)
    assert {line.partition(" ")[0] for line in refused} <= UNSAID, refused
    if refused:
        pytest.skip("; ".join(refused))
    compare(path, 5e-3 if graph.dtype == "float16" else 2e-4)


TORCH = {
    "cnn": (3, 12, 11),
    "residual": (3, 12, 11),
    "mobile": (3, 12, 11),
    "mlp": (7,),
    "attention": (6, 8),
}


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])
@pytest.mark.parametrize("name", TORCH)
@pytest.mark.filterwarnings("ignore")
def test_exports_of_torch(name: str, dynamo: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from tests.importers import onnx_modules

    module, path = onnx_modules.made(name), tmp_path / "model.onnx"
    x = torch.zeros(2, *TORCH[name])
    batch = {0: torch.export.Dim.DYNAMIC} if dynamo else {0: "batch"}
    named = {"dynamic_shapes": ({**batch},)} if dynamo else {"dynamic_axes": {"x": batch}}
    torch.onnx.export(
        module, (x,), str(path), dynamo=dynamo, input_names=["x"], verbose=False, **named
    )
    compare(path)


@pytest.mark.parametrize("name", ["cnn", "inverted", "sequence", "shared"])
def test_exports_of_keras(name: str, tmp_path: Path) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("tf2onnx")
    from tests.importers import onnx_keras

    path = tmp_path / "model.onnx"
    model = onnx_keras.made(name)
    model.export(str(path), format="onnx", verbose=False)
    spec = compare(path)
    kinds = {type(layer).__name__ for layer in spec.layers}
    assert "Permute" not in kinds, "transposes around convolutions cancel out"
    assert spec.input_shape == model.input_shape


# Files that nobody vouches for

GEMM = helper.make_node("Gemm", ["x", "w"], ["y"])


def broken(tmp_path: Path, change: Any) -> Path:
    """The file of a Dense layer after a change of the message."""
    path = graph_file(tmp_path / "model.onnx", [GEMM], {"x": (5,)}, {"w": drawn((5, 4))})
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def external(location: str, **said: Any) -> Any:
    """A change that has the weights in another file."""

    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **said}.items():
            tensor.external_data.add(key=key, value=str(value))

    return change


def test_external_data(tmp_path: Path) -> None:
    path = broken(tmp_path, lambda model: None)
    expected = from_onnx(path)(drawn((2, 5)))
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert np.array_equal(from_onnx(path)(drawn((2, 5))), expected)


@pytest.mark.parametrize(
    ("location", "said", "words"),
    [
        ("../secret.bin", {}, "below"),
        ("/etc/hostname", {}, "below"),
        ("sub/../../secret.bin", {}, "below"),
        ("link.bin", {}, "below"),
        ("a\\b", {}, "below"),
        ("", {}, "below"),
        ("absent.bin", {}, "there is no file"),
        (".", {}, "there is no file"),
        ("short.bin", {}, "needs 80 bytes"),
        ("enough.bin", {"offset": 10}, "needs 80 bytes"),
        ("enough.bin", {"offset": -8}, "needs 80 bytes"),
        ("enough.bin", {"length": 40}, "needs 80 bytes"),
        ("enough.bin", {"offset": "many"}, "cannot be read"),
    ],
)
def test_external_data_stays_inside(
    location: str, said: dict[str, Any], words: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(80))
    (home / "enough.bin").write_bytes(bytes(80))
    (home / "short.bin").write_bytes(bytes(79))
    (home / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(SeqgenError, match=words):
        from_onnx(broken(home, external(location, **said)))


def _claim(*sizes: int) -> Any:
    def change(model: Any) -> None:
        model.graph.initializer[0].dims[:] = sizes

    return change


def _node(**fields: Any) -> Any:
    def change(model: Any) -> None:
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(model.graph.node[0], name)[:] = value
            else:
                setattr(model.graph.node[0], name, value)

    return change


def _twice(model: Any) -> None:
    model.graph.node.add().CopyFrom(model.graph.node[0])


def _cycle(model: Any) -> None:
    model.graph.node[0].input[0] = "z"
    model.graph.node.add(op_type="Relu", input=["y"], output=["z"])


def _subgraph(model: Any) -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "g", [], [port("z", [1])])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    model.graph.node[0].CopyFrom(node)


def _input(*sizes: Any, kind: int = TensorProto.FLOAT) -> Any:
    def change(model: Any) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, sizes))

    return change


def _shapeless(model: Any) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def _function(model: Any) -> None:
    model.functions.add(name="Own", domain="own")


def _fill(model: Any) -> None:
    """A constant that would take all memory there is."""
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [2**40, 2**20])
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["s"], ["v"]))
    model.graph.node[1].input[1] = "v"
    model.graph.initializer.append(shape)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_claim(5, 5), "needs 100 bytes"),
        (_claim(2**40, 2**40), "needs"),
        (_claim(-5, -4), "is no shape"),
        (_claim(20), "2 axes"),
        (_claim(4, 5), "size 4"),
        (_node(input=["x", "gone"]), "reads 'gone'"),
        (_node(output=["z"]), "outputs that the graph makes"),
        (_node(output=["w"]), "made twice"),
        (_node(domain="evil.com"), "another domain"),
        (_node(op_type="Gem"), "did you mean 'Gemm'"),
        (_node(input=["x"]), "place 1"),
        (_node(input=["", "w"]), "Gemm 'y'"),
        (_twice, "made twice"),
        (_cycle, "cycle"),
        (_subgraph, "a graph within the operator"),
        (_input("n", -3), "at least 1"),
        (_input("n", 0), "at least 1"),
        (_input(), "batch axis"),
        (_input("n", *[2] * 12), "at most 8 axes"),
        (_input("n", 5, kind=TensorProto.STRING), "expected a tensor of"),
        (_input("n", 2**40), "positive integers"),
        (_shapeless, "shape is not known"),
        (_function, "functions of its own"),
        (_fill, "ConstantOfShape"),
        (lambda model: model.ClearField("opset_import"), "opset"),
        (lambda model: model.ClearField("graph"), "no graph"),
        (lambda model: model.graph.ClearField("input"), "reads 'x'"),
        (lambda model: setattr(model.graph.initializer[0], "data_type", 8), "STRING"),
        (lambda model: model.graph.initializer.add(name="w"), "two constants"),
        (lambda model: model.graph.node[0].attribute.add(name="alpha", type=3, s=b"x"), "alpha"),
        (lambda model: model.graph.node[0].attribute.add(name="transB", type=1, f=1), "transB"),
    ],
)
def test_broken_graphs(change: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(SeqgenError, match=words):
        from_onnx(broken(tmp_path, change))


@pytest.mark.parametrize("data", [b"", b"no protobuf", b"\x08\x07\x12", bytes(1000), b"\xff" * 99])
def test_other_files(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(SeqgenError, match="no ONNX file"):
        from_onnx(path)


def test_truncated_files(tmp_path: Path) -> None:
    path = cases.RESIDUAL.write(tmp_path / "model.onnx")
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(SeqgenError):
            from_onnx(path)


def test_damaged_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for case in cases.GRAPHS[::4]:
        path = case.write(tmp_path / "model.onnx")
        data = bytearray(path.read_bytes())
        for place in rng.integers(len(data), size=3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(SeqgenError):
            from_onnx(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SeqgenError, match="cannot read"):
        from_onnx(tmp_path / "absent.onnx")
