"""PyTorch model Autoencoder."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class Autoencoder(nn.Module):
    """Takes (N, 1, 28, 28), returns (N, 1, 28, 28)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(1, 16, 3, stride=2)
        self.conv2d_1 = nn.Conv2d(16, 32, 3, stride=2)
        self.code_ = nn.Linear(32 * 7 * 7, 32)
        self.dense = nn.Linear(32, 32 * 7 * 7)
        self.conv2d_transpose = nn.ConvTranspose2d(32, 32, 3, stride=2)
        self.conv2d_transpose_1 = nn.ConvTranspose2d(32, 16, 3, stride=2)
        self.reconstruction = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, 1, 0, 1))  # (N, 1, 29, 29)
        x = F.relu(self.conv2d(x))  # (N, 16, 14, 14)
        x = F.pad(x, (0, 1, 0, 1))  # (N, 16, 15, 15)
        x = F.relu(self.conv2d_1(x))  # (N, 32, 7, 7)
        x = torch.flatten(x, 1)  # (N, 1568)
        x = self.code_(x)  # (N, 32)
        x = F.relu(self.dense(x))  # (N, 1568)
        x = x.reshape(-1, 32, 7, 7)  # (N, 32, 7, 7)
        x = F.relu(self.conv2d_transpose(x)[..., :-1, :-1])  # (N, 32, 14, 14)
        x = F.relu(self.conv2d_transpose_1(x)[..., :-1, :-1])  # (N, 16, 28, 28)
        x = torch.sigmoid(self.reconstruction(x))  # (N, 1, 28, 28)
        return x


def build_model() -> Autoencoder:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return Autoencoder()


def load_weights(model: Autoencoder, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "conv2d.weight": weights.pop("conv2d.kernel").permute(3, 2, 0, 1),
            "conv2d.bias": weights.pop("conv2d.bias"),
            "conv2d_1.weight": weights.pop("conv2d_1.kernel").permute(3, 2, 0, 1),
            "conv2d_1.bias": weights.pop("conv2d_1.bias"),
            "code_.weight": weights.pop("code.kernel")
            .reshape(7, 7, 32, 32)
            .permute(3, 2, 0, 1)
            .reshape(32, 1568),
            "code_.bias": weights.pop("code.bias"),
            "dense.weight": weights.pop("dense.kernel")
            .reshape(32, 7, 7, 32)
            .permute(3, 1, 2, 0)
            .reshape(1568, 32),
            "dense.bias": weights.pop("dense.bias")
            .reshape(7, 7, 32)
            .permute(2, 0, 1)
            .reshape(1568),
            "conv2d_transpose.weight": weights.pop("conv2d_transpose.kernel").permute(
                3, 2, 0, 1
            ),
            "conv2d_transpose.bias": weights.pop("conv2d_transpose.bias"),
            "conv2d_transpose_1.weight": weights.pop(
                "conv2d_transpose_1.kernel"
            ).permute(3, 2, 0, 1),
            "conv2d_transpose_1.bias": weights.pop("conv2d_transpose_1.bias"),
            "reconstruction.weight": weights.pop("reconstruction.kernel").permute(
                3, 2, 0, 1
            ),
            "reconstruction.bias": weights.pop("reconstruction.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
