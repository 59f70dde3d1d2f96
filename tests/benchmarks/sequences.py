"""Recurrent networks: ONNX against Keras's own export, PyTorch against the same by hand."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import seqgen
from seqgen.verify.workers.protocol import load_program
from seqgen.weights import random_weights
from tests.benchmarks import measure
from tests.benchmarks.latency import count, session
from tests.benchmarks.networks import Spec, causal_gru, sentiment
from tests.benchmarks.torch_code import inference, training

LENGTH = 200
EXPORT = """
import keras
import numpy as np
from keras_model import build_model, load_weights
model = build_model()
load_weights(model)
model(np.load("input.npy"))
model.export("keras.onnx", format="onnx", verbose=False)
"""


def words(batch: int, padded: bool) -> np.ndarray:
    """Numbers of words; padded in front, as Keras's `pad_sequences` does, and with holes."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 20000, (batch, LENGTH)).astype(np.int32)
    if padded:
        lengths = rng.integers(LENGTH // 4, LENGTH, batch)
        x[np.arange(LENGTH) < LENGTH - lengths[:, None]] = 0
        x[:, -7] = 0
    return x


def generated(spec: Spec, folder: Path) -> Path:
    """A folder with all programs of a network, its weights and its ONNX graph."""
    model = seqgen.Sequential.from_dict(spec)
    model.set_store(random_weights(model.graph().weights))
    seqgen.generate(model, folder)
    measure.python("import onnx_model; onnx_model.main()", folder)
    return folder


def exported(folder: Path, x: np.ndarray) -> Path:
    """Keras's own export of the network in a folder."""
    np.save(folder / "input.npy", x)
    measure.python(EXPORT, folder)
    return folder / "keras.onnx"


def against_keras(name: str, spec: Spec, x: np.ndarray, goal: float) -> None:
    """Print how many times faster the generated graph is than Keras's export, for one sample."""
    with tempfile.TemporaryDirectory() as place:
        folder = generated(spec, Path(place, "programs"))
        perm = seqgen_perm(folder)
        paths = {"generated": folder / "model.onnx", "keras": exported(folder, x)}
        calls, results = {}, {}
        for key, path in paths.items():
            made = session(path)
            fed = np.ascontiguousarray(x.transpose(perm)) if key == "generated" and perm else x
            entry = made.get_inputs()[0].name
            calls[key] = lambda made=made, entry=entry, fed=fed: made.run(None, {entry: fed})
            results[key] = calls[key]()[0]
        far = np.abs(results["generated"] - results["keras"]).max() / np.abs(results["keras"]).max()
        times = measure.in_turns(calls, 200)
        found = measure.ratio(times["keras"], times["generated"])
        shown = ", ".join(
            f"{key} {measure.milliseconds(t)}, {count(paths[key])}" for key, t in times.items()
        )
        print(f"  {name}: {found:.1f}x faster (at least {goal}x)")
        print(f"    [{shown}; rel. difference {far:.0e}]", flush=True)


def seqgen_perm(folder: Path) -> list[int] | None:
    """The permutation that takes an input of the spec to the generated graph's layout."""
    manifest = json.loads((folder / "seqgen.json").read_text(encoding="utf-8"))
    perm: list[int] | None = manifest["targets"]["onnx"]["inputs"][0]["perm"]
    return perm


def masked_graphs() -> None:
    """Print what a mask costs under onnxruntime."""
    with tempfile.TemporaryDirectory() as place:
        calls = {}
        for key, mask in (("masked", True), ("unmasked", False)):
            made = session(generated(sentiment(mask), Path(place, key)) / "model.onnx")
            calls[key] = lambda made=made, x=None: made.run(None, {"words": x})
        for batch in (1, 8):
            fed = {
                key: lambda call=call, b=batch: call(x=words(b, True))
                for key, call in calls.items()
            }
            times = measure.in_turns(fed, 100)
            found = measure.ratio(times["masked"], times["unmasked"])
            shown = ", ".join(f"{key} {measure.milliseconds(t)}" for key, t in times.items())
            print(f"  onnx, masked / unmasked, batch {batch}: {found:.2f} (at most 1.3)  [{shown}]")


class ByHand(nn.Module):
    """The network without a mask, as somebody would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20000, 128)
        self.first = nn.LSTM(128, 64, batch_first=True, bidirectional=True)
        self.second = nn.LSTM(128, 64, batch_first=True, bidirectional=True)
        self.positive = nn.Linear(128, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.first(self.embedding(x))
        _, (h, _) = self.second(x)
        return torch.sigmoid(self.positive(torch.cat((h[0], h[1]), 1)))


def torch_code() -> None:
    """Print the ratios of generated PyTorch code to code by hand, and of masked to unmasked."""
    models: dict[str, nn.Module] = {"by hand": ByHand()}
    with tempfile.TemporaryDirectory() as place:
        for key, mask in (("masked", True), ("unmasked", False)):
            folder = generated(sentiment(mask), Path(place, key))
            models[key] = load_program(str(folder / "torch_model.py")).build_model()
    for mode, make in (("inference", inference), ("training", training)):
        for batch in (1, 8):
            x = torch.from_numpy(words(batch, True))
            calls = {key: make(model.train(mode == "training"), x) for key, model in models.items()}
            times = measure.in_turns(calls, 60 if mode == "inference" else 20)
            for a, b, most in (("unmasked", "by hand", 1.02), ("masked", "unmasked", 1.5)):
                found = measure.ratio(times[a], times[b])
                shown = ", ".join(f"{key} {measure.milliseconds(times[key])}" for key in (a, b))
                print(
                    f"  torch {mode}, {a} / {b}, batch {batch}: {found:.3f} (at most {most})"
                    f"  [{shown}]",
                    flush=True,
                )


def main() -> None:
    """Recurrent networks on one core, median (minimum)."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    series = np.random.default_rng(0).standard_normal((1, LENGTH, 8)).astype(np.float32)
    against_keras("bidirectional LSTMs, masked", sentiment(True), words(1, True), 8)
    against_keras("causal Conv1D + GRU", causal_gru(), series, 4)
    masked_graphs()
    torch_code()
