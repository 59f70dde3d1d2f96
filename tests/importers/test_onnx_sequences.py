"""Recurrent operators and GELUs of ONNX files as specs, compared with onnxruntime."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

import seqgen
from seqgen.errors import SeqgenError, UnsupportedError
from seqgen.importers.onnx import from_onnx
from seqgen.verify import Pool
from tests.importers import onnx_sequences as cases
from tests.importers.onnx_cases import Graph
from tests.importers.onnx_files import compare, compare_programs, drawn

IDS = [f"{at}-{case.label}" for at, case in enumerate(cases.GRAPHS)]


@pytest.mark.parametrize("case", cases.GRAPHS, ids=IDS)
def test_spec_computes_what_the_file_does(case: Graph, tmp_path: Path) -> None:
    compare(case.write(tmp_path / "model.onnx"))


@pytest.mark.parametrize(("case", "words"), cases.REFUSED)
def test_refused_by_name(case: Graph, words: list[str], tmp_path: Path) -> None:
    path = case.write(tmp_path / "model.onnx")
    with pytest.raises(UnsupportedError) as raised:
        from_onnx(path)
    assert all(word in str(raised.value) for word in words), str(raised.value)


@pytest.mark.parametrize("case", cases.GELUS, ids=range(len(cases.GELUS)))
def test_gelus_are_activations(case: Graph, tmp_path: Path) -> None:
    spec = compare(case.write(tmp_path / "model.onnx"), 1e-6)
    assert [type(layer).__name__ for layer in spec.layers] == ["Dense", "Activation"]
    activation = spec.layers[-1].activation
    assert activation.name == "gelu"
    is_tanh = any(kind == "Tanh" for kind, *_ in case.nodes)
    assert activation.kwargs.get("approximate", False) is is_tanh


@pytest.mark.parametrize(
    ("at", "kinds"),
    [
        (0, ["LSTM"]),
        (9, ["Bidirectional"]),
        (20, ["LSTM"]),
        (21, ["LSTM"]),
        (26, ["GRU"]),
        (29, ["Bidirectional"]),
        (30, ["Bidirectional"]),
    ],
)
def test_layers_are_those_a_person_would_write(at: int, kinds: list[str], tmp_path: Path) -> None:
    spec = from_onnx(cases.RECURRENT[at].write(tmp_path / "model.onnx"))
    assert [type(layer).__name__ for layer in spec.layers] == kinds


def test_inputs_with_the_steps_first_have_the_batch_first_in_the_spec(tmp_path: Path) -> None:
    own = dict(zip(("w", "r", "b"), cases.weights("LSTM"), strict=True))
    run = ("s = LSTM(t, w, r, b)", {"hidden_size": cases.UNITS})
    nodes = ("t = Relu(x)", run, "y = Squeeze(s, one)")
    graph = cases.graph({"x": (3, 4)}, {**own, "one": np.array([1])}, *nodes)
    spec = compare(graph.write(tmp_path / "model.onnx"))
    assert spec.input_shape == (None, None, 4)
    assert spec.output_shape == (None, None, 3)


def test_steps_of_open_number_behind_each_other(tmp_path: Path) -> None:
    own = dict(zip(("w", "r", "b"), cases.weights("GRU"), strict=True))
    run = ("s = GRU(x, w, r, b)", {"hidden_size": cases.UNITS})
    joined = ("j = Concat(t, t)", {"axis": 0})
    nodes = (run, "t = Squeeze(s, one)", joined, ("y = Gather(j, last)", {"axis": 0}))
    constants = {**own, "one": np.array([1]), "last": np.array(-1)}
    graph = cases.graph({"x": (3, 4)}, constants, *nodes)
    spec = compare(graph.write(tmp_path / "model.onnx"))
    assert spec.input_shape == (None, None, 4)


@pytest.mark.parametrize("at", [0, 9, 13, 30])
def test_programs_take_the_tensors_of_the_file(at: int, tmp_path: Path) -> None:
    compare_programs(cases.RECURRENT[at].write(tmp_path / "model.onnx"), tmp_path)


@pytest.mark.parametrize("at", [1, 11, 13])
def test_programs_of_all_targets_are_equal(at: int, tmp_path: Path, pool: Pool) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    spec = from_onnx(cases.RECURRENT[at].write(tmp_path / "m.onnx"))
    report = seqgen.verify(spec, pool=pool, exporters=False)
    assert report.ok, report.to_json()


# What exporters write: the class, what is read, whether both ways, how many layers, batch first

MODULES = [
    ("LSTM", "sequences", True, 2, True),
    ("LSTM", "state", False, 2, True),
    ("LSTM", "states", True, 1, False),
    ("LSTM", "last", False, 1, True),
    ("LSTM", "both", True, 2, False),
    ("GRU", "sequences", False, 2, False),
    ("GRU", "states", True, 2, True),
    ("GRU", "last", True, 1, True),
    ("RNN", "sequences", True, 1, False),
    ("RNN", "state", False, 2, True),
]


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])
@pytest.mark.parametrize("said", MODULES, ids=["-".join(map(str, said)) for said in MODULES])
@pytest.mark.filterwarnings("ignore")
def test_exports_of_torch(
    said: tuple[str, str, bool, int, bool], dynamo: bool, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from tests.importers.onnx_modules import Recurrent, export

    if dynamo and said[0] == "RNN":
        pytest.skip("the exporter writes every step of an nn.RNN, and no RNN")
    shape = (2, 5, 4) if said[-1] else (5, 2, 4)
    path = tmp_path / "model.onnx"
    export(Recurrent(*said), shape, path, dynamo, 0 if said[-1] else 1)
    spec = compare(path)
    kinds = [type(layer).__name__ for layer in spec.layers]
    assert sum(kind in ("GRU", "LSTM", "SimpleRNN", "Bidirectional") for kind in kinds) == said[3]


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.filterwarnings("ignore")
def test_gelus_of_torch(opset: int, approximate: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tests.importers.onnx_modules import export

    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.GELU(approximate))
    export(module, (2, 4), tmp_path / "m.onnx", dynamo=False, batch=0, opset_version=opset)
    spec = compare(tmp_path / "m.onnx", 1e-6)
    assert [type(layer).__name__ for layer in spec.layers] == ["Dense", "Activation"]


@pytest.mark.parametrize("name", ["lstm", "gelu"])
def test_exports_of_keras(name: str, tmp_path: Path) -> None:
    pytest.importorskip("keras")
    pytest.importorskip("tf2onnx")
    from tests.importers import onnx_keras

    model, path = onnx_keras.made(name), tmp_path / "model.onnx"
    model.export(str(path), format="onnx", verbose=False)
    # The file with a GELU has TensorFlow's Erfc, which onnxruntime does not run.
    spec, x = from_onnx(path), drawn((3, *model.input_shape[1:]))
    assert [type(layer).__name__ for layer in spec.layers] == onnx_keras.KINDS[name]
    assert np.allclose(spec(x), model(x), atol=1e-5)


def test_damaged_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for case in [*cases.GRAPHS[::3], *cases.GELUS[::3]]:
        path = case.write(tmp_path / "model.onnx")
        data = bytearray(path.read_bytes())
        for _ in range(20):
            damaged = bytearray(data)
            for place in rng.integers(len(data), size=3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(SeqgenError):
                from_onnx(path)
