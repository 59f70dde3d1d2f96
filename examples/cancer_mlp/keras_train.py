"""Trains the Keras model cancer_mlp: Adam on BinaryCrossentropy.

    python keras_train.py --data cancer.npz --epochs 30

From the same weights and with the same data torch_train.py follows it step by step.
"""

import argparse
import csv
import json
import math
import os
import signal
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras_model import build_model, load_weights


def compile_model(model: keras.Model, rate: float = 0.003) -> None:
    """Give the model its optimizer, loss and metrics.

    Args:
        model: The model.
        rate: The learning rate.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate,
        ),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[
            keras.metrics.BinaryAccuracy(name="accuracy"),
        ],
    )


def mapped(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """Map an array of a .npz file that is not compressed: what is not asked for is not read."""
    with path.open("rb") as file:
        # Before the array stands a header of the archive, whose last two parts have any length.
        file.seek(member.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(name + extra, os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
        shape, fortran, dtype = getattr(np.lib.format, read)(file)
        if dtype.hasobject:
            raise SystemExit(f"{path}: {member.filename} holds objects, not numbers")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file or of a folder of .npy files."""
    if path.is_dir():
        return {file.stem: np.load(file, mmap_mode="r") for file in path.glob("*.npy")}
    with np.load(path, allow_pickle=False) as file:
        stored = {
            member.filename.removesuffix(".npy"): member
            for member in file.zip.infolist()
            if member.compress_type == zipfile.ZIP_STORED
        }
        return {
            name: mapped(path, stored[name]) if name in stored else file[name]
            for name in file
        }


