"""Modules of PyTorch as specs, compared with what PyTorch computes by all three programs."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen.errors import SpecError, UnsupportedError
from seqgen.importers.torch_windows import Window, padding_of
from seqgen.ir.types import inverse
from seqgen.passes.padding import same_pads

torch = pytest.importorskip("torch")

cases = pytest.importorskip("tests.importers.torch_cases")
nn = torch.nn
named, partly_frozen = cases.named, cases.partly_frozen
Make = Callable[[], Any]
Shape = tuple[int | None, ...]
OPEN = (7, 12)


def shown(value: Any) -> str:
    """A case as the names of tests show it: the classes of a module, or a shape."""
    if not callable(value):
        return "-".join(str(item) for item in value)[:30].replace(" ", "_")
    kinds = [type(module).__name__ for module in value().modules()]
    return "-".join(kind for kind in kinds if kind != "Sequential")[:40]


def exercised(module: Any) -> Any:
    """The module in eval mode with weights of which every one matters."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.data = (0.2 + drawn).to(tensor.dtype)
    for parameter in module.parameters():
        parameter.data[parameter.data > 0.7] *= -1
    for kind in module.modules():
        if getattr(kind, "running_var", None) is not None:
            kind.running_var.abs_()
    return module.eval()


def batch(shape: Shape, dtype: str, size: int) -> Any:
    """A batch as PyTorch takes it; open sizes are `size`."""
    sizes = [3, *(size if n is None else n for n in shape)]
    generator = torch.Generator().manual_seed(1)
    if dtype == "int64":
        return torch.randint(0, 9, sizes, generator=generator)
    return (torch.rand(sizes, generator=generator, dtype=torch.float64) * 6 - 3).to(
        getattr(torch, dtype)
    )


def program(path: Path) -> dict[str, Any]:
    """What a generated program defines."""
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names


def torch_program(spec: Any, out: Path) -> tuple[Any, dict[str, Any]]:
    """The model of the generated PyTorch program with its weights, and its manifest entry."""
    manifest = seqgen.generate(spec, out, targets=("torch", "keras"), force=True).to_dict()
    names = program(out / "torch_model.py")
    model = names["build_model"]()
    if spec.has_own_weights:
        names["load_weights"](model, str(out / "weights.safetensors"))
    return model.eval(), manifest["targets"]["torch"]


def spec_order(x: np.ndarray, port: dict[str, Any]) -> np.ndarray:
    """An array of PyTorch in the layout of the spec."""
    return x if port["perm"] is None else x.transpose(inverse(tuple(port["perm"])))


