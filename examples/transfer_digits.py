"""Transfer learning on scikit-learn's digits: a base that knows 0 to 4 learns 5 to 9.

The base is trained in Keras, frozen, and given a new head. The head is trained twice, by the
generated Keras program and by the generated PyTorch program, from the same weights and on the same
batches, and both end at the same weights. Run it as `python examples/transfer_digits.py`; it needs
scikit-learn beside `pip install ".[verify]"`.
"""

import argparse
import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import torch
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

import seqgen

RATE, BATCH = 0.1, 32


def digits(low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of some digits; labels begin with 0."""
    data = load_digits()
    chosen = (data.target >= low) & (data.target <= high)
    images = data.images[chosen, :, :, None].astype(keras.config.floatx()) / 16
    return images, data.target[chosen] - low


def pretrained(epochs: int) -> keras.Sequential:
    """A base that was trained to tell 0 to 4 apart, frozen."""
    base = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name="base",
    )
    model = keras.Sequential([base, keras.layers.Dense(5)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(*digits(0, 4), batch_size=BATCH, epochs=epochs, verbose=0)
    base.trainable = False
    return base


def program(path: Path) -> ModuleType:
    """A generated program as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batches(count: int, epochs: int) -> list[np.ndarray]:
    """The samples of every batch, the same for both programs."""
    rng = np.random.default_rng(1)
    orders = (rng.permutation(count) for _ in range(epochs))
    return [order[i : i + BATCH] for order in orders for i in range(0, count, BATCH)]


def train_keras(out: Path, x: np.ndarray, y: np.ndarray, epochs: int) -> keras.Model:
    """Train the head by the Keras program."""
    made = program(out / "keras_model.py")
    model = made.build_model()
    made.load_weights(model, str(out / "weights.safetensors"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE), loss)
    for places in batches(len(x), epochs):
        model.train_on_batch(x[places], y[places])
    return model


def train_torch(
    out: Path, x: np.ndarray, y: np.ndarray, epochs: int
) -> torch.nn.Module:
    """Train the head by the PyTorch program."""
    made = program(out / "torch_model.py")
    model = made.build_model()
    made.load_weights(model, str(out / "weights.safetensors"))
    images, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(
        y
    )
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=RATE)
    # The frozen base stays in inference mode all the same.
    model.train()
    for places in batches(len(x), epochs):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images[places]), labels[places])
        loss.backward()
        optimizer.step()
    return model.eval()


def main() -> float:
    """Train both, and return the largest difference of their weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs
    # Rounding errors of single precision would grow from step to step.
    keras.config.set_floatx("float64")
    keras.utils.set_random_seed(1)
    head = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            pretrained(epochs),
            keras.layers.Dense(5, name="digits"),
        ],
        name="transfer_digits",
    )
    x, y = digits(5, 9)
    kept = len(x) * 4 // 5
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        seqgen.generate(seqgen.from_keras(head), out, targets=("keras", "torch"))
        before = load_file(out / "weights.safetensors")
        by_keras = train_keras(out, x[:kept], y[:kept], epochs)
        by_torch = train_torch(out, x[:kept], y[:kept], epochs)
    scores = by_keras.predict(x[kept:], verbose=0)
    with torch.no_grad():
        others = by_torch(
            torch.from_numpy(x[kept:].transpose(0, 3, 1, 2).copy())
        ).numpy()
    for name, result in (("keras", scores), ("torch", others)):
        print(
            f"{name}: {np.mean(result.argmax(1) == y[kept:]):.1%} of {len(x) - kept} right"
        )
    state = by_torch.state_dict()
    weights = by_keras.get_layer("digits").get_weights()
    pairs = zip(weights, (state["digits.weight"].T, state["digits.bias"]), strict=True)
    far = max(float(np.abs(a - b.numpy()).max()) for a, b in pairs)
    print(f"weights of the two heads differ by at most {far:.1e}")
    name = "base.batch_normalization"
    mean = state[f"{name}.running_mean"].numpy()
    moved = float(np.abs(mean - before[f"{name}.moving_mean"]).max())
    print(f"statistics of the frozen base moved by {moved:.1e}")
    return far


if __name__ == "__main__":
    main()
