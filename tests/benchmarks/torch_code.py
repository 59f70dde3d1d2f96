"""Generated PyTorch code against the same network written by hand."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import seqgen
from seqgen.verify.workers.protocol import load_program
from tests.benchmarks import measure
from tests.benchmarks.networks import guide_cnn


class ByHand(nn.Module):
    """The image classifier of the Keras guide, as somebody would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(3),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(3),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.logits = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(self.features(x).amax((2, 3)))


def generated() -> Any:
    """The generated model."""
    with tempfile.TemporaryDirectory() as name:
        seqgen.generate(seqgen.Sequential.from_dict(guide_cnn()), name, targets=("torch",))
        return load_program(str(Path(name, "torch_model.py"))).build_model()


def inference(model: Any, x: torch.Tensor) -> Callable[[], object]:
    """A forward pass."""

    def call() -> object:
        with torch.inference_mode():
            return model(x)

    return call


def training(model: Any, x: torch.Tensor) -> Callable[[], object]:
    """A step of gradient descent."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def call() -> object:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        return None

    return call


def main() -> None:
    """The guide's CNN: generated PyTorch code against the same network written by hand."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    ours, hand = generated(), ByHand()
    hand.load_state_dict(dict(zip(hand.state_dict(), ours.state_dict().values(), strict=True)))
    for mode, make, rounds in (("inference", inference, 400), ("training", training, 80)):
        for batch in (1, 8):
            x = torch.randn(batch, 3, 250, 250)
            torch.testing.assert_close(ours(x), hand(x))
            calls = {"generated": make(ours, x), "by hand": make(hand, x)}
            times = measure.in_turns(calls, rounds // batch)
            found = measure.ratio(times["generated"], times["by hand"])
            shown = ", ".join(f"{name} {measure.milliseconds(t)}" for name, t in times.items())
            print(
                f"  {mode} batch {batch}: ratio {found:.3f} (at most 1.02)  [{shown}]", flush=True
            )
