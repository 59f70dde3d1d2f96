"""The weight store: lazy, streamed, strict, and at one with the safetensors package."""

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from seqgen import weights as store
from seqgen.errors import MismatchError, SeqgenError, SpecError
from seqgen.layers.base import Weight
from seqgen.layers.objects import Named
from seqgen.weights import Lazy, Weights, check, check_finite, random_weights

MEGABYTE = 2**20
SPECS = (
    Weight("kernel", (3, 3, 2, 4), Named("GlorotUniform"), key="conv2d.kernel"),
    Weight("bias", (4,), Named("Zeros"), key="conv2d.bias"),
    Weight("kernel", (36, 5), Named("Orthogonal"), key="dense.kernel"),
    Weight("count", (), Named("Zeros"), False, key="normalization.count", dtype="int64"),
)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = ("int64", "int32", "float64", "float32", "float16", BFLOAT16)


def arrays() -> dict[str, np.ndarray]:
    """Arrays of every dtype: scalars, empty ones, and names that need care."""
    rng = np.random.default_rng(0)
    made = {f"{np.dtype(d).name}.kernel": (9 * rng.normal(size=(3, 5))).astype(d) for d in DTYPES}
    made["a scalar"] = np.array(7, "int32")
    made["empty"] = np.zeros((0, 3), "float32")
    made['ünï "quoted" \n 名'] = np.array([1.5, -0.0, np.inf], "float32")
    made["odd"] = np.array([1, 2, 3], "float16")
    return made


def assert_same(ours: Weights, theirs: dict[str, np.ndarray]) -> None:
    assert set(ours) == set(theirs)
    for key, array in theirs.items():
        assert (ours.shape(key), ours.dtype(key)) == (array.shape, array.dtype.name)
        assert (ours[key].shape, ours[key].dtype) == (array.shape, array.dtype)
        assert ours[key].tobytes() == array.tobytes()


def test_a_saved_file_is_that_of_the_package(tmp_path: Path) -> None:
    Weights(arrays()).save(tmp_path / "ours.safetensors")
    safetensors.numpy.save_file(arrays(), tmp_path / "theirs.safetensors")
    ours, theirs = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("ours", "theirs"))
    assert ours == theirs
    assert_same(Weights(arrays()), safetensors.numpy.load_file(tmp_path / "ours.safetensors"))


def test_a_file_of_the_package_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file(arrays(), path, metadata={"format": "pt"})
    assert_same(Weights.open(path), arrays())
    safetensors.numpy.save_file({}, path)
    assert len(Weights.open(path)) == 0


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    ordered, backwards = arrays(), dict(reversed(arrays().items()))
    strided = {"x": np.arange(12, dtype="float32").reshape(3, 4).T}
    big = {"x": np.ascontiguousarray(strided["x"]).astype(">f4")}
    for name, one, other in (("order", ordered, backwards), ("memory", strided, big)):
        paths = [tmp_path / f"{name}{i}" for i in (0, 1)]
        Weights(one).save(paths[0])
        Weights(other).save(paths[1])
        assert paths[0].read_bytes() == paths[1].read_bytes()
    assert_same(Weights.open(tmp_path / "memory1"), {"x": np.ascontiguousarray(strided["x"])})


