"""Weights from one file into another: exactly what was there, or one clear error and no file."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import seqgen
from seqgen.cli import main
from seqgen.errors import SeqgenError, SpecError
from seqgen.generator import Options, generate_programs
from seqgen.porting import Porting
from seqgen.targets import onnx as onnx_target
from seqgen.weights import Lazy, Weights, random_weights

torch = pytest.importorskip("torch")


def spec(name: str, shape: list[Any], *layers: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "input": {"shape": shape}, "layers": list(layers), **more}


CNN = spec(
    "cnn",
    [7, 8, 3],
    {"Conv2D": {"filters": 5, "kernel_size": 3}},
    "BatchNormalization",
    {"SeparableConv2D": {"filters": 4, "kernel_size": 2}},
    "Flatten",
    {"Dense": {"units": 6, "name": "head"}},
)
# The one layer so far whose weights lie otherwise where a program takes images as the spec does.
CONV = {"Conv2D": {"filters": 2, "kernel_size": 2}}
IMAGE = spec("image", [4, 5, 3], {"Normalization": {"axis": [1, 3]}}, CONV)
CASES = {
    "cnn": CNN,
    "image": IMAGE,
    "half": spec("half", [4], {"Dense": 3}, {"Dense": 2}, dtype="bfloat16"),
    "double": spec("double", [4], {"Dense": 3}, "LayerNormalization", dtype="float64"),
    "gru": spec("gru", [5, 4], {"GRU": {"units": 3, "return_sequences": True}}, {"LSTM": 2}),
    "both": spec("both", [5, 4], {"Bidirectional": {"layer": {"GRU": 3}}}, "PReLU"),
    "apart": spec("apart", [5, 4], {"GRU": {"units": 3, "reset_after": False}}),
    "counted": spec("counted", [4], {"Normalization": {"axis": -1}}, {"Dense": 3}),
    "spectral": spec("spectral", [4], {"SpectralNormalization": {"layer": {"Dense": 3}}}),
    "nested": spec(
        "nested", [4], {"Sequential": {"name": "inner", "layers": [{"Dense": 3}]}}, {"Dense": 2}
    ),
    "twice": spec("twice", [4], {"Dense": 3}, {"Dense": 3}, {"Dropout": 0.5}, {"Dense": 3}),
}


def made(name: str = "cnn") -> Any:
    return seqgen.Sequential.from_dict({"seqgen": 1, **CASES[name]})


def written(model: Any, folder: Path) -> Path:
    """A safetensors file with weights for a model, none of them like another."""
    path = folder / "w.safetensors"
    graph = model.graph()
    random_weights(graph.weights, seed=3, dtype=graph.dtype).save(path)
    return path


def program(model: Any, target: str, layout: str, folder: Path) -> ModuleType:
    """The generated program, imported."""
    text = generate_programs(model.graph(), Options((target,), layout), "").files
    path = folder / f"{target}_model.py"
    path.write_text(text[path.name], encoding="utf-8")
    loader = importlib.util.spec_from_file_location(f"{model.name}_{target}_{layout}", path)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    return module


def returns(model: Any, path: Path, start: Path, layout: str = "native") -> Porting:
    """The weights of a file are those from which it was made, byte for byte."""
    back = path.with_name("back.safetensors")
    report = seqgen.port_weights(model, path, back, layout=layout, force=True)
    assert back.read_bytes() == start.read_bytes()
    return report


@pytest.mark.parametrize("layout", ["native", "spec"])
@pytest.mark.parametrize("name", CASES)
def test_state_dict_is_that_of_the_program(name: str, layout: str, tmp_path: Path) -> None:
    model = made(name)
    start, state = written(model, tmp_path), tmp_path / "w.pt"
    seqgen.port_weights(model, start, state, layout=layout)
    ours, theirs = (program(model, "torch", layout, tmp_path).build_model() for _ in range(2))
    ours.load_state_dict(torch.load(state, weights_only=True))
    program(model, "torch", layout, tmp_path).load_weights(theirs, str(start))
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], tensor), key
    returns(model, state, start, layout)
    torch.save(theirs.state_dict(), state)
    report = returns(model, state, start, layout)
    counted = ("batch_normalization.num_batches_tracked",) if name == "cnn" else ()
    assert report.left_out == counted


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("layout", ["native", "spec"])
@pytest.mark.parametrize("name", CASES)
def test_initializers_are_those_of_the_program(
    name: str, layout: str, outside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, graph = made(name), tmp_path / "model.onnx"
    start = written(model, tmp_path)
    write_onnx(model, graph, start, layout, outside, monkeypatch)
    assert (tmp_path / "model.onnx.data").exists() == outside
    report = returns(model, graph, start, layout)
    assert all(row.source == (row.key,) for row in report.rows)


def write_onnx(
    model: Any, path: Path, weights: Path, layout: str, outside: bool, patch: pytest.MonkeyPatch
) -> None:
    patch.setattr(onnx_target, "EMBEDDED_LIMIT", 0 if outside else 10**9)
    module = program(model, "onnx", layout, weights.parent)
    more = (str(path.with_name(f"{path.name}.data")),) if outside else ()
    onnx.save(module.build_model(str(weights), *more), path)


@pytest.mark.parametrize("name", CASES)
def test_keras_loads_what_was_written_for_it(name: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = made(name)
    start, own, theirs = (tmp_path / n for n in ("w.safetensors", "w.weights.h5", "k.weights.h5"))
    written(model, tmp_path)
    seqgen.port_weights(model, start, own)
    trained = program(model, "keras", "native", tmp_path).build_model()
    trained.load_weights(own)
    weights, keys = Weights.open(start), [weight.key for weight in model.graph().weights]
    for variable, key in zip(trained.weights, keys, strict=True):
        values = np.asarray(keras.ops.convert_to_numpy(variable.value))
        assert values.tobytes() == weights[key].tobytes(), key
    trained.save_weights(theirs)
    trained.save(tmp_path / "model.keras")
    for path in (own, theirs, tmp_path / "model.keras"):
        report = returns(model, path, start)
        assert all(row.source[0].startswith("layers/") for row in report.rows)
    assert names_of(own) == names_of(theirs)


def names_of(path: Path) -> set[str]:
    """The arrays of an HDF5 file, with shape and dtype."""
    import h5py

    found = set()

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found.add(f"{name} {node.shape} {node.dtype} {dict(node.attrs)}")

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_old_keras_files_are_read(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = made()
    start = written(model, tmp_path)
    trained = program(model, "keras", "native", tmp_path).build_model()
    trained.load_weights(seqgen.port_weights(model, start, tmp_path / "w.weights.h5").target)
    keras.saving.save_model(trained, tmp_path / "model.h5")
    returns(model, tmp_path / "model.h5", start)


def test_the_manifest_beside_a_file_says_the_layout(tmp_path: Path) -> None:
    model = made("image")
    model.load_weights(written(model, tmp_path))
    seqgen.generate(model, tmp_path / "out", "torch", layout="spec")
    start = tmp_path / "out" / "weights.safetensors"
    for name, folder in (("own", "out"), ("other", ".")):
        seqgen.port_weights(model, start, tmp_path / folder / f"{name}.pt")
    own, other = (torch.load(tmp_path / n) for n in ("out/own.pt", "other.pt"))
    assert own["normalization.mean"].shape == (4, 1, 3)
    assert other["normalization.mean"].shape == (3, 4, 1)
    with pytest.raises(SpecError, match="beside it says layout 'spec', not 'native'"):
        seqgen.port_weights(model, start, tmp_path / "out" / "x.pt", layout="native")
    with pytest.raises(SpecError, match="expected layout 'native' or 'spec', received 'nchw'"):
        seqgen.port_weights(model, start, tmp_path / "x.pt", layout="nchw")


def test_bytes_are_the_same_every_time(tmp_path: Path) -> None:
    model = made()
    start = written(model, tmp_path)
    for suffix in (".pt", ".weights.h5", ".safetensors"):
        one, two = (tmp_path / f"{name}{suffix}" for name in ("one", "two"))
        for path in (one, two):
            seqgen.port_weights(model, start, path)
        assert one.read_bytes() == two.read_bytes(), suffix


def refusal(model: Any, source: Path, target: Path, **options: Any) -> str:
    """The error of a porting that writes nothing."""
    before = {path: path.read_bytes() for path in target.parent.glob("*") if path.is_file()}
    with pytest.raises(SeqgenError) as caught:
        seqgen.port_weights(model, source, target, **options)
    after = {path: path.read_bytes() for path in target.parent.glob("*") if path.is_file()}
    assert after == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.keras", [".keras files are not written", ".weights.h5", "model.save"]),
        ("x.h5", [".h5 files are not written", ".weights.h5"]),
        ("x.onnx", [".onnx files are not written", "onnx_model.py --weights"]),
        ("x.npz", ["expected a file that ends in one of .safetensors, .weights.h5, .keras"]),
    ],
)
def test_what_is_not_written_says_what_to_do(name: str, words: list[str], tmp_path: Path) -> None:
    message = refusal(made(), written(made(), tmp_path), tmp_path / name)
    assert all(word in message for word in words), message


def test_paths(tmp_path: Path) -> None:
    model = made()
    start = written(model, tmp_path)
    link, state = tmp_path / "link.safetensors", tmp_path / "w.pt"
    link.symlink_to(start)
    for same in (start, link):
        assert "the same file" in refusal(model, start, same, force=True)
    os.link(start, tmp_path / "hard.safetensors")
    assert "the same file" in refusal(model, start, tmp_path / "hard.safetensors", force=True)
    state.write_bytes(b"mine")
    assert "exists; choose another name, or replace it with --force" in refusal(model, start, state)
    seqgen.port_weights(model, start, state, force=True)
    returns(model, state, start)
    assert "there is no such file" in refusal(model, tmp_path / "no.pt", tmp_path / "x.pt")
    assert "cannot be written: No such file" in refusal(model, start, tmp_path / "no" / "x.pt")
    (tmp_path / "folder.pt").mkdir()
    assert "is a folder" in refusal(model, start, tmp_path / "folder.pt", force=True)
    open_model = seqgen.Sequential([seqgen.layers.Dense(3)])
    with pytest.raises(SpecError, match="is not built"):
        seqgen.port_weights(open_model, start, tmp_path / "x.pt")


def as_safetensors(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    Weights(arrays).save(folder / "bad.safetensors")
    return folder / "bad.safetensors"


def as_state(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    torch.save(
        {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}, folder / "b.pt"
    )
    return folder / "b.pt"


def as_onnx(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    model = onnx.load(folder / "good.onnx")
    del model.graph.initializer[:]
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, k) for k, a in arrays.items())
    onnx.save(model, folder / "bad.onnx")
    return folder / "bad.onnx"


@pytest.mark.parametrize("kind", ["safetensors", "pt", "onnx"])
def test_all_misfits_are_listed_at_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made()
    start = written(model, tmp_path)
    if kind == "pt":
        path = Path(seqgen.port_weights(model, start, tmp_path / "good.pt").target)
        arrays = {key: tensor.numpy() for key, tensor in torch.load(path).items()}
        kernel, bias, save = "head.weight", "head.bias", as_state
    else:
        write_onnx(model, tmp_path / "good.onnx", start, "native", False, monkeypatch)
        arrays = {
            init.name: onnx.numpy_helper.to_array(init)
            for init in onnx.load(tmp_path / "good.onnx").graph.initializer
        }
        arrays = arrays if kind == "onnx" else dict(Weights.open(start))
        kernel, bias = "head.kernel", "head.bias"
        save = as_onnx if kind == "onnx" else as_safetensors
    arrays["haed.bias"] = arrays.pop(bias)
    arrays[kernel] = arrays[kernel].T.copy()
    first = next(iter(arrays))
    arrays[first] = arrays[first].astype("float64")
    message = refusal(model, save(arrays, tmp_path), tmp_path / "out.safetensors")
    assert "the weights do not fit the model" in message
    assert f"'{bias}': missing, of shape (6,)" in message
    assert f"'haed.bias': unexpected; did you mean '{bias}'?" in message
    assert f"'{kernel}': expected shape {arrays[kernel].T.shape}" in message
    assert f"'{first}': expected float32, received float64" in message
    assert "bad." in message or "b.pt" in message


@pytest.mark.parametrize("suffix", [".pt", ".weights.h5", ".safetensors"])
def test_what_is_not_finite_is_refused_by_name(suffix: str, tmp_path: Path) -> None:
    model, start = made(), written(made(), tmp_path)
    arrays = {key: array.copy() for key, array in Weights.open(start).items()}
    arrays["head.bias"][1], arrays["conv2d.kernel"][0, 0, 0, 0] = np.nan, np.inf
    source, target = as_safetensors(arrays, tmp_path), tmp_path / f"out{suffix}"
    target.write_bytes(b"before")
    message = refusal(model, source, target, force=True)
    assert "hold NaN or infinity: 'conv2d.kernel', 'head.bias'; --allow-nonfinite" in message
    seqgen.port_weights(model, source, target, force=True, allow_nonfinite=True)
    back = tmp_path / "back.safetensors"
    seqgen.port_weights(model, target, back, allow_nonfinite=True)
    assert back.read_bytes() == source.read_bytes()


class Harmful:
    """A pickle that would run something."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))


