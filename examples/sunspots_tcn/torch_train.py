"""Trains the PyTorch model sunspots_tcn: Adam on MeanSquaredError.

    python torch_train.py --data sunspots.npz --epochs 30

From the same weights and with the same data it follows keras_train.py step by step.
"""

import argparse
import csv
import math
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch_model import build_model, load_weights
from tqdm import tqdm

# Which of the processes this is that torchrun started, and how many they are.
RANK = int(os.environ.get("RANK", "0"))
PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))


@torch.no_grad()
def initialize(model: nn.Module) -> None:
    """Draw first values from the distributions that the spec's initializers have in Keras."""
    for name, p in model.state_dict().items():
        if name.endswith("weight"):
            nn.init.xavier_uniform_(p)
        elif name.endswith("bias"):
            nn.init.zeros_(p)


def share(batch: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
    """Return the part of a batch that this process takes."""
    return batch[len(batch) * RANK // PROCESSES : len(batch) * (RANK + 1) // PROCESSES]


def add_up(tensors: list[torch.Tensor]) -> None:
    """Put the sums over all processes in the place of tensors."""
    if PROCESSES > 1:
        for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
            work.wait()


def gathered(z: torch.Tensor, count: int) -> torch.Tensor:
    """Return the results for a batch of `count` samples; each process has those of its share."""
    if PROCESSES == 1:
        return z
    whole = z.new_zeros(count, *z.shape[1:])
    share(whole).copy_(z)
    with torch.no_grad():
        add_up([whole])
    return whole


def agreed(asked: bool, device: str) -> bool:
    """Tell whether any of the processes was asked to stop."""
    votes = torch.tensor([float(asked)], device=device)
    add_up([votes])
    return votes.item() > 0


class Adam(torch.optim.Adam):
    """Adam with Keras's epsilon, which is added before the root's bias is corrected."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["t"] = group.get("t", 0) + 1
            corrected = 1 - group["betas"][1] ** group["t"]
            group["eps"] = self.defaults["eps"] / math.sqrt(corrected)
        return super().step(closure)


def losses(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the loss of each sample for results and labels."""
    return (z - y).square().mean(-1)


class Trainer:
    """A model and what training it needs: all that a checkpoint holds.

    Args:
        model: The model.
        lr: The learning rate.
        precision: What most of the model is computed in: float32, bfloat16 or float16.
    """

    def __init__(
        self, model: nn.Module, lr: float = 0.003, precision: str = "float32"
    ) -> None:
        self.model = model
        self.lr = lr
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = Adam(
            self.parameters, lr=lr, betas=(0.9, 0.999), eps=1e-07, fused=True
        )
        self.steps = 0
        device = self.parameters[0].device.type
        self.autocast = torch.autocast(
            device, getattr(torch, precision), precision != "float32"
        )
        # What is small is lost in float16, so that the loss is scaled up, as Keras scales it.
        self.scaler = torch.amp.GradScaler(
            device, 2.0**15, enabled=precision == "float16"
        )

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return results for a batch, its axes in the order of the data."""
        with self.autocast:
            z = self.model(x.permute(0, 2, 1))
        return z.float()

    def loss(
        self, z: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the loss of a batch."""
        each = losses(z, y.reshape(z.shape).to(z.dtype))
        if weight is not None:
            each = each * weight.reshape(each.shape)
        total = each.mean()
        return total

    def step(
        self, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Train on a batch; return its loss before that, and results."""
        z = gathered(self.outputs(x), len(y))
        loss = self.loss(z, y, weight)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        add_up(self.gradients())
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
            self.scaler.update()
            if not all(gradient.isfinite().all() for gradient in self.gradients()):
                return loss.detach(), z.detach()
        self.update()
        self.steps += 1
        return loss.detach(), z.detach()

    def gradients(self) -> list[torch.Tensor]:
        """Return the gradients of the parameters."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def update(self) -> None:
        """Change the parameters by their gradients."""
        self.optimizer.step()

    def state_dict(self) -> dict:
        """Return all that training goes on from."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        state["scaler"] = self.scaler.state_dict()
        return {**state, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.steps = state["steps"]


def probabilities(z: torch.Tensor) -> torch.Tensor:
    """Return the results of the model for what it gives."""
    return z


def mean_absolute_error(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute error of each sample for results and labels."""
    return (z - y).abs().mean(-1)


class Logs:
    """The mean loss and metrics of an epoch, each batch weighted by its samples."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def add(self, name: str, each: torch.Tensor, count: float) -> None:
        """Add up values that stand for `count` samples."""
        self.sums[name] = self.sums.get(name, 0.0) + each.double().sum().item()
        self.counts[name] = self.counts.get(name, 0) + count

    def update(self, loss: torch.Tensor, z: torch.Tensor, y: torch.Tensor) -> None:
        """Take in a batch."""
        self.add("loss", loss.double() * len(y), len(y))
        p = probabilities(z)
        y = y.reshape(p.shape).to(p.dtype)
        each = mean_absolute_error(p, y)
        self.add("mean_absolute_error", each, each.numel())

    def results(self, prefix: str = "") -> dict[str, float]:
        """Return the means by name."""
        found = {name: self.sums[name] / self.counts[name] for name in self.sums}
        return {prefix + name: value for name, value in found.items()}

    def state_dict(self) -> dict:
        """Return what was taken in."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: dict) -> None:
        """Go on from what was taken in."""
        self.sums, self.counts = state["sums"], state["counts"]


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


def tensors(
    part: dict[str, np.ndarray], rows: np.ndarray, device: torch.device
) -> list:
    """Return samples, labels and weights of some rows; the weights are None if there are none."""

    def tensor(name: str) -> torch.Tensor | None:
        # A process takes all labels of a batch, and of its samples a share.
        taken = share(rows) if name == "x" else rows
        return (
            torch.from_numpy(np.ascontiguousarray(part[name][taken])).to(device)
            if name in part
            else None
        )

    x, y, weight = map(tensor, ("x", "y", "sample_weight"))
    x = x.to(torch.float32)
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
        z = gathered(trainer.outputs(x), len(y))
        logs.update(trainer.loss(z, y, weight), z, y)
    return logs.results("val_")


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


def random_states() -> dict[str, torch.Tensor]:
    """Return the states of what dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: dict[str, torch.Tensor]) -> None:
    """Let dropout go on from states."""
    torch.set_rng_state(states["cpu"].cpu())
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu())


def write(path: Path, state: dict) -> None:
    """Write a file of tensors: all of it, or the one before stays."""
    if RANK == 0:
        half = path.with_suffix(".tmp")
        torch.save(state, half)
        os.replace(half, path)
    if PROCESSES > 1:
        # When one process ends torchrun ends the others: not before process 0 has written this.
        dist.barrier()


class Run:
    """A training on its way.

    Args:
        trainer: The model and its optimizer.
        options: The command line.
    """

    def __init__(self, trainer: Trainer, options: argparse.Namespace) -> None:
        self.trainer, self.options = trainer, options
        self.epochs = 1 if options.smoke else options.epochs
        # The epoch, and how many batches of it are done.
        self.epoch = self.batch = 0
        self.best = math.inf
        self.logs = Logs()
        self.last = options.out / "last.pt"

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {"trainer": self.trainer.state_dict(), "random": random_states()}
        state |= {"epoch": self.epoch, "batch": self.batch, "best": self.best}
        state["logs"] = self.logs.state_dict()
        write(path, state)

    def load(self) -> None:
        """Go on from the last checkpoint."""
        if not self.last.exists():
            raise SystemExit(f"{self.last}: there is no checkpoint yet")
        state = torch.load(
            self.last, map_location=self.options.device, weights_only=True
        )
        self.trainer.load_state_dict(state["trainer"])
        set_random_states(state["random"])
        self.epoch, self.batch, self.best = (
            state[name] for name in ("epoch", "batch", "best")
        )
        self.logs.load_state_dict(state["logs"])

    def train(
        self, part: dict[str, np.ndarray], validation: dict[str, np.ndarray]
    ) -> None:
        """Train for the epochs that are left."""
        stop = Stop()
        while self.epoch < self.epochs:
            self.train_epoch(part, stop)
            logs = self.logs.results()
            if validation:
                logs |= evaluate(self.trainer, validation, self.options.batch_size)
            logs["learning_rate"] = self.trainer.optimizer.param_groups[0]["lr"]
            self.end_epoch(logs)
            if agreed(stop.asked, self.options.device):
                raise SystemExit(
                    f"stopped after epoch {self.epoch}; --resume goes on from there"
                )

    def train_epoch(self, part: dict[str, np.ndarray], stop: Stop) -> None:
        """Train on the batches of an epoch that are left."""
        options, device = self.options, next(self.trainer.model.parameters()).device
        rows = batches(len(part["x"]), options.batch_size, options.seed, self.epoch)
        if not self.batch:
            self.logs = Logs()
        self.trainer.model.train()
        made = (tensors(part, each, device) for each in rows[self.batch :])
        for x, y, weight in tqdm(
            made,
            initial=self.batch,
            total=len(rows),
            leave=False,
            disable=RANK > 0 or None,
        ):
            loss, z = self.trainer.step(x, y, weight)
            self.logs.update(loss, z, y)
            self.batch += 1
            if self.batch < len(rows) and agreed(stop.asked, self.options.device):
                self.save(self.last)
                where = f"after batch {self.batch} of epoch {self.epoch + 1}"
                raise SystemExit(f"stopped {where}; --resume goes on from there")

    def end_epoch(self, logs: dict[str, float]) -> None:
        """Write the epoch into the table, and checkpoints."""
        if RANK == 0:
            print(f"epoch {self.epoch + 1}/{self.epochs}  {line(logs)}", flush=True)
            write_log(self.options.out / "log.csv", self.epoch, logs)
        watched = logs.get("val_loss", logs["loss"])
        better = watched < self.best
        self.epoch, self.batch, self.best = (
            self.epoch + 1,
            0,
            watched if better else self.best,
        )
        self.save(self.last)
        if better:
            self.save(self.options.out / "best.pt")


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Train sunspots_tcn.")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("sunspots.npz"),
        help="a .npz file or a folder of .npy files",
    )
    parser.add_argument(
        "--weights", help="a .safetensors file of weights to begin with"
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.003, help="the learning rate")
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
    if PROCESSES > 1:
        if options.device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if options.device == "cuda" else "gloo")
    torch.manual_seed(options.seed)
    train, validation = load_data(options.data, options.validation_split)
    if options.smoke:
        train = {name: array[: 2 * options.batch_size] for name, array in train.items()}
    model = build_model()
    if options.weights:
        load_weights(model, options.weights)
    else:
        initialize(model)
    model.to(options.device)
    run = Run(Trainer(model, options.lr, options.precision), options)
    run.last.parent.mkdir(parents=True, exist_ok=True)
    if options.resume or options.evaluate:
        run.load()
    if options.evaluate:
        logs = evaluate(run.trainer, validation or train, options.batch_size)
        if RANK == 0:
            print(line(logs))
        return
    run.train(train, validation)
    write(options.out / "model.pt", model.state_dict())
    if PROCESSES > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
