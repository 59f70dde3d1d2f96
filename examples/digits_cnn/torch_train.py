"""Trains the PyTorch model digits_cnn: Adam on SparseCategoricalCrossentropy.

    python torch_train.py --data digits.npz --epochs 10

From the same weights and with the same data it follows keras_train.py step by step.
"""

import argparse
import csv
import math
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch_model import build_model, load_weights
from tqdm import tqdm


class Adam(torch.optim.Adam):
    """Adam with Keras's epsilon, which is added before the root's bias is corrected."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["t"] = group.get("t", 0) + 1
            corrected = 1 - group["betas"][1] ** group["t"]
            group["eps"] = self.defaults["eps"] / math.sqrt(corrected)
        return super().step(closure)


def losses(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the loss of each sample for logits and labels."""
    return F.cross_entropy(z.movedim(-1, 1), y, reduction="none")


class Trainer:
    """A model and what training it needs: all that a checkpoint holds.

    Args:
        model: The model.
        lr: The learning rate.
    """

    def __init__(self, model: nn.Module, lr: float = 0.001) -> None:
        self.model = model
        self.lr = lr
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = Adam(self.parameters, lr=lr, betas=(0.9, 0.999), eps=1e-07)
        self.steps = 0

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits for a batch, its axes in the order of the data."""
        return self.model.logits(x.permute(0, 3, 1, 2))

    def loss(
        self, z: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the loss of a batch."""
        each = losses(z, y.reshape(z.shape[:-1]))
        if weight is not None:
            each = each * weight.reshape(each.shape)
        total = each.mean()
        return total

    def step(
        self, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Train on a batch; return its loss before that, and logits."""
        z = self.outputs(x)
        loss = self.loss(z, y, weight)
        self.optimizer.zero_grad()
        loss.backward()
        self.update()
        self.steps += 1
        return loss.detach(), z.detach()

    def update(self) -> None:
        """Change the parameters by their gradients."""
        self.optimizer.step()

    def state_dict(self) -> dict:
        """Return all that training goes on from."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        return {**state, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]


def probabilities(z: torch.Tensor) -> torch.Tensor:
    """Return the results of the model for logits."""
    return F.softmax(z, dim=-1)


class Logs:
    """The mean loss and metrics of an epoch, each batch weighted by its samples."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, each: torch.Tensor, count: int) -> None:
        """Add up values that stand for `count` samples."""
        self.sums[name] = self.sums.get(name, 0.0) + each.double().sum().item()
        self.counts[name] = self.counts.get(name, 0) + count

    def update(self, loss: torch.Tensor, z: torch.Tensor, y: torch.Tensor) -> None:
        """Take in a batch."""
        self.add("loss", loss.double() * len(y), len(y))
        p = probabilities(z)
        y = y.reshape(p.shape[:-1])
        each = (p.argmax(-1) == y).double()
        self.add("accuracy", each, each.numel())

    def results(self, prefix: str = "") -> dict[str, float]:
        """Return the means by name."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        return {prefix + name: mean for name, mean in means.items()}


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


def tensors(
    part: dict[str, np.ndarray], rows: np.ndarray, device: torch.device
) -> list:
    """Return samples, labels and weights of some rows; the weights are None if there are none."""

    def tensor(name: str) -> torch.Tensor | None:
        return (
            torch.from_numpy(np.ascontiguousarray(part[name][rows])).to(device)
            if name in part
            else None
        )

    x, y, weight = map(tensor, ("x", "y", "sample_weight"))
    x = x.to(torch.float32)
    y = y.long()
    return [x, y, None if weight is None else weight.to(torch.float32)]


@torch.no_grad()
def evaluate(
    trainer: Trainer, part: dict[str, np.ndarray], batch_size: int
) -> dict[str, float]:
    """Return the loss and metrics of some samples in inference mode."""
    trainer.model.eval()
    device, logs = next(trainer.model.parameters()).device, Logs()
    rows = np.arange(len(part["x"]))
    for first in range(0, len(rows), batch_size):
        x, y, weight = tensors(part, rows[first : first + batch_size], device)
        z = trainer.outputs(x)
        logs.update(trainer.loss(z, y, weight), z, y)
    return logs.results("val_")


def train_epoch(
    trainer: Trainer, part: dict[str, np.ndarray], rows: np.ndarray, batch_size: int
) -> dict[str, float]:
    """Train on the samples in the order of `rows`; return the loss and metrics on the way."""
    trainer.model.train()
    device, logs = next(trainer.model.parameters()).device, Logs()
    for first in tqdm(
        range(0, len(rows), batch_size), unit="batch", leave=False, disable=None
    ):
        x, y, weight = tensors(part, rows[first : first + batch_size], device)
        loss, z = trainer.step(x, y, weight)
        logs.update(loss, z, y)
    return logs.results()


def save(path: Path, state: dict) -> None:
    """Write a checkpoint: all of it, or the one before stays."""
    half = path.with_suffix(".tmp")
    torch.save(state, half)
    os.replace(half, path)


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
        default=Path("torch_run"),
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
    parser.add_argument("--device", default="cpu", help="where to train: cpu or cuda")
    return parser.parse_args()


def main() -> None:
    """Train, and write checkpoints and logs."""
    options = parsed()
    torch.manual_seed(options.seed)
    train, validation = load_data(options.data, options.validation_split)
    if options.smoke:
        train = {name: array[: 2 * options.batch_size] for name, array in train.items()}
    model = build_model().to(options.device)
    if options.weights:
        load_weights(model, options.weights)
    trainer = Trainer(model, options.lr)
    options.out.mkdir(parents=True, exist_ok=True)
    last, begin, best = options.out / "last.pt", 0, math.inf
    if options.resume or options.evaluate:
        state = torch.load(last, map_location=options.device, weights_only=True)
        trainer.load_state_dict(state["trainer"])
        torch.set_rng_state(state["random"].cpu())
        begin, best = state["epoch"], state["best"]
    if options.evaluate:
        print(line(evaluate(trainer, validation or train, options.batch_size)))
        return
    for epoch in range(begin, 1 if options.smoke else options.epochs):
        rows = order(len(train["x"]), options.seed, epoch)
        logs = train_epoch(trainer, train, rows, options.batch_size)
        if validation:
            logs |= evaluate(trainer, validation, options.batch_size)
        logs["learning_rate"] = trainer.optimizer.param_groups[0]["lr"]
        print(f"epoch {epoch + 1}/{options.epochs}  {line(logs)}", flush=True)
        write_log(options.out / "log.csv", epoch, logs)
        stop = not math.isfinite(logs["loss"])
        value = logs.get("val_loss", logs["loss"])
        state = {
            "trainer": trainer.state_dict(),
            "epoch": epoch + 1,
            "random": torch.get_rng_state(),
        }
        state["best"] = min(best, value)
        save(last, state)
        if value < best:
            best = value
            save(options.out / "best.pt", state)
        if stop:
            break
    save(options.out / "model.pt", trainer.model.state_dict())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(
            "stopped; --resume goes on after the last whole epoch"
        ) from None
