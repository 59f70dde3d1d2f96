"""PyTorch model CausalStack."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class CausalStack(nn.Module):
    """Takes (N, 8, time), returns (N, time, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(8, 32, 2)
        self.conv1d_1 = nn.Conv1d(32, 32, 2, dilation=2)
        self.conv1d_2 = nn.Conv1d(32, 32, 2, dilation=4)
        self.layer_normalization = nn.LayerNorm(32, eps=0.001)
        self.conv1d_3 = nn.Conv1d(32, 32, 2, dilation=8)
        self.spatial_dropout1d = nn.Dropout1d(0.1)
        self.forecast = nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (1, 0))  # (N, 8, time)
        x = F.relu(self.conv1d(x))  # (N, 32, time)
        x = F.pad(x, (2, 0))  # (N, 32, time)
        x = F.relu(self.conv1d_1(x))  # (N, 32, time)
        x = F.pad(x, (4, 0))  # (N, 32, time)
        x = F.relu(self.conv1d_2(x))  # (N, 32, time)
        x = x.permute(0, 2, 1)  # (N, time, 32)
        x = self.layer_normalization(x)  # (N, time, 32)
        x = x.permute(0, 2, 1)  # (N, 32, time)
        x = F.pad(x, (8, 0))  # (N, 32, time)
        x = F.gelu(self.conv1d_3(x))  # (N, 32, time)
        x = self.spatial_dropout1d(x)  # (N, 32, time)
        x = x.permute(0, 2, 1)  # (N, time, 32)
        x = self.forecast(x)  # (N, time, 1)
        return x


def build_model() -> CausalStack:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return CausalStack()


def load_weights(model: CausalStack, path: str = "weights.safetensors") -> None:
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
            "layer_normalization.weight": weights.pop("layer_normalization.gamma"),
            "layer_normalization.bias": weights.pop("layer_normalization.beta"),
            "conv1d_3.weight": weights.pop("conv1d_3.kernel").permute(2, 1, 0),
            "conv1d_3.bias": weights.pop("conv1d_3.bias"),
            "forecast.weight": weights.pop("forecast.kernel").permute(1, 0),
            "forecast.bias": weights.pop("forecast.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