def load_data(
    path: Path, split: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the arrays to train on and those to validate on, which may be none.

    They are called `x`, `y` and perhaps `sample_weight`, and perhaps `x_val` and so on.
    """
    arrays = read_arrays(path)
    names = ("x", "y", "sample_weight")
    train = {name: arrays[name] for name in names if name in arrays}
    validation = {
        name: arrays[f"{name}_val"] for name in names if f"{name}_val" in arrays
    }
    if "x" not in train or "y" not in train or len(train["x"]) != len(train["y"]):
        raise SystemExit(
            f"{path}: expected arrays x and y of the same length, found {sorted(arrays)}"
        )
    if split and not validation:
        # The last part, as Keras takes it.
        at = math.floor(len(train["x"]) * (1 - split))
        validation = {name: array[at:] for name, array in train.items()}
        train = {name: array[:at] for name, array in train.items()}
    return train, validation


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the samples in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def batches(count: int, size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the rows of the samples of each batch of an epoch."""
    rows = order(count, seed, epoch)
    return [rows[first : first + size] for first in range(0, count, size)]


def line(logs: dict[str, float]) -> str:
    """Return logs as a line of text."""
    return "  ".join(f"{name} {value:.4g}" for name, value in logs.items())


def write_log(path: Path, epoch: int, logs: dict[str, float]) -> None:
    """Add an epoch to a table; the first one begins it anew."""
    with path.open("a" if epoch else "w", newline="") as file:
        writer = csv.writer(file)
        if not epoch:
            writer.writerow(["epoch", *logs])
        writer.writerow([epoch, *logs.values()])


class Batches(keras.utils.PyDataset):
    """Batches of samples.

    Args:
        part: The samples, labels and perhaps weights.
        rows: The rows of each batch.
    """

    def __init__(self, part: dict[str, np.ndarray], rows: list[np.ndarray]) -> None:
        super().__init__()
        self.part, self.rows = part, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return tuple(array[self.rows[index]] for array in self.part.values())


def in_order(part: dict[str, np.ndarray], size: int) -> Batches:
    """Return the batches of samples in their order."""
    rows = np.arange(len(part["x"]))
    return Batches(
        part, [rows[first : first + size] for first in range(0, len(rows), size)]
    )


class Stop:
    """Notes when someone asks to stop; who asks twice ends the program at once."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.ask)

    def ask(self, number: int, frame: object) -> None:
        """Take in the signal."""
        self.asked = True
        signal.signal(number, signal.SIG_DFL)


class Checkpoint(keras.callbacks.Callback):
    """Writes the table of epochs, and all that training goes on from.

    It gives each epoch its batches too.

    Args:
        options: The command line.
        train: The batches that are trained on.
    """

    def __init__(self, options: argparse.Namespace, train: Batches) -> None:
        super().__init__()
        self.options, self.train = options, train
        # The epoch, and how many batches of it are done.
        self.epoch = self.batch = 0
        self.best = math.inf
        self.last = options.out / "last.npz"
        self.read: dict[str, np.ndarray] = {}

    def load(self, model: keras.Model) -> None:
        """Go on from the last checkpoint."""
        if not self.last.exists():
            raise SystemExit(f"{self.last}: there is no checkpoint yet")
        with np.load(self.last, allow_pickle=False) as file:
            self.read = dict(file)
        state = json.loads(str(self.read["state"]))
        self.epoch, self.batch, self.best = (
            state[name] for name in ("epoch", "batch", "best")
        )
        if self.batch:
            # Metrics have no variables before they see a batch.
            model.test_on_batch(*self.train[0])
            # Keras takes the end of an epoch that was stopped for that of all data.
            warnings.filterwarnings("ignore", "Your input ran out of data")
        restore(model, self.read)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {"epoch": self.epoch, "batch": self.batch, "best": self.best}
        arrays = {
            f"metric_{i}": np.asarray(v)
            for i, v in enumerate(self.model.metrics_variables)
        }
        write(
            path, {"state": np.array(json.dumps(state)), **values(self.model), **arrays}
        )

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.stop = Stop()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        size, seed = self.options.batch_size, self.options.seed
        rows = batches(len(self.train.part["x"]), size, seed, epoch)
        self.count, self.train.rows = len(rows), rows[self.batch :]
        if self.batch:
            # Keras has begun its metrics anew.
            restore(self.model, self.read)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self.batch == self.count:
            # Of an epoch that was stopped Keras expects all batches, and gets the rest.
            raise StopIteration
        if self.stop.asked:
            self.save(self.last)
            where = f"after batch {self.batch} of epoch {self.epoch + 1}"
            raise SystemExit(f"stopped {where}; --resume goes on from there")
        self.batch += 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = dict(logs or {})
        logs.setdefault("learning_rate", float(self.model.optimizer.learning_rate))
        print(f"epoch {epoch + 1}/{self.params['epochs']}  {line(logs)}", flush=True)
        write_log(self.options.out / "log.csv", epoch, logs)
        watched = logs.get("val_loss", logs["loss"])
        better = watched < self.best
        self.epoch, self.batch, self.best = (
            epoch + 1,
            0,
            watched if better else self.best,
        )
        self.save(self.last)
        if better:
            self.save(self.options.out / "best.npz")
        if self.stop.asked:
            raise SystemExit(
                f"stopped after epoch {self.epoch}; --resume goes on from there"
            )


def trained(model: keras.Model) -> list[keras.Variable]:
    """Return all that training changes: weights, states of dropout, slots of the optimizer."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the values of all that training changes."""
    return {f"variable_{i}": np.asarray(v) for i, v in enumerate(trained(model))}


def restore(model: keras.Model, read: dict[str, np.ndarray]) -> None:
    """Set all that training changes, and what metrics have added up."""
    for i, variable in enumerate(trained(model)):
        variable.assign(read[f"variable_{i}"])
    for i, variable in enumerate(model.metrics_variables):
        variable.assign(read[f"metric_{i}"])


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays: all of them, or the file before stays."""
    half = path.with_suffix(".half.npz")
    np.savez(half, **arrays)
    os.replace(half, path)


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Train cancer_mlp.")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("cancer.npz"),
        help="a .npz file or a folder of .npy files",
    )
    parser.add_argument(
        "--weights", help="a .safetensors file of weights to begin with"
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.003, help="the learning rate")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the order of samples, and of dropout"
    )
    parser.add_argument("--validation-split", type=float, default=0.25)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("keras_run"),
        help="folder of checkpoints and logs",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint"
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="evaluate the last checkpoint, and end"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="train on two batches only"
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        help="where to train; if it is left out, on a GPU if there is one",
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="what most of the model is computed in",
    )
    return parser.parse_args()


def main() -> None:
    """Train, and write checkpoints and logs."""
    options = parsed()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 or "TF_CONFIG" in os.environ:
        raise SystemExit(
            "this program trains in one process; in several with distributed: true in the spec"
        )
    if options.device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif options.device == "cuda" and not tf.config.list_physical_devices("GPU"):
        raise SystemExit("TensorFlow finds no GPU")
    keras.utils.set_random_seed(options.seed)
    train, validation = load_data(options.data, options.validation_split)
    if options.smoke:
        train = {name: array[: 2 * options.batch_size] for name, array in train.items()}
    if options.precision != "float32":
        keras.mixed_precision.set_global_policy(f"mixed_{options.precision}")
    model = build_model()
    # In any precision the loss is computed of results in float32.
    model.get_layer("malignant").dtype_policy = "float32"
    if options.weights:
        load_weights(model, options.weights)
    compile_model(model, options.lr)
    given = in_order(train, options.batch_size)
    checkpoint = Checkpoint(options, given)
    checkpoint.last.parent.mkdir(parents=True, exist_ok=True)
    if options.resume or options.evaluate:
        checkpoint.load(model)
    if validation:
        validation = in_order(validation, options.batch_size)
    if options.evaluate:
        logs = model.evaluate(validation or given, verbose=0, return_dict=True)
        logs = {f"val_{name}": value for name, value in logs.items()}
        print(line(logs))
        return
    model.fit(
        given,
        epochs=1 if options.smoke else options.epochs,
        initial_epoch=checkpoint.epoch,
        shuffle=False,
        verbose=0,
        validation_data=validation or None,
        callbacks=[checkpoint],
    )
    write(options.out / "model.npz", values(model))
    model.save(options.out / "model.keras")


if __name__ == "__main__":
    main()
