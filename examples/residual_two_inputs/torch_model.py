"""PyTorch model ResidualTwoInputs."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalization whose running variance takes the biased variance, as in Keras."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        kept = self.running_var * (1 - self.momentum)
        # Backward needs the variance that it is given as it was left.
        variance = self.running_var.clone()
        y = F.batch_norm(
            x,
            self.running_mean,
            variance,
            self.weight,
            self.bias,
            True,
            self.momentum,
            self.eps,
        )
        # PyTorch adds the unbiased variance, which is n / (n - 1) times as large.
        self.running_var.copy_(torch.lerp(variance, kept, x.shape[1] / x.numel()))
        return y


class ResidualTwoInputs(nn.Module):
    """Takes (N, 3, 32, 32), (N, 8), returns (N, 10), (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.batch_normalization = BatchNorm2d(16, eps=0.001, momentum=1 - 0.99)
        self.conv2d_1 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.batch_normalization_1 = BatchNorm2d(16, eps=0.001, momentum=1 - 0.99)
        self.conv2d_2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.residual = BatchNorm2d(16, eps=0.001, momentum=1 - 0.99)
        self.known = nn.Linear(8, 16)
        self.price = nn.Linear(32, 1)
        self.kind = nn.Linear(32, 10)

    def forward(
        self, image: torch.Tensor, table: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        x = self.conv2d(image)  # (N, 16, 32, 32)
        x = self.batch_normalization(x)  # (N, 16, 32, 32)
        x = F.relu(x)  # (N, 16, 32, 32)
        y = self.conv2d_1(x)  # (N, 16, 32, 32)
        y = self.batch_normalization_1(y)  # (N, 16, 32, 32)
        y = F.relu(y)  # (N, 16, 32, 32)
        y = self.conv2d_2(y)  # (N, 16, 32, 32)
        y = self.residual(y)  # (N, 16, 32, 32)
        x = x + y  # (N, 16, 32, 32)
        x = F.relu(x)  # (N, 16, 32, 32)
        x = x.mean((2, 3))  # (N, 16)
        table = F.relu(self.known(table))  # (N, 16)
        x = torch.cat([x, table], dim=-1)  # (N, 32)
        y = self.price(x)  # (N, 1)
        x = F.softmax(self.kind(x), dim=-1)  # (N, 10)
        return x, y


def build_model() -> ResidualTwoInputs:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return ResidualTwoInputs()


def load_weights(model: ResidualTwoInputs, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "conv2d.weight": weights.pop("conv2d.kernel").permute(3, 2, 0, 1),
            "batch_normalization.weight": weights.pop("batch_normalization.gamma"),
            "batch_normalization.bias": weights.pop("batch_normalization.beta"),
            "batch_normalization.running_mean": weights.pop(
                "batch_normalization.moving_mean"
            ),
            "batch_normalization.running_var": weights.pop(
                "batch_normalization.moving_variance"
            ),
            "conv2d_1.weight": weights.pop("conv2d_1.kernel").permute(3, 2, 0, 1),
            "batch_normalization_1.weight": weights.pop("batch_normalization_1.gamma"),
            "batch_normalization_1.bias": weights.pop("batch_normalization_1.beta"),
            "batch_normalization_1.running_mean": weights.pop(
                "batch_normalization_1.moving_mean"
            ),
            "batch_normalization_1.running_var": weights.pop(
                "batch_normalization_1.moving_variance"
            ),
            "conv2d_2.weight": weights.pop("conv2d_2.kernel").permute(3, 2, 0, 1),
            "residual.weight": weights.pop("residual.gamma"),
            "residual.bias": weights.pop("residual.beta"),
            "residual.running_mean": weights.pop("residual.moving_mean"),
            "residual.running_var": weights.pop("residual.moving_variance"),
            "known.weight": weights.pop("known.kernel").permute(1, 0),
            "known.bias": weights.pop("known.bias"),
            "price.weight": weights.pop("price.kernel").permute(1, 0),
            "price.bias": weights.pop("price.bias"),
            "kind.weight": weights.pop("kind.kernel").permute(1, 0),
            "kind.bias": weights.pop("kind.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
