"""Generated ONNX graphs against Keras's own export, under onnxruntime."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import seqgen
from seqgen.weights import random_weights
from tests.benchmarks import measure
from tests.benchmarks.networks import NETWORKS, Spec

EXPORT = """
import keras
from keras_model import build_model, load_weights
model = build_model()
load_weights(model)
model(keras.ops.zeros((1, *model.input_shape[1:])))
model.export("keras.onnx", format="onnx", verbose=False)
"""
SECONDS = 12.0


def prepare(spec: Spec, folder: Path) -> dict[str, Path]:
    """The graphs of a network: generated in both layouts, and exported by Keras."""
    model = seqgen.Sequential.from_dict(spec)
    model.set_store(random_weights(model.graph().weights))
    paths = {}
    for layout in ("native", "spec"):
        seqgen.generate(model, folder / layout, layout=layout)
        measure.python("import onnx_model; onnx_model.main()", folder / layout)
        paths[layout] = folder / layout / "model.onnx"
    measure.python(EXPORT, folder / "spec")
    return {**paths, "keras": folder / "spec" / "keras.onnx"}


def count(path: Path) -> str:
    """Numbers of nodes and of transposes."""
    nodes = onnx.load(path).graph.node
    return f"{len(nodes)} nodes, {sum(node.op_type == 'Transpose' for node in nodes)} Transpose"


def session(path: Path) -> onnxruntime.InferenceSession:
    """A session on the thread that runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


def compare(paths: dict[str, Path], shape: list[int], batch: int) -> None:
    """Print the latencies of the graphs for one batch size."""
    x = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
    calls, results = {}, {}
    for name, path in paths.items():
        made = session(path)
        entry = made.get_inputs()[0]
        moved = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if name == "native" else x
        calls[name] = lambda made=made, entry=entry, moved=moved: made.run(
            None, {entry.name: moved}
        )
        results[name] = calls[name]()[0]
    native = results["native"]
    results["native"] = np.moveaxis(native, 1, -1) if native.ndim > 2 else native
    scale = np.abs(results["keras"]).max()
    worst = max(np.abs(results[name] - results["keras"]).max() for name in results) / scale
    times = measure.in_turns(calls, 3)
    rounds = int(SECONDS / sum(min(values) for values in times.values()))
    times = measure.in_turns(calls, max(9, min(rounds, 2000)))
    ratios = ", ".join(
        f"{name} / keras {measure.ratio(times[name], times['keras']):.3f}"
        for name in ("native", "spec")
    )
    shown = ", ".join(f"{name} {measure.milliseconds(t)}" for name, t in times.items())
    print(f"  batch {batch}: {ratios}  [{shown}; rel. difference {worst:.0e}]", flush=True)


def main() -> None:
    """Generated ONNX against Keras's own export: onnxruntime on one core, median (minimum)."""
    for name, make in NETWORKS.items():
        spec = make()
        with tempfile.TemporaryDirectory() as folder:
            paths = prepare(spec, Path(folder))
            print(f" {name}: " + "; ".join(f"{key} {count(p)}" for key, p in paths.items()))
            for batch in (1, 8):
                compare(paths, spec["input"]["shape"], batch)