@pytest.mark.parametrize(("make", "shape"), cases.CASES, ids=shown)
def test_programs_compute_what_the_module_does(make: Make, shape: Shape, tmp_path: Path) -> None:
    module = exercised(make())
    wide = copy.deepcopy(module).double()
    spec = seqgen.from_torch(wide, shape)
    made, ports = torch_program(spec, tmp_path / "wide")
    narrow = seqgen.from_torch(module, shape)
    dtype = "int64" if narrow.inputs[0].dtype == "int64" else "float32"
    for size in OPEN if None in shape else OPEN[:1]:
        x = batch(shape, "int64" if dtype == "int64" else "float64", size)
        with torch.no_grad():
            expected, received = wide(x), made(x)
        # The program takes and returns the very tensors of the module.
        assert received.shape == expected.shape
        assert torch.allclose(received, expected, rtol=1e-11, atol=1e-11)
        given = spec_order(batch(shape, dtype, size).numpy(), ports["inputs"][0])
        result = spec_order(expected.numpy(), ports["outputs"][0])
        assert np.allclose(narrow(given), result, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(("make", "shape"), cases.CASES, ids=shown)
def test_keras_computes_it_too(make: Make, shape: Shape, tmp_path: Path) -> None:
    pytest.importorskip("keras")
    module = exercised(make())
    spec = seqgen.from_torch(module, shape)
    _, ports = torch_program(spec, tmp_path)
    names = program(tmp_path / "keras_model.py")
    model = names["build_model"]()
    if spec.has_own_weights:
        names["load_weights"](model, str(tmp_path / "weights.safetensors"))
    x = batch(shape, "int64" if spec.inputs[0].dtype == "int64" else "float32", OPEN[0])
    with torch.no_grad():
        expected = spec_order(module(x).numpy(), ports["outputs"][0])
    result = np.asarray(model(spec_order(x.numpy(), ports["inputs"][0])))
    assert result.shape == expected.shape
    assert np.allclose(result, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(("make", "shape"), cases.CASES, ids=shown)
def test_counts(make: Make, shape: Shape) -> None:
    module = make()
    counts = seqgen.from_torch(module, shape).graph().count_params()
    moving = sum(b.numel() for b in module.buffers() if b.is_floating_point())
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert counts["trainable"] == trainable
    assert counts["total"] == moving + sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("make", "shape", "words"), cases.REFUSED, ids=shown)
def test_refused_by_name(make: Make, shape: Shape, words: list[str]) -> None:
    with pytest.raises(UnsupportedError) as raised:
        seqgen.from_torch(make(), shape)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_something_else_is_refused() -> None:
    for value in ({}, "model.pt", None):
        with pytest.raises(UnsupportedError, match=r"expected a torch\.nn\.Sequential"):
            seqgen.from_torch(value, (4,))
    with pytest.raises(SpecError, match="shape"):
        seqgen.from_torch(nn.Sequential(nn.ReLU()), (0,))
    with pytest.raises(SpecError, match="taken"):
        seqgen.from_torch(_like_the_input(), (4,))


def _like_the_input() -> Any:
    module = nn.Sequential(nn.ReLU())
    module.add_module("input_layer", nn.ReLU())
    return module


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, seqgen\n"
        "try:\n    seqgen.from_torch(object(), (4,))\n"
        "except seqgen.UnsupportedError: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_follow_the_module() -> None:
    spec = seqgen.from_torch(named(), (3, 12, 11))
    assert [layer.name for layer in spec.layers] == [
        *("stem", "body", "flat", "norm", "drop", "head")
    ]
    inner = [layer.name for layer in spec.get_layer("body").layers]
    assert inner == ["conv_pad", "conv", "act", "empty", "pool"]
    keys = list(spec.store())
    assert "body.conv.kernel" in keys
    assert "norm.moving_variance" in keys
    assert "head.dense.kernel" in keys


def test_frozen_modules_stay_frozen() -> None:
    spec = seqgen.from_torch(partly_frozen(), (3, 12, 11))
    frozen = [layer.trainable for layer in spec.get_layer("stem").layers if layer.variables]
    assert frozen == [False, False]
    assert spec.get_layer("norm").trainable
    assert not spec.get_layer("head").layers[1].trainable


def test_momentum_is_the_other_way_round() -> None:
    spec = seqgen.from_torch(nn.Sequential(nn.BatchNorm1d(4, momentum=0.7)), (4,))
    assert spec.layers[0].momentum == 0.3


def test_zeros_before_a_maximum_only_where_nothing_is_below() -> None:
    spec = seqgen.from_torch(nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)), (3, 8, 8))
    assert [type(layer).__name__ for layer in spec.layers] == [
        *("ReLU", "ZeroPadding2D", "MaxPooling2D")
    ]
    assert spec.layers[1].padding == ((1, 0), (1, 0))


