"""Trains the Keras model digits_cnn: Adam on SparseCategoricalCrossentropy.

    python keras_train.py --data digits.npz --epochs 10

From the same weights and with the same data torch_train.py follows it step by step.
"""

import argparse
import csv
import json
import math
import os
from pathlib import Path

import keras
import numpy as np
from keras_model import build_model, load_weights


def compile_model(model: keras.Model, rate: float = 0.001) -> None:
    """Give the model its optimizer, loss and metrics.

    Args:
        model: The model.
        rate: The learning rate.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
    )


def load_data(
    path: Path, split: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the arrays to train on and those to validate on, which may be none.

    A .npz file, or a folder of .npy files, which are mapped and not read, holds `x`, `y` and
    perhaps `sample_weight`, and perhaps the same for validation as `x_val` and so on.
    """
    if path.is_dir():
        arrays = {
            file.stem: np.load(file, mmap_mode="r") for file in path.glob("*.npy")
        }
    else:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
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
    """The batches of each epoch, in an order that hangs on the seed and the epoch."""

    def __init__(
        self, part: dict[str, np.ndarray], size: int, seed: int, epoch: int
    ) -> None:
        super().__init__()
        self.part, self.size, self.seed = part, size, seed
        # Keras looks at batches before the first epoch begins.
        self.epoch, self.rows = epoch - 1, np.arange(len(part["x"]))

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        rows = self.rows[index * self.size : (index + 1) * self.size]
        return tuple(array[rows] for array in self.part.values())

    def on_epoch_begin(self) -> None:
        self.epoch += 1
        self.rows = order(len(self.rows), self.seed, self.epoch)


class Checkpoint(keras.callbacks.Callback):
    """Writes the table of epochs, and all that training goes on from, after every epoch.

    Args:
        out: The folder to write into.
        others: The callbacks whose state belongs to it.
    """

    def __init__(self, out: Path, others: list[keras.callbacks.Callback]) -> None:
        super().__init__()
        self.out, self.others = out, others
        self.state = {"epoch": 0, "best": None, "callbacks": [{} for _ in others]}

    def read(self, model: keras.Model) -> None:
        """Go on from the last checkpoint."""
        self.state = json.loads((self.out / "last.json").read_text())
        restore(model, self.out / "last.npz")

    def on_train_begin(self, logs: dict | None = None) -> None:
        # Callbacks begin anew with training; these had begun before.
        for callback, known in zip(self.others, self.state["callbacks"], strict=True):
            for name, value in known.items():
                setattr(callback, name, value)
            if known.get("best_weights") == "best":
                with np.load(self.out / "best_weights.npz") as file:
                    callback.best_weights = list(file.values())

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = dict(logs or {})
        logs.setdefault("learning_rate", float(self.model.optimizer.learning_rate))
        print(f"epoch {epoch + 1}/{self.params['epochs']}  {line(logs)}", flush=True)
        write_log(self.out / "log.csv", epoch, logs)
        watched = logs.get("val_loss", logs["loss"])
        best = self.state["best"] is None or watched < self.state["best"]
        self.state |= {
            "epoch": epoch + 1,
            "best": watched if best else self.state["best"],
        }
        self.state["callbacks"] = [self.known(callback) for callback in self.others]
        save(self.model, self.out / "last.npz")
        half = self.out / "last.tmp"
        half.write_text(json.dumps(self.state))
        os.replace(half, self.out / "last.json")
        if best:
            save(self.model, self.out / "best.npz")

    def known(self, callback: keras.callbacks.Callback) -> dict:
        """Return the numbers that a callback goes on from."""
        names = ("wait", "best", "best_epoch", "cooldown_counter", "stopped_epoch")
        found = {k: v for k in names if (v := getattr(callback, k, None)) is not None}
        found = {k: v if isinstance(v, int) else float(v) for k, v in found.items()}
        if getattr(callback, "best_weights", None) is not None:
            np.savez(self.out / "best_weights.npz", *callback.best_weights)
            found["best_weights"] = "best"
        return found


def variables(model: keras.Model) -> list[keras.Variable]:
    """Return all that training changes: weights, states of dropout, slots of the optimizer."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def save(model: keras.Model, path: Path) -> None:
    """Write all variables: all of them, or the file before stays."""
    half = path.with_suffix(".half.npz")
    kept = {str(i): np.asarray(v) for i, v in enumerate(variables(model))}
    np.savez(half, **kept)
    os.replace(half, path)


def restore(model: keras.Model, path: Path) -> None:
    """Read all variables."""
    with np.load(path, allow_pickle=False) as file:
        for index, variable in enumerate(variables(model)):
            variable.assign(file[str(index)])


def callbacks() -> list[keras.callbacks.Callback]:
    """Return what happens after an epoch."""
    return []


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Train digits_cnn.")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("digits.npz"),
        help="a .npz file or a folder of .npy files",
    )
    parser.add_argument(
        "--weights", help="a .safetensors file of weights to begin with"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.001, help="the learning rate")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the order of samples, and of dropout"
    )
    parser.add_argument("--validation-split", type=float, default=0.2)
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
    return parser.parse_args()


def main() -> None:
    """Train, and write checkpoints and logs."""
    options = parsed()
    keras.utils.set_random_seed(options.seed)
    train, validation = load_data(options.data, options.validation_split)
    if options.smoke:
        train = {name: array[: 2 * options.batch_size] for name, array in train.items()}
    model = build_model()
    if options.weights:
        load_weights(model, options.weights)
    compile_model(model, options.lr)
    options.out.mkdir(parents=True, exist_ok=True)
    others = callbacks()
    checkpoint = Checkpoint(options.out, others)
    if options.resume or options.evaluate:
        checkpoint.read(model)
    if options.evaluate:
        arrays = list((validation or train).values())
        logs = model.evaluate(
            *arrays[:2], options.batch_size, 0, *arrays[2:], return_dict=True
        )
        print(line({f"val_{name}": value for name, value in logs.items()}))
        return
    begin = checkpoint.state["epoch"]
    model.fit(
        Batches(train, options.batch_size, options.seed, begin),
        epochs=1 if options.smoke else options.epochs,
        initial_epoch=begin,
        shuffle=False,
        verbose=0,
        validation_data=tuple(validation.values()) or None,
        validation_batch_size=options.batch_size,
        callbacks=[*others, checkpoint],
    )
    save(model, options.out / "model.npz")
    model.save(options.out / "model.keras")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(
            "stopped; --resume goes on after the last whole epoch"
        ) from None