NOT_PLAIN: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "pickle": (lambda p: p.write_bytes(pickle.dumps(Harmful())), ["never run", "state_dict()"]),
    "harmful": (lambda p: torch.save({"a": Harmful()}, p), ["never run", "state_dict()"]),
    "old": (
        lambda p: torch.save({"a": Harmful()}, p, _use_new_zipfile_serialization=False),
        ["never run"],
    ),
    "model": (lambda p: torch.save(torch.nn.Linear(2, 2), p), ["never run", "state_dict()"]),
    "checkpoint": (
        lambda p: torch.save({"epoch": 1, "state_dict": {"a": torch.ones(1)}}, p),
        ["a checkpoint with 'state_dict' within", "torch.save(checkpoint['state_dict'], path)"],
    ),
    "list": (lambda p: torch.save([torch.ones(1)], p), ["received list"]),
    "mixed": (
        lambda p: torch.save(
            {"a": 1, "b": torch.ones(1, dtype=torch.uint8), "c": torch.eye(2).to_sparse(), 5: 2.0},
            p,
        ),
        ["5: expected a name", "'a': expected a tensor", "received uint8", "'c': expected a dense"],
    ),
    "meta": (lambda p: torch.save({"a": torch.ones(2, device="meta")}, p), ["'a'", "dense tensor"]),
    "prefix": (
        lambda p: torch.save({"module.head.bias": torch.ones(6)}, p),
        ["'module.head.bias': unexpected", "all names begin with 'module.'"],
    ),
    "empty": (lambda p: p.write_bytes(b""), ["not a plain state dict"]),
    "noise": (lambda p: p.write_bytes(bytes(range(256))), ["not a plain state dict"]),
    "archive": (lambda p: zipfile.ZipFile(p, "w").close(), ["not a plain state dict"]),
    "compressed": (compressed, ["it is compressed"]),
    "huge": (
        lambda p: torch.save({"head.bias": torch.ones(1).expand(10**12)}, p),
        ["'head.bias': expected shape (6,), received (1000000000000,)"],
    ),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_a_file_that_is_no_plain_state_dict_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, words = NOT_PLAIN[name]
    make(tmp_path / "bad.pt")
    message = refusal(made(), tmp_path / "bad.pt", tmp_path / "out.safetensors")
    assert all(word in message for word in words), message
    assert not (tmp_path / "harmed").exists()