def test_no_permute_where_the_dense_makes_up_for_the_order() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Tanh(), nn.Linear(112, 3))
    spec = seqgen.from_torch(module, (3, 9, 8))
    kinds = [type(layer).__name__ for layer in spec.layers]
    assert kinds == ["Conv2D", "Flatten", "Activation", "Dense"]
    assert spec.input_shape == (None, 9, 8, 3)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes(dtype: str) -> None:
    module = nn.Sequential(nn.Linear(4, 3)).to(getattr(torch, dtype))
    spec = seqgen.from_torch(module, (4,))
    assert spec.dtype == dtype
    kernel = np.asarray(spec.store()["dense.kernel"])
    assert kernel.dtype.name == dtype
    expected = module[0].weight.detach().to(torch.float64).numpy().T
    assert np.array_equal(kernel.astype("float64"), expected)


def test_weights_are_copies_read_when_they_are_asked_for() -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    spec = seqgen.from_torch(module, (2,))
    spec.store()["dense.bias"][:] = 7.0
    assert not (module[0].bias == 7.0).any()


def test_ids_may_have_another_dtype() -> None:
    spec = seqgen.from_torch(nn.Sequential(nn.Embedding(5, 2)), (3,), dtype="int32")
    assert spec.inputs[0].dtype == "int32"


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    module = exercised(named())
    spec = seqgen.from_torch(module, (3, 12, 11))
    spec.save(tmp_path / "spec.yaml", weights=tmp_path / "spec.safetensors")
    again = seqgen.load(tmp_path / "spec.yaml")
    assert again.to_dict()["layers"] == spec.to_dict()["layers"]
    x = batch((12, 11, 3), "float32", 0).numpy()
    assert np.array_equal(again(x), spec(x))


def test_a_generated_class_is_no_sequential(tmp_path: Path) -> None:
    spec = seqgen.from_torch(nn.Sequential(nn.Linear(4, 3)), (4,))
    model, _ = torch_program(spec, tmp_path)
    with pytest.raises(UnsupportedError, match="received Sequential: what the forward"):
        seqgen.from_torch(model, (4,))


def test_in_training_only_the_moving_variance_differs(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU()).double()
    made, _ = torch_program(seqgen.from_torch(module, (4,)), tmp_path)
    made.train()
    x = torch.rand((6, 4), dtype=torch.float64)
    assert torch.allclose(made(x), module(x), rtol=1e-12)
    mean, variance = made.batch_normalization.running_mean, made.batch_normalization.running_var
    assert torch.allclose(mean, module[1].running_mean)
    # PyTorch adds 6 / 5 of the variance of a batch of 6.
    assert torch.allclose(variance - 0.9, (module[1].running_var - 0.9) * 5 / 6)


def pooled(x: np.ndarray, padding: str, window: Any, reduce: Any) -> np.ndarray:
    """What Keras's pooling makes of a vector: windows see what lies inside."""
    before = same_pads(len(x), window.size, window.stride)[0] if padding == "same" else 0
    room = len(x) - window.size if padding == "valid" else len(x) - 1
    starts = [i * window.stride - before for i in range(room // window.stride + 1)]
    return np.array([reduce(x[max(0, start) : start + window.size]) for start in starts])


WINDOWS = [
    Window(size, stride, pad, ceil)
    for size in range(1, 6)
    for stride in range(1, 5)
    for pad in range(size // 2 + 1)
    for ceil in (False, True)
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_windows_that_have_a_word_are_those_of_pytorch(window: Window) -> None:
    pool = torch.nn.functional.max_pool1d
    always = padding_of([window], [None])
    for size in range(max(1, window.size - 2 * window.pad), 16):
        x = torch.rand((1, 1, size), dtype=torch.float64) - 1.0
        expected = pool(x, window.size, window.stride, window.pad, ceil_mode=window.ceil)[0, 0]
        for padding in {always, padding_of([window], [size])} - {None}:
            received = pooled(x[0, 0].numpy(), padding, window, np.max)
            assert np.array_equal(received, expected.numpy())
        margins = window.margins(size)
        padded = np.pad(x[0, 0].numpy(), margins, constant_values=-1.0)
        assert np.array_equal(pooled(padded, "valid", window, np.max), expected.numpy())
