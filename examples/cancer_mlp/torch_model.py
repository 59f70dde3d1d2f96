"""PyTorch model CancerMlp."""

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


class CancerMlp(nn.Module):
    """Takes (N, 30), returns (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_normalization = BatchNorm1d(30, eps=0.001, momentum=1 - 0.9)
        self.dense = nn.Linear(30, 32)
        self.dropout = nn.Dropout(0.2)
        self.dense_1 = nn.Linear(32, 16)
        self.malignant = nn.Linear(16, 1)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """What stands before the last activation, for a loss that is computed from it."""
        x = self.batch_normalization(x)  # (N, 30)
        x = F.relu(self.dense(x))  # (N, 32)
        x = self.dropout(x)  # (N, 32)
        x = F.relu(self.dense_1(x))  # (N, 16)
        x = self.malignant(x)  # (N, 1)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.logits(x))


def build_model() -> CancerMlp:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return CancerMlp()


def load_weights(model: CancerMlp, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "batch_normalization.weight": weights.pop("batch_normalization.gamma"),
            "batch_normalization.bias": weights.pop("batch_normalization.beta"),
            "batch_normalization.running_mean": weights.pop(
                "batch_normalization.moving_mean"
            ),
            "batch_normalization.running_var": weights.pop(
                "batch_normalization.moving_variance"
            ),
            "dense.weight": weights.pop("dense.kernel").permute(1, 0),
            "dense.bias": weights.pop("dense.bias"),
            "dense_1.weight": weights.pop("dense_1.kernel").permute(1, 0),
            "dense_1.bias": weights.pop("dense_1.bias"),
            "malignant.weight": weights.pop("malignant.kernel").permute(1, 0),
            "malignant.bias": weights.pop("malignant.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
