"""The models of keras.applications: a base with a head converted, and all at full size."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks import measure
from tests.benchmarks.convert import EXPORT, GENERATE, report, together
from tests.benchmarks.measure import Process

MAKE = """
import keras
base = keras.applications.Xception(
    weights=None, include_top=False, pooling="avg", input_shape=(299, 299, 3)
)
head = [keras.layers.Dropout(0.2), keras.layers.Dense(10, activation="softmax")]
model = keras.Sequential([base, *head])
keras.utils.set_random_seed(1)
model.save("model.keras")
"""
TF2ONNX = """
import keras, tf2onnx
model = keras.saving.load_model("model.keras")
import tensorflow as tf
signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
function = tf.function(model, input_signature=signature)
proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=18)
open("tf2onnx.onnx", "wb").write(proto.SerializeToString())
"""
WIDE = """
import keras
layers = [keras.Input((4096,))]
layers += [keras.layers.Dense(4096, activation="relu") for _ in range(8)]
keras.Sequential(layers).save("model.keras")
"""
IMPORT = """
import seqgen
model = seqgen.from_keras("model.keras")
model.save("model.yaml", weights="weights.safetensors")
"""
READ = """
with open("model.keras", "rb") as file:
    while file.read(1 << 22):
        pass
"""
COPY = """
with open("model.keras", "rb") as file, open("copy", "wb") as copy:
    while part := file.read(1 << 22):
        copy.write(part)
"""
VERIFY = """
import sys
import keras, seqgen
make, size = getattr(keras.applications, sys.argv[1]), int(sys.argv[2])
base = make(weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3))
model = keras.Sequential([base, keras.layers.Dense(10)])
report = seqgen.verify(seqgen.from_keras(model), seeds=1, exporters=False)
wrong = [f"{row.route} {row.check} {row.dtype}" for row in report.rows if row.status != "equal"]
sys.exit("different: " + ", ".join(wrong) if wrong else 0)
"""
# The size of images that each family was made for.
SIZES = {
    "Xception": 299,
    "InceptionV3": 299,
    "InceptionResNetV2": 299,
    "NASNetLarge": 331,
    "EfficientNetB7": 600,
    "EfficientNetV2L": 480,
}
FAMILIES = (
    *("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2"),
    *("ResNet152V2", "InceptionV3", "InceptionResNetV2", "Xception", "MobileNet", "MobileNetV2"),
    *("MobileNetV3Small", "MobileNetV3Large", "DenseNet121", "DenseNet169", "DenseNet201"),
    *("NASNetMobile", "NASNetLarge", "EfficientNetB0", "EfficientNetB7", "EfficientNetV2S"),
    *("EfficientNetV2L", "ConvNeXtTiny", "ConvNeXtBase"),
)


def _converted(folder: Path) -> dict[str, Process]:
    return {
        "import and generate": measure.python(GENERATE, folder),
        "run": measure.run(sys.executable, "onnx_model.py", folder=folder / "out"),
    }


def head() -> None:
    """An Xception base with a head from .keras to ONNX, against Keras's own export and tf2onnx."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure.python(MAKE, folder)
        size = (folder / "model.keras").stat().st_size / 1e6
        steps = min((_converted(folder) for _ in range(3)), key=lambda s: together(s).seconds)
        total = report(steps)
        print(f"  weights {size:.0f} MB: peak at most {2 * size + 200:.0f} MB")
        for label, code, file in (
            ("keras", EXPORT, "keras.onnx"),
            ("tf2onnx", TF2ONNX, "tf2onnx.onnx"),
        ):
            other = min((measure.python(code, folder) for _ in range(2)), key=lambda p: p.seconds)
            print(
                f"  {label:20} {other}: seqgen is {other.seconds / total.seconds:.1f} times as fast"
            )
            print(f"  {'':20} {_latency(folder, file)}")


def _latency(folder: Path, other: str) -> str:
    """How long onnxruntime takes for seqgen's graph, against another one of the same model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    x = np.random.default_rng(1).normal(size=(1, 299, 299, 3)).astype(np.float32)
    feeds, results = {}, {}
    for file, array in (("out/model.onnx", x.transpose(0, 3, 1, 2)), (other, x)):
        session = onnxruntime.InferenceSession(
            folder / file, options, providers=["CPUExecutionProvider"]
        )
        feed = {session.get_inputs()[0].name: np.ascontiguousarray(array)}
        results[file] = session.run(None, feed)[0]
        feeds[file] = lambda session=session, feed=feed: session.run(None, feed)
    own, theirs = results.values()
    times = measure.in_turns(feeds, 7)
    ratio = measure.ratio(*times.values())
    far = np.abs(own - theirs).max() / np.abs(theirs).max()
    return f"latency ratio {ratio:.2f} (at most 1.0); results differ by {far:.1e}"


def _import(path: Path) -> None:
    """Read every weight of a model, one after the other."""
    import seqgen

    for variable in seqgen.from_keras(path).variables:
        np.asarray(variable)


def _read(path: Path) -> None:
    block = bytearray(1 << 22)
    with path.open("rb", buffering=0) as file:
        while file.readinto(block):
            pass


def _seconds(function: Callable[[Path], None], path: Path) -> float:
    """The best time of a function for a file on disk, in this process."""
    tries = []
    for _ in range(5):
        measure.evict(path)
        start = time.perf_counter()
        function(path)
        tries.append(time.perf_counter() - start)
    return min(tries)


def _cold(code: str, folder: Path) -> Process:
    """The best of a few runs that find the file on disk, but modules that are compiled."""
    tries = []
    for _ in range(5):
        measure.evict(folder / "model.keras")
        for file in ("copy", "model.yaml", "weights.safetensors"):
            (folder / file).unlink(missing_ok=True)
        cache = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        tries.append(measure.python(code, folder, **cache))
    return min(tries, key=lambda process: process.seconds)


def large() -> None:
    """Import of a .keras of 540 MB from disk, against reading the file, and copying it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure.python(WIDE, folder)
        size = (folder / "model.keras").stat().st_size / 1e6
        limit = 2 * 4096 * 4096 * 4 / 1e6 + 200
        own, read, copy = (_cold(code, folder) for code in (IMPORT, READ, COPY))
        print(f"  {size:.0f} MB into .safetensors: {own}, read {read}, copy {copy}")
        print(f"  {own.seconds / read.seconds:.2f} times the reading")
        print(f"  {own.seconds / copy.seconds:.2f} times the copy; peak at most {limit:.0f} MB")
        # Last, since the peaks of processes begin with that of this one.
        times = [_seconds(function, folder / "model.keras") for function in (_import, _read)]
        print(f"  {size:.0f} MB into arrays: {times[0]:.2f} s, read {times[1]:.2f} s")
        print(f"  {times[0] / times[1]:.2f} times the reading (at most 1.5)")


def everything() -> None:
    """Applications at full size as a base with a head: imported, generated and verified."""
    for name in FAMILIES:
        process = measure.run(sys.executable, "-c", VERIFY, name, SIZES.get(name, 224))
        print(f"  {name:20} equal, {process}", flush=True)
