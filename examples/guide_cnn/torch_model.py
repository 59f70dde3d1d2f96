"""PyTorch model GuideCnn."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class GuideCnn(nn.Module):
    """Takes (N, 3, 250, 250), returns (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(3, 32, 5, stride=2)
        self.conv2d_1 = nn.Conv2d(32, 32, 3)
        self.conv2d_2 = nn.Conv2d(32, 32, 3)
        self.conv2d_3 = nn.Conv2d(32, 32, 3)
        self.conv2d_4 = nn.Conv2d(32, 32, 3)
        self.conv2d_5 = nn.Conv2d(32, 32, 3)
        self.logits = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv2d(x))  # (N, 32, 123, 123)
        x = F.relu(self.conv2d_1(x))  # (N, 32, 121, 121)
        x = F.max_pool2d(x, 3)  # (N, 32, 40, 40)
        x = F.relu(self.conv2d_2(x))  # (N, 32, 38, 38)
        x = F.relu(self.conv2d_3(x))  # (N, 32, 36, 36)
        x = F.max_pool2d(x, 3)  # (N, 32, 12, 12)
        x = F.relu(self.conv2d_4(x))  # (N, 32, 10, 10)
        x = F.relu(self.conv2d_5(x))  # (N, 32, 8, 8)
        x = F.max_pool2d(x, 2)  # (N, 32, 4, 4)
        x = x.amax((2, 3))  # (N, 32)
        x = self.logits(x)  # (N, 10)
        return x


def build_model() -> GuideCnn:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return GuideCnn()


def load_weights(model: GuideCnn, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "conv2d.weight": weights.pop("conv2d.kernel").permute(3, 2, 0, 1),
            "conv2d.bias": weights.pop("conv2d.bias"),
            "conv2d_1.weight": weights.pop("conv2d_1.kernel").permute(3, 2, 0, 1),
            "conv2d_1.bias": weights.pop("conv2d_1.bias"),
            "conv2d_2.weight": weights.pop("conv2d_2.kernel").permute(3, 2, 0, 1),
            "conv2d_2.bias": weights.pop("conv2d_2.bias"),
            "conv2d_3.weight": weights.pop("conv2d_3.kernel").permute(3, 2, 0, 1),
            "conv2d_3.bias": weights.pop("conv2d_3.bias"),
            "conv2d_4.weight": weights.pop("conv2d_4.kernel").permute(3, 2, 0, 1),
            "conv2d_4.bias": weights.pop("conv2d_4.bias"),
            "conv2d_5.weight": weights.pop("conv2d_5.kernel").permute(3, 2, 0, 1),
            "conv2d_5.bias": weights.pop("conv2d_5.bias"),
            "logits.weight": weights.pop("logits.kernel").permute(1, 0),
            "logits.bias": weights.pop("logits.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
