"""PyTorch model Mlp."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalization whose running variance takes the biased variance, as in Keras."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        if x.numel() == x.shape[1]:
            # PyTorch refuses a sample alone, in which nothing deviates from the mean.
            self.running_mean.lerp_(x.detach().flatten(), self.momentum)
            self.running_var.mul_(1 - self.momentum)
            return F.batch_norm(
                x - x,
                self.running_mean * 0,
                self.running_var,
                self.weight,
                self.bias,
                eps=self.eps,
            )
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


class Mlp(nn.Module):
    """Takes (N, 784), returns (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(784, 512)
        self.batch_normalization = BatchNorm1d(512, eps=0.001, momentum=1 - 0.99)
        self.dropout = nn.Dropout(0.2)
        self.dense_1 = nn.Linear(512, 512)
        self.dropout_1 = nn.Dropout(0.2)
        self.logits = nn.Linear(512, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.dense(x))  # (N, 512)
        x = self.batch_normalization(x)  # (N, 512)
        x = self.dropout(x)  # (N, 512)
        x = F.relu(self.dense_1(x))  # (N, 512)
        x = self.dropout_1(x)  # (N, 512)
        x = self.logits(x)  # (N, 10)
        return x


def build_model() -> Mlp:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return Mlp()


def load_weights(model: Mlp, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "dense.weight": weights.pop("dense.kernel").permute(1, 0),
            "dense.bias": weights.pop("dense.bias"),
            "batch_normalization.weight": weights.pop("batch_normalization.gamma"),
            "batch_normalization.bias": weights.pop("batch_normalization.beta"),
            "batch_normalization.running_mean": weights.pop(
                "batch_normalization.moving_mean"
            ),
            "batch_normalization.running_var": weights.pop(
                "batch_normalization.moving_variance"
            ),
            "dense_1.weight": weights.pop("dense_1.kernel").permute(1, 0),
            "dense_1.bias": weights.pop("dense_1.bias"),
            "logits.weight": weights.pop("logits.kernel").permute(1, 0),
            "logits.bias": weights.pop("logits.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
