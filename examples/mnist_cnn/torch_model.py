"""PyTorch model MnistCnn."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class MnistCnn(nn.Module):
    """Takes (N, 1, 28, 28), returns (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(1, 32, 3)
        self.conv2d_1 = nn.Conv2d(32, 64, 3)
        self.dropout = nn.Dropout(0.5)
        self.probabilities = nn.Linear(64 * 5 * 5, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv2d(x))  # (N, 32, 26, 26)
        x = F.max_pool2d(x, 2)  # (N, 32, 13, 13)
        x = F.relu(self.conv2d_1(x))  # (N, 64, 11, 11)
        x = F.max_pool2d(x, 2)  # (N, 64, 5, 5)
        x = torch.flatten(x, 1)  # (N, 1600)
        x = self.dropout(x)  # (N, 1600)
        x = F.softmax(self.probabilities(x), dim=-1)  # (N, 10)
        return x


def build_model() -> MnistCnn:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return MnistCnn()


def load_weights(model: MnistCnn, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "conv2d.weight": weights.pop("conv2d.kernel").permute(3, 2, 0, 1),
            "conv2d.bias": weights.pop("conv2d.bias"),
            "conv2d_1.weight": weights.pop("conv2d_1.kernel").permute(3, 2, 0, 1),
            "conv2d_1.bias": weights.pop("conv2d_1.bias"),
            "probabilities.weight": weights.pop("probabilities.kernel")
            .reshape(5, 5, 64, 10)
            .permute(3, 2, 0, 1)
            .reshape(10, 1600),
            "probabilities.bias": weights.pop("probabilities.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
