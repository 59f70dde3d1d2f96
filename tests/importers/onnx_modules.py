"""Modules of PyTorch as most are written, to be exported to ONNX."""

import math
from typing import Any

import torch
from torch import nn


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.down = nn.Conv2d(3, 8, 1, stride=2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)) + self.down(x))
        y = nn.functional.max_pool2d(y, 3, 1, 1)
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(y, 1), 1))


class Mobile(nn.Module):
    """An inverted block with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        y = nn.functional.silu(self.depthwise(self.expand(x)))
        gate = nn.functional.adaptive_avg_pool2d(y, 1)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(gate))))
        y = nn.functional.hardswish(nn.functional.gelu(y * gate))
        return torch.softmax(self.head(self.norm(y.mean((2, 3)))), -1)


class Attention(nn.Module):
    """Heads that attend, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        n, steps, width = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k, v = (t.reshape(n, steps, 2, width // 2).transpose(1, 2) for t in (q, k, v))
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(width // 2), -1)
        return x + self.out((weights @ v).transpose(1, 2).reshape(n, steps, width))


class Recurrent(nn.Module):
    """Recurrent layers, and what most modules read of them."""

    def __init__(self, kind: str, reads: str, both: bool, layers: int, first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        own = {"num_layers": layers, "bidirectional": both, "batch_first": first}
        self.run = getattr(nn, kind)(4, 3, **own)
        self.reads, self.first = reads, first

    def forward(self, x: Any) -> Any:
        y, state = self.run(x)
        state = state[0] if isinstance(state, tuple) else state
        last = y[:, -1] if self.first else y[-1]
        if self.reads == "states":
            return torch.cat([state[-2], state[-1]], 1)
        made = {"sequences": y, "state": state[-1], "last": last, "both": (y, state[-1])}
        return made[self.reads]


def export(
    module: Any, shape: tuple[int, ...], path: Any, dynamo: bool, batch: int, **more: Any
) -> None:
    """Export a module whose input leaves one axis open."""
    axes = {batch: torch.export.Dim.DYNAMIC} if dynamo else {batch: "batch"}
    said: dict[str, Any] = {"dynamic_shapes": (axes,)} if dynamo else {"dynamic_axes": {"x": axes}}
    x = torch.zeros(*shape)
    names = {"input_names": ["x"], "verbose": False, "dynamo": dynamo}
    torch.onnx.export(module.eval(), (x,), str(path), **names, **said, **more)


def _cnn() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(24, 3),
        nn.LogSoftmax(-1),
    )


def _mlp() -> Any:
    return nn.Sequential(
        nn.Linear(7, 6), nn.BatchNorm1d(6), nn.ELU(), nn.Linear(6, 4, bias=False), nn.Tanh()
    )


MODULES = {
    "attention": Attention,
    "cnn": _cnn,
    "mlp": _mlp,
    "mobile": Mobile,
    "residual": Residual,
}


def made(name: str) -> Any:
    """A module in eval mode whose weights all matter."""
    torch.manual_seed(0)
    module = MODULES[name]()
    for part in module.modules():
        if getattr(part, "running_var", None) is not None:
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -1, 1)
    return module.eval()
