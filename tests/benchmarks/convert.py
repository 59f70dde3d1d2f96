"""From a `.keras` file to `model.onnx`, process against process."""

import sys
import tempfile
from pathlib import Path

import seqgen
from tests.benchmarks import measure
from tests.benchmarks.measure import Process
from tests.benchmarks.networks import Spec, tall, vgg_like

SAVE = "from keras_model import build_model; build_model().save('model.keras')"
EXPORT = """
import keras
keras.saving.load_model("model.keras").export("keras.onnx", format="onnx", verbose=False)
"""


def save_keras(spec: Spec, folder: Path) -> int:
    """Write `model.keras` into a folder by Keras itself; the bytes of its weights."""
    model = seqgen.Sequential.from_dict(spec)
    seqgen.generate(model, folder, targets=("keras",))
    measure.python(SAVE, folder)
    return 4 * model.count_params()


def convert(folder: Path) -> dict[str, Process]:
    """Each step of the way that seqgen goes."""
    out = folder / "out"
    return {
        "import": measure.seqgen("import", folder / "model.keras", "-o", folder / "model.yaml"),
        "generate": measure.seqgen(
            "generate", folder / "model.yaml", "--target", "onnx", "-o", out
        ),
        "run": measure.run(sys.executable, "onnx_model.py", folder=out),
    }


def report(steps: dict[str, Process], size: int, limit: float) -> Process:
    """Print the steps and what they take together."""
    total = sum(steps.values(), Process(0.0, 0.0))
    for name, step in steps.items():
        print(f"  {name:10} {step}")
    print(f"  together   {total} (weights {size / 1e6:.0f} MB; at most {limit:.0f} MB)")
    return total


def main() -> None:
    """A VGG16-like model with 24 M weights from .keras to ONNX, against Keras's own export."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = save_keras(vgg_like(), folder)
        # The better of two for each: the first finds cold files.
        ours = min(
            (convert(folder) for _ in range(2)), key=lambda s: sum(p.seconds for p in s.values())
        )
        total = report(ours, size, 2 * size / 1e6 + 200)
        keras = min((measure.python(EXPORT, folder) for _ in range(2)), key=lambda p: p.seconds)
        print(f"  keras      {keras}")
        print(f"  seqgen is {keras.seconds / total.seconds:.1f} times as fast (at least 10)")


def large() -> None:
    """A model with 2.5 GB of weights from .keras to ONNX, which must not hold them all."""
    with tempfile.TemporaryDirectory() as name:
        size = save_keras(tall(37, 4096), Path(name))
        report(convert(Path(name)), size, 500)
