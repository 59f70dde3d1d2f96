"""PyTorch model SunspotsTcn."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class SunspotsTcn(nn.Module):
    """Takes (N, 1, 24), returns (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(1, 16, 3)
        self.conv1d_1 = nn.Conv1d(16, 16, 3, dilation=2)
        self.conv1d_2 = nn.Conv1d(16, 16, 3, dilation=4)
        self.next = nn.Linear(16 * 24, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (2, 0))  # (N, 1, 26)
        x = F.relu(self.conv1d(x))  # (N, 16, 24)
        x = F.pad(x, (4, 0))  # (N, 16, 28)
        x = F.relu(self.conv1d_1(x))  # (N, 16, 24)
        x = F.pad(x, (8, 0))  # (N, 16, 32)
        x = F.relu(self.conv1d_2(x))  # (N, 16, 24)
        x = torch.flatten(x, 1)  # (N, 384)
        x = self.next(x)  # (N, 1)
        return x


def build_model() -> SunspotsTcn:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return SunspotsTcn()


def load_weights(model: SunspotsTcn, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "conv1d.weight": weights.pop("conv1d.kernel").permute(2, 1, 0),
            "conv1d.bias": weights.pop("conv1d.bias"),
            "conv1d_1.weight": weights.pop("conv1d_1.kernel").permute(2, 1, 0),
            "conv1d_1.bias": weights.pop("conv1d_1.bias"),
            "conv1d_2.weight": weights.pop("conv1d_2.kernel").permute(2, 1, 0),
            "conv1d_2.bias": weights.pop("conv1d_2.bias"),
            "next.weight": weights.pop("next.kernel")
            .reshape(24, 16, 1)
            .permute(2, 1, 0)
            .reshape(1, 384),
            "next.bias": weights.pop("next.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
