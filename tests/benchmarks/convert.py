"""From a `.keras` file to `model.onnx`, process against process."""

import sys
import tempfile
from pathlib import Path

from tests.benchmarks import measure
from tests.benchmarks.measure import Process
from tests.benchmarks.networks import Spec, tall, vgg_like

MAKE = """
import json
import seqgen
spec = json.load(open("spec.json"))
model = seqgen.Sequential.from_dict(spec)
seqgen.generate(model, ".", targets=("keras",))
from keras_model import build_model
build_model().save("model.keras")
"""
GENERATE = """
import seqgen
seqgen.generate(seqgen.from_keras("model.keras"), "out", targets=("onnx",))
"""
EXPORT = """
import keras
model = keras.saving.load_model("model.keras")
# Only a model that was called can be exported.
model(keras.ops.zeros((1, *model.input_shape[1:])))
model.export("keras.onnx", format="onnx", verbose=False)
"""


def save_keras(spec: Spec, folder: Path) -> None:
    """Write `model.keras` into a folder by Keras itself."""
    measure.write_json(spec, folder / "spec.json")
    measure.python(MAKE, folder)


def by_python(folder: Path) -> dict[str, Process]:
    """Two lines of Python, and the program."""
    return {
        "import and generate": measure.python(GENERATE, folder),
        "run": measure.run(sys.executable, "onnx_model.py", folder=folder / "out"),
    }


def by_commands(folder: Path) -> dict[str, Process]:
    """One command, and the program."""
    out, model = folder / "out", folder / "model.keras"
    return {
        "seqgen generate": measure.seqgen("generate", model, "--target", "onnx", "-o", out),
        "run": measure.run(sys.executable, "onnx_model.py", folder=out),
    }


def together(steps: dict[str, Process]) -> Process:
    """One step after the other."""
    return sum(steps.values(), Process())


def report(steps: dict[str, Process]) -> Process:
    """Print the steps and what they take together."""
    for name, step in steps.items():
        print(f"  {name:20} {step}")
    total = together(steps)
    print(f"  {'together':20} {total}", flush=True)
    return total


def main() -> None:
    """A VGG16-like model with 24 M weights from .keras to ONNX, against Keras's own export."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_keras(vgg_like(), folder)
        limit = 2 * (folder / "model.keras").stat().st_size / 1e6 + 200
        totals = {}
        for way in (by_python, by_commands):
            # The better of three: the first finds cold files.
            tries = [way(folder) for _ in range(3)]
            totals[way] = report(min(tries, key=lambda steps: together(steps).seconds))
        keras = min((measure.python(EXPORT, folder) for _ in range(2)), key=lambda p: p.seconds)
        print(f"  {'keras':20} {keras}")
        for way, total in totals.items():
            print(
                f"  {way.__name__}: {keras.seconds / total.seconds:.1f} times as fast (at least "
                f"10), {keras.cpu / total.cpu:.1f} by CPU; peak {total.megabytes:.0f} MB (at most "
                f"{limit:.0f}), Keras's is {keras.megabytes / total.megabytes:.1f} times that"
            )


def large() -> None:
    """A model with 2.5 GB of weights from .keras to ONNX, whose peak may be 500 MB."""
    with tempfile.TemporaryDirectory() as name:
        save_keras(tall(37, 4096), Path(name))
        report(by_python(Path(name)))
        report(by_commands(Path(name)))