def test_memory_is_bounded_by_one_array(tmp_path: Path) -> None:
    def ones() -> np.ndarray:
        return np.ones(MEGABYTE // 4, "float32")

    lazy = Weights({f"w{i}": Lazy((MEGABYTE // 4,), "float32", ones) for i in range(64)})
    tracemalloc.start()
    try:
        lazy.save(tmp_path / "w")
        opened = Weights.open(tmp_path / "w")
        opened.astype("float16").save(tmp_path / "half")
        assert sum(float(array.sum()) for array in opened.values()) == 64 * MEGABYTE / 4
        specs = [Weight("k", (512, 512), Named("HeNormal"), key=f"k{i}") for i in range(16)]
        Weights.initialize(specs).save(tmp_path / "drawn")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert opened.nbytes == 64 * MEGABYTE == lazy.nbytes
    assert peak < 5 * MEGABYTE


def test_an_array_of_its_own_is_nobody_elses(tmp_path: Path) -> None:
    held = Weights(arrays())
    held.save(tmp_path / "w")
    for weights in (held, Weights.open(tmp_path / "w")):
        for key in weights:
            weights.own(key)[...] = 5
        assert_same(weights, arrays())


def test_what_is_known_without_an_array_makes_none() -> None:
    def never() -> np.ndarray:
        raise AssertionError

    weights = Weights(
        {spec.key: Lazy(spec.shape, spec.dtype or "float32", never) for spec in SPECS}
    )
    check(weights, SPECS)
    assert "conv2d.bias" in weights.astype("float64")
    assert weights.nbytes == 4 * (72 + 4 + 180) + 8
    assert "4 arrays" in repr(weights)


def test_an_entry_must_be_what_it_said() -> None:
    weights = Weights({"x": Lazy((2,), "float32", lambda: np.zeros(3, "float32"))})
    with pytest.raises(MismatchError, match=r"'x': expected float32 of shape \(2,\)"):
        weights["x"]
    with pytest.raises(MismatchError, match=r"'x': expected one of .* received uint8"):
        Weights({"x": np.zeros(3, "uint8")})


def test_drawing_depends_on_seed_and_key_only() -> None:
    first, same = Weights.initialize(SPECS, seed=1), Weights.initialize(SPECS[::-1], seed=1)
    for key in reversed(list(first)):
        np.testing.assert_array_equal(first[key], same[key])
        np.testing.assert_array_equal(first[key], first[key])
    other = Weights.initialize(SPECS, seed=2)
    assert (first["conv2d.kernel"] != other["conv2d.kernel"]).any()
    twins = [Weight("kernel", (3, 3), Named("GlorotUniform"), key=key) for key in "ab"]
    drawn = Weights.initialize(twins)
    assert (drawn["a"] != drawn["b"]).all()


@pytest.mark.parametrize("make", [Weights.initialize, random_weights])
def test_drawn_weights_fit_their_model(make: Callable[..., Weights]) -> None:
    for dtype in store.FLOATS:
        weights = make(SPECS, dtype=dtype, seed=3)
        check(weights, SPECS, dtype)
        check_finite(weights)
        assert weights["normalization.count"].dtype == np.int64
        assert weights["conv2d.bias"].dtype.name == dtype
        assert weights.astype("float64").dtype("normalization.count") == "int64"


def test_shared_weights_are_one_and_must_agree() -> None:
    assert len(Weights.initialize([*SPECS, *SPECS])) == len(SPECS)
    other = Weight("bias", (5,), Named("Zeros"), key="conv2d.bias")
    with pytest.raises(MismatchError, match=r"'conv2d.bias' has two shapes: \(4,\) and \(5,\)"):
        random_weights([*SPECS, other])


def test_initialize_refuses_at_once_what_cannot_be_drawn() -> None:
    wrong = Weight("bias", (5,), Named("Orthogonal"), key="dense.bias")
    with pytest.raises(SpecError, match=r"weight 'dense.bias': initializer 'Orthogonal' expected"):
        Weights.initialize([wrong])


def test_check_lists_everything() -> None:
    entries = dict(random_weights(SPECS))
    entries["conv2.kernel"] = entries.pop("conv2d.kernel")
    entries["conv2d.bias"] = np.zeros(5, "float32")
    entries["normalization.count"] = np.zeros((), "float32")
    entries["dense.kernel"] = entries["dense.kernel"].astype("int32")
    with pytest.raises(MismatchError) as caught:
        check(Weights(entries), SPECS)
    message = str(caught.value)
    assert "'conv2d.kernel': missing, of shape (3, 3, 2, 4)" in message
    assert "'conv2.kernel': unexpected; did you mean 'conv2d.kernel'?" in message
    assert "'conv2d.bias': expected shape (4,), received (5,)" in message
    assert "'normalization.count': expected int64 or int32, received float32" in message
    assert "'dense.kernel': expected float64 or float32 or bfloat16 or float16" in message
    with pytest.raises(MismatchError, match="expected float64, received float32"):
        check(random_weights(SPECS), SPECS, "float64")


def test_check_finite_names_the_broken() -> None:
    broken = {"a": np.ones(2, "float32"), "b": np.array([np.nan], BFLOAT16)}
    with pytest.raises(MismatchError, match=r"infinity: 'b'$"):
        check_finite(Weights(broken))


def test_a_failed_save_leaves_what_was_there(tmp_path: Path) -> None:
    def fail() -> np.ndarray:
        raise MismatchError("no values")

    path = tmp_path / "w"
    path.write_bytes(b"before")
    entries = {"a": np.ones(3, "float32"), "b": Lazy((1,), "float32", fail)}
    with pytest.raises(MismatchError, match="no values"):
        Weights(entries).save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["w"]
    assert path.read_bytes() == b"before"
    with pytest.raises(SeqgenError, match="cannot be written"):
        Weights({}).save(tmp_path / "none" / "w")
    with pytest.raises(MismatchError, match="__metadata__"):
        Weights({"__metadata__": np.ones(1, "float32")}).save(path)


def test_a_file_may_be_saved_onto_itself_but_not_change(tmp_path: Path) -> None:
    path, link = tmp_path / "w", tmp_path / "link"
    Weights(arrays()).save(path)
    link.symlink_to(path)
    opened = Weights.open(link)
    opened.astype("float64").save(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert Weights.open(path).dtype("odd") == "float64"
    with pytest.raises(MismatchError, match="has changed since it was opened"):
        opened["odd"]
    path.unlink()
    with pytest.raises(MismatchError, match="cannot be read"):
        opened["odd"]


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def raw(header: str | bytes | dict, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header) if isinstance(header, dict) else header
    text = text.encode() if isinstance(text, str) else text
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def one(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


ONE = json.dumps(one())
HOSTILE = {
    "empty": b"",
    "short": b"\x01\x00",
    "no header": raw("", length=0),
    "long header": raw({}, length=2**63),
    "header beyond the file": raw({}, length=3),
    "not JSON": raw("{'a': 1}"),
    "not text": raw(b"{\xff\xfe}"),
    "a list": raw("[]"),
    "deep": raw("[" * 100_000),
    "truncated": raw({"a": one()}, b"\0" * 3),
    "trailing": raw({"a": one()}, b"\0" * 5),
    "duplicate": raw(f'{{"a": {ONE}, "a": {ONE}}}', b"\0" * 4),
    "surrogate": raw(f'{{"\\ud800": {ONE}}}', b"\0" * 4),
    "overlap": raw({"a": one(), "b": one(offsets=(2, 6))}, b"\0" * 6),
    "same place": raw({"a": one(), "b": one()}, b"\0" * 4),
    "gap": raw({"a": one(), "b": one(offsets=(8, 12))}, b"\0" * 12),
    "backwards": raw({"a": one(offsets=(4, 0))}, b"\0" * 4),
    "huge": raw({"a": one(shape=(2**60,), offsets=(0, 2**62))}, b"\0" * 4),
    "huge but empty": raw({"a": one(shape=(0, 2**62, 2**62), offsets=(0, 0))}),
    "too large a size": raw({"a": one(shape=(0, 2**70), offsets=(0, 0))}),
    "many digits": raw('{"a": {"shape": [' + "9" * 5000 + "]}}"),
    "many axes": raw({"a": one(shape=(1,) * 65)}, b"\0" * 4),
    "negative": raw({"a": one(shape=(-1, -1))}, b"\0" * 4),
    "fraction": raw({"a": one(shape=(1.0,))}, b"\0" * 4),
    "truth": raw({"a": one(shape=(True,))}, b"\0" * 4),
    "wrong size": raw({"a": one(shape=(2,))}, b"\0" * 4),
    "one offset": raw({"a": one(offsets=(4,))}, b"\0" * 4),
    "no shape": raw({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, b"\0" * 4),
    "more": raw({"a": {**one(), "more": 1}}, b"\0" * 4),
    "not an object": raw({"a": 1}),
    "dtype": raw({"a": one(dtype="F8_E4M3", offsets=(0, 1))}, b"\0"),
    "no dtype": raw({"a": one(dtype=["F32"])}, b"\0" * 4),
    "metadata": raw({"__metadata__": {"a": 1}}),
    "metadata list": raw({"__metadata__": []}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_files_give_one_clear_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    try:
        with pytest.raises(MismatchError, match=r"not a valid safetensors file: .+") as caught:
            Weights.open(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(path))
    assert caught.value.__suppress_context__
    assert peak < 10 * MEGABYTE


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(MismatchError, match="cannot be read"):
            Weights.open(path)


def test_import_is_light() -> None:
    heavy = "safetensors", "onnx", "ml_dtypes", "keras", "tensorflow", "torch", "h5py"
    code = f"import sys, seqgen.weights; print(*(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