def test_a_state_dict_cut_off_anywhere_is_one_clear_error(tmp_path: Path) -> None:
    model = made("gru")
    state, bad = tmp_path / "w.pt", tmp_path / "bad.pt"
    seqgen.port_weights(model, written(model, tmp_path), state)
    data = state.read_bytes()
    for end in range(0, len(data), len(data) // 40):
        bad.write_bytes(data[:end])
        refusal(model, bad, tmp_path / "out.safetensors")


def outside(**place: Any) -> Callable[[Any], None]:
    """Say of the first initializer that it lies elsewhere."""

    def change(graph: Any) -> None:
        tensor = graph.initializer[0]
        said = {entry.key: entry.value for entry in tensor.external_data} | place
        del tensor.external_data[:]
        for key, value in said.items():
            tensor.external_data.add(key=key, value=str(value))

    return change


def other_shape(graph: Any) -> None:
    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9


def twice(graph: Any) -> None:
    graph.initializer.append(graph.initializer[0])


def strange(graph: Any) -> None:
    graph.initializer[0].data_type = onnx.TensorProto.STRING
    graph.initializer[1].dims[0] = -4
    graph.sparse_initializer.add().values.name = "few"


HOSTILE_GRAPHS: dict[str, tuple[Callable[[Any], None], list[str]]] = {
    "above": (outside(location="../secret.data"), ["'../secret.data', outside the folder"]),
    "absolute": (outside(location="/etc/passwd"), ["'/etc/passwd', outside the folder"]),
    "link": (outside(location="link.data"), ["'link.data', outside the folder"]),
    "folder": (outside(location="."), ["'.', which is not there"]),
    "none": (outside(location="none.data"), ["'none.data', which is not there"]),
    "zero": (outside(location="a\0b"), ["is broken"]),
    "number": (outside(offset="x"), ["is broken"]),
    "before": (outside(offset=-8), ["are not at -8"]),
    "behind": (outside(offset=10**15), ["are not at 1000000000000000"]),
    "length": (outside(length=3), ["bytes are not at"]),
    "input": (other_shape, ["input 'input_layer': expected (None, 3, 7, 8)", "--layout"]),
    "twice": (twice, ["'conv2d.kernel': is there twice"]),
    "strange": (strange, ["received STRING", "[-4] is not a shape", "'few': it is sparse"]),
}


@pytest.mark.parametrize("name", HOSTILE_GRAPHS)
def test_hostile_graphs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model, path = made(), folder / "model.onnx"
    write_onnx(model, path, written(model, folder), "native", True, monkeypatch)
    (tmp_path / "secret.data").write_bytes(bytes(10**6))
    (folder / "link.data").symlink_to(tmp_path / "secret.data")
    proto = onnx.load(path, load_external_data=False)
    change, words = HOSTILE_GRAPHS[name]
    change(proto.graph)
    path.write_bytes(proto.SerializeToString())
    message = refusal(model, path, folder / "out.safetensors")
    assert all(word in message for word in words), message


def test_broken_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = made("gru"), tmp_path / "model.onnx"
    write_onnx(model, path, written(model, tmp_path), "native", False, monkeypatch)
    data = path.read_bytes()
    for end in (*range(0, len(data), len(data) // 40), 1):
        path.write_bytes(data[:end])
        refusal(model, path, tmp_path / "out.safetensors")
    proto = onnx.load_from_string(data)
    proto.graph.initializer[0].raw_data = b"1234"
    path.write_bytes(proto.SerializeToString())
    assert "but has 4 bytes" in refusal(model, path, tmp_path / "out.safetensors")


def test_other_layers_of_a_keras_file_are_listed(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dens_1")])
    other.save(tmp_path / "m.keras")
    message = refusal(made("half"), tmp_path / "m.keras", tmp_path / "out.safetensors")
    assert "'dens_1.kernel': unexpected; did you mean 'dense_1.kernel'?" in message
    assert "'dense.bias': missing" in message


def test_hdf5_that_does_not_fit(tmp_path: Path) -> None:
    model, bad = made(), tmp_path / "w.weights.h5"
    seqgen.port_weights(made("half"), written(made("half"), tmp_path), bad)
    assert "w.weights.h5" in refusal(model, bad, tmp_path / "out.safetensors")
    for data in (bad.read_bytes()[:900], b"", b"no HDF5"):
        bad.write_bytes(data)
        assert "w.weights.h5" in refusal(made("half"), bad, tmp_path / "out.safetensors")


def test_one_array_at_a_time(tmp_path: Path) -> None:
    megabyte, count = 2**20, 48
    layers = [{"Dense": {"units": 512, "use_bias": False}}] * count
    model = seqgen.Sequential.from_dict({"seqgen": 1, **spec("tall", [512], *layers)})
    keys = [weight.key for weight in model.graph().weights]
    ones = Lazy((512, 512), "float32", lambda: np.ones((512, 512), "float32"))
    Weights(dict.fromkeys(keys, ones)).save(tmp_path / "a.safetensors")
    tracemalloc.start()
    try:
        seqgen.port_weights(model, tmp_path / "a.safetensors", tmp_path / "b.safetensors")
        seqgen.port_weights(model, tmp_path / "a.safetensors", tmp_path / "b.weights.h5")
        seqgen.port_weights(model, tmp_path / "b.weights.h5", tmp_path / "c.safetensors")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * megabyte
    assert (tmp_path / "c.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_report(tmp_path: Path) -> None:
    from rich.console import Console

    model = made("gru")
    start = written(model, tmp_path)
    report = seqgen.port_weights(model, start, tmp_path / "w.pt")
    row = next(row for row in report.rows if row.key == "gru.gru_cell.bias")
    assert row.source == ("gru.gru_cell.bias",)
    assert row.target == ("gru.bias_ih_l0", "gru.bias_hh_l0")
    assert (row.shape, row.dtype) == ((2, 9), "float32")
    assert json.loads(report.to_json())["rows"][0]["key"] == report.rows[0].key
    console = Console(force_terminal=True, width=200, record=True)
    report.print(console)
    text = console.export_text()
    assert "gru.bias_ih_l0 + gru.bias_hh_l0" in text
    assert "6 variables" in text


def test_command(tmp_path: Path) -> None:
    model = made()
    start = written(model, tmp_path)
    model.save(tmp_path / "spec.yaml")
    command = ["port-weights", str(tmp_path / "spec.yaml"), "--from", str(start), "--to"]
    state, report = tmp_path / "w.pt", tmp_path / "report.json"
    done = CliRunner().invoke(main, [*command, str(state), "--json", str(report)])
    assert done.exit_code == 0, done.output
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    first = ["conv2d.kernel", "conv2d.kernel", "conv2d.weight", "(3, 3, 3, 5)", "float32"]
    assert lines[0] == first
    assert len(lines) == len(json.loads(report.read_text())["rows"]) == 11
    again = CliRunner().invoke(main, [*command, str(state)])
    assert again.exit_code == 2
    assert "--force" in again.stderr
    shown = CliRunner().invoke(main, ["port-weights", "--help"]).output
    assert "state dict of torch_model.py" in shown


def test_no_framework_where_none_is_needed(tmp_path: Path) -> None:
    model = made()
    start = written(model, tmp_path)
    model.save(tmp_path / "spec.yaml")
    code = f"""
import sys
import seqgen
model = seqgen.load({str(tmp_path / "spec.yaml")!r})
seqgen.port_weights(model, {str(start)!r}, {str(tmp_path / "w.weights.h5")!r})
seqgen.port_weights(model, {str(tmp_path / "w.weights.h5")!r}, {str(tmp_path / "c.safetensors")!r})
bad = {{"keras", "tensorflow", "torch", "onnxruntime", "onnx"}} & set(sys.modules)
assert not bad, bad
"""
    subprocess.run([sys.executable, "-c", code], check=True)
