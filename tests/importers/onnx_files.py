"""ONNX files made for tests, run by onnxruntime and as specs, and compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import seqgen
from seqgen.importers.onnx import from_onnx
from seqgen.importers.onnx_file import read
from seqgen.importers.onnx_operators import is_channels_first, is_time_first

ELEM_TYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}
KINDS = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}
# The size of a batch, and that of what else is left open.
BATCH, OPEN = 3, 9


def drawn(shape: Sequence[int], dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Numbers of which every one matters."""
    rng = np.random.default_rng([seed, *shape])
    if dtype.startswith("int"):
        return rng.integers(0, 9, shape).astype(dtype)
    return (rng.uniform(0.2, 1.2, shape) * rng.choice([-1, 1], shape)).astype(dtype)


def port(name: str, sizes: Sequence[Any], dtype: str = "float32") -> Any:
    """An input or output of a graph."""
    return helper.make_tensor_value_info(name, ELEM_TYPES[dtype], list(sizes))


def graph_file(
    path: Path,
    nodes: Sequence[Any],
    inputs: dict[str, Sequence[Any]],
    constants: dict[str, np.ndarray] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 21,
    dtype: str = "float32",
    kinds: dict[str, str] | None = None,
) -> Path:
    """Write a graph to a file; shapes of inputs are given without the batch."""
    entries = [
        port(name, ("batch", *sizes), (kinds or {}).get(name, dtype))
        for name, sizes in inputs.items()
    ]
    results = [helper.make_tensor_value_info(name, ELEM_TYPES[dtype], None) for name in outputs]
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "net", entries, results, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
    return path


def session(path: Path) -> Any:
    """A file under onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def batches(running: Any) -> list[np.ndarray]:
    """A batch for each input of a file."""
    found = []
    for seed, entry in enumerate(running.get_inputs()):
        sizes = [
            size if isinstance(size, int) else (OPEN if at else BATCH)
            for at, size in enumerate(entry.shape)
        ]
        scale = 1 if "int" in entry.type else 3
        found.append((drawn(sizes, KINDS[entry.type], seed) * scale).astype(KINDS[entry.type]))
    return found


def compare(path: Path, tolerance: float = 2e-4) -> Any:
    """Check that the spec of a file computes what the file does, and return it.

    Inputs and outputs of the spec may have the channels last, and the batch before the steps.
    """
    spec = from_onnx(path)
    running, network = session(path), read(path)
    xs = batches(running)
    names = [entry.name for entry in running.get_inputs()]
    expected = running.run(None, dict(zip(names, xs, strict=True)))
    turned = [len(p.sizes) > 2 and is_channels_first(network, p) for p in network.inputs]
    steps = [is_time_first(network, p) for p in network.inputs]
    given = [np.moveaxis(x, 1, -1) if last else x for x, last in zip(xs, turned, strict=True)]
    given = [x.swapaxes(0, 1) if first else x for x, first in zip(given, steps, strict=True)]
    results = spec(given if len(given) > 1 else given[0])
    results = results if isinstance(results, list) else [results]
    assert len(results) == len(expected)
    for result, value in zip(results, expected, strict=True):
        last = np.moveaxis(value, 1, -1) if value.ndim > 2 and any(turned) else value
        second = value.swapaxes(0, 1) if value.ndim > 2 and any(steps) else value
        wanted = [array for array in (value, last, second) if array.shape == result.shape]
        errors = [np.abs(result - array).max(initial=0) for array in wanted]
        scale = 1 + np.abs(value).max(initial=0)
        assert min(errors, default=np.inf) <= tolerance * scale, errors
    return spec


def compare_programs(path: Path, folder: Path) -> None:
    """Check that the ONNX program of the spec takes and returns the very tensors of the file."""
    spec = from_onnx(path)
    seqgen.generate(spec, folder, targets=("onnx",), force=True)
    names: dict[str, Any] = {"__name__": "onnx_model"}
    exec(compile((folder / "onnx_model.py").read_text(), "onnx_model.py", "exec"), names)
    onnx.save(names["build_model"](str(folder / "weights.safetensors")), folder / "made.onnx")
    running, made = session(path), session(folder / "made.onnx")
    xs = batches(running)
    results = [
        program.run(None, {e.name: x for e, x in zip(program.get_inputs(), xs, strict=True)})
        for program in (running, made)
    ]
    for expected, received in zip(*results, strict=True):
        assert received.shape == expected.shape
        assert np.allclose(received, expected, rtol=2e-4, atol=2e-4)
