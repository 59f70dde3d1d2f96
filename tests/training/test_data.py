"""What training programs read: each kind of data, by both of them."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import seqgen

COLUMNS = {"path": "table.csv", "x": ["a", "b, c", "d", "e"], "y": "label"}
PHOTOS = {"path": "photos", "format": "images"}


def made(data: Any, shape: tuple[int, ...] = (4,), units: int = 3, **more: Any) -> Any:
    loss = more.pop("loss", "sparse_categorical_crossentropy")
    layers = [seqgen.Input(shape), seqgen.layers.Flatten(), seqgen.layers.Dense(units)]
    model = seqgen.Sequential(layers)
    model.compile("sgd", loss)
    model.fit(data, **more)
    return model


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Loads the training program of a model, from the folder of its data."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(model: Any) -> ModuleType:
        seqgen.generate(model, tmp_path, targets=("keras", "torch"))
        texts = [(tmp_path / f"{name}_train.py").read_text() for name in ("keras", "torch")]
        reads = [re.search(r"def read_arrays.*?(?=\ndef line)", text, re.S) for text in texts]
        assert reads[0]
        assert reads[1]
        # Both programs read by the same text.
        assert reads[0][0] == reads[1][0]
        spec = importlib.util.spec_from_file_location("torch_train", tmp_path / "torch_train.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("torch_model", None)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_arrays_are_mapped_where_they_can_be(
    program: Any, tmp_path: Path, version: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = np.asfortranarray(np.random.default_rng(0).normal(size=(6, 4))), np.arange(6) % 3
    write = np.lib.format.write_array
    monkeypatch.setattr(np.lib.format, "write_array", lambda f, a, **k: write(f, a, version, **k))
    module = program(made("plain.npz"))
    np.savez("plain.npz", x=x, y=y)
    np.savez_compressed("small.npz", x=x, y=y)
    for name, mapped in (("plain.npz", True), ("small.npz", False)):
        train, validation = module.load_data(Path(name), 0.5)
        assert isinstance(train["x"], np.memmap) is mapped
        np.testing.assert_array_equal(train["x"], x[:3])
        np.testing.assert_array_equal(validation["y"], y[3:])


def test_objects_are_not_read(program: Any) -> None:
    module = program(made("objects.npz"))
    np.savez("objects.npz", x=np.array([{}, {}], dtype=object), y=np.zeros(2))
    with pytest.raises(SystemExit, match="holds objects, not numbers"):
        module.load_data(Path("objects.npz"), 0.0)


def test_columns_of_a_table(program: Any) -> None:
    module = program(made({**COLUMNS, "sample_weight": "w"}, (2, 2)))
    text = 'w,a,"b, c",other,d,e,label\n1.5,1,2,"#, x",3,4,2\n.5,5,6,y,7,8,0\n'
    Path("table.csv").write_text(text)
    train, _ = module.load_data(Path("table.csv"), 0.0)
    np.testing.assert_array_equal(train["x"], np.arange(1.0, 9).reshape(2, 2, 2))
    np.testing.assert_array_equal(train["y"], [2, 0])
    np.testing.assert_array_equal(train["sample_weight"], [1.5, 0.5])
    assert train["x"].dtype == "float32"
    assert train["y"].dtype == "int64"
    Path("table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match=r"there is no column b, c, d, e, label, w, only a, b"):
        module.load_data(Path("table.csv"), 0.0)


def test_columns_of_parquet(program: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"path": "t.parquet", "x": ["a", "b"], "y": ["c", "d"]}
    module = program(made(columns, (2,), 2, loss="mse"))
    table = {"d": [1, 2], "a": [3, 4], "c": [5.5, 6], "b": [7, 8]}
    parquet.write_table(pyarrow.table(table), "t.parquet")
    train, _ = module.load_data(Path("t.parquet"), 0.0)
    np.testing.assert_array_equal(train["x"], [[3, 7], [4, 8]])
    np.testing.assert_array_equal(train["y"], [[5.5, 1], [6, 2]])


@pytest.mark.parametrize(("channels", "loss"), [(3, "categorical_crossentropy"), (1, "mse")])
def test_images_of_classes(program: Any, channels: int, loss: str) -> None:
    image = pytest.importorskip("PIL.Image")
    module = program(made(PHOTOS, (4, 5, channels), 3 if channels == 3 else 1, loss=loss))
    rng, pixels = np.random.default_rng(0), {}
    for number, name in enumerate(("cat", "dog", "owl")[: 3 if channels == 3 else 2]):
        Path("photos", name).mkdir(parents=True)
        for i in range(4):
            # One of them has another size.
            shape = (4, 5, 3) if i else (8, 7, 3)
            pixels[name, i] = rng.integers(0, 255, shape, dtype="uint8")
            image.fromarray(pixels[name, i]).save(Path("photos", name, f"{i}.png"))
            assert number < 3
    train, validation = module.load_data(Path("photos"), 0.25)
    assert len(train["x"]) == 3 * len(validation["x"])
    assert train["x"][np.arange(2)].shape == (2, 4, 5, channels)
    assert train["x"][np.arange(0)].shape == (0, 4, 5, channels)
    files = train["x"].files
    for row, label in enumerate(train["y"]):
        folder = ["cat", "dog", "owl"].index(files[row].parent.name)
        np.testing.assert_array_equal(label, np.eye(3)[folder] if channels == 3 else folder)
        known = pixels[files[row].parent.name, int(files[row].stem)]
        if channels == 3 and known.shape == (4, 5, 3):
            np.testing.assert_array_equal(train["x"][np.array([row])][0], known)


def test_a_function(program: Any) -> None:
    module = program(made("some.maker:arrays"))
    Path("some").mkdir()
    Path("some", "maker.py").write_text("def arrays():\n    return {'x': [1, 2], 'y': [3, 4]}\n")
    assert module.load_data("some.maker:arrays", 0.0)[0] == {"x": [1, 2], "y": [3, 4]}


def test_an_epoch_is_the_next_batches(program: Any) -> None:
    module = program(made(None, steps_per_epoch=3))
    epochs = [module.batches(10, 4, 1, epoch) for epoch in range(3)]
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[4, 4, 2]] * 3
    module = program(made(None, steps_per_epoch=2))
    epochs = [module.batches(10, 4, 1, epoch) for epoch in range(3)]
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[4, 4], [2, 4], [4, 2]]
    passes = np.split(np.concatenate([rows for epoch in epochs for rows in epoch]), 2)
    for number, rows in enumerate(passes):
        np.testing.assert_array_equal(rows, module.order(10, 1, number))


@pytest.mark.parametrize("form", ["yaml", "json", "toml"])
@pytest.mark.parametrize("data", [COLUMNS, PHOTOS, "some:function", {**COLUMNS, "y": ["a", "d"]}])
def test_written_and_read_again(data: Any, form: str) -> None:
    shape = (4, 4, 3) if data == PHOTOS else (4,)
    model = made(data, shape)
    text = getattr(model, f"to_{form}")()
    assert seqgen.load(text, form).training == model.training


WRONG = [
    ({"path": "t.csv"}, "say which columns"),
    ("t.parquet", "say which columns"),
    ({"path": "t.npz", "x": ["a"]}, "a table has columns, not arrays"),
    ({"path": "t.csv", "cols": ["a"]}, "there is no 'cols'"),
    ({"path": "t", "format": "image"}, "did you mean|'format' is one of"),
    ({"path": "t", "format": "function"}, "'module:function'"),
    ({"format": "images"}, "it has a path"),
]


@pytest.mark.parametrize(("data", "message"), WRONG)
def test_faults_say_what_is_wrong(data: Any, message: str) -> None:
    with pytest.raises(seqgen.SpecError, match=message):
        made(data)


@pytest.mark.parametrize(
    ("data", "shape", "message"),
    [
        (COLUMNS, (3,), "4 columns x for an input of 3 values"),
        (COLUMNS, (None, 2), "rows of one size"),
        (PHOTOS, (4, 4), "images need an input"),
    ],
)
def test_what_does_not_fit_the_input_is_refused(
    data: Any, shape: Any, message: str, tmp_path: Path
) -> None:
    model = made(data, shape) if None not in shape else None
    if model is None:
        layers = [seqgen.Input(shape), seqgen.layers.LSTM(3)]
        model = seqgen.Sequential(layers)
        model.compile("sgd", "mse")
        model.fit(data)
    with pytest.raises(seqgen.UnsupportedError, match=message):
        seqgen.generate(model, tmp_path / "out", targets=("torch",))
