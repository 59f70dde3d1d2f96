"""PyTorch model DigitsCnn."""

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


class DigitsCnn(nn.Module):
    """Takes (N, 1, 8, 8), returns (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.batch_normalization = BatchNorm2d(32, eps=0.001, momentum=1 - 0.99)
        self.conv2d_1 = nn.Conv2d(32, 64, 3)
        self.digit = nn.Linear(64 * 2 * 2, 10)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """What stands before the last activation, for a loss that is computed from it."""
        x = self.conv2d(x)  # (N, 32, 8, 8)
        x = self.batch_normalization(x)  # (N, 32, 8, 8)
        x = F.relu(x)  # (N, 32, 8, 8)
        x = F.max_pool2d(x, 2)  # (N, 32, 4, 4)
        x = F.relu(self.conv2d_1(x))  # (N, 64, 2, 2)
        x = torch.flatten(x, 1)  # (N, 256)
        x = self.digit(x)  # (N, 10)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.softmax(self.logits(x), dim=-1)


def build_model() -> DigitsCnn:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return DigitsCnn()


def load_weights(model: DigitsCnn, path: str = "weights.safetensors") -> None:
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
            "conv2d_1.bias": weights.pop("conv2d_1.bias"),
            "digit.weight": weights.pop("digit.kernel")
            .reshape(2, 2, 64, 10)
            .permute(3, 2, 0, 1)
            .reshape(10, 256),
            "digit.bias": weights.pop("digit.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
