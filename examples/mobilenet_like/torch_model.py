"""PyTorch model MobilenetLike."""

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


class MobilenetLikeBlock1(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.depthwise_bn = BatchNorm2d(16, eps=0.001, momentum=1 - 0.99)
        self.pointwise = nn.Conv2d(16, 32, 1, bias=False)
        self.pointwise_bn = BatchNorm2d(32, eps=0.001, momentum=1 - 0.99)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depthwise(x)  # (N, 16, 48, 48)
        x = self.depthwise_bn(x)  # (N, 16, 48, 48)
        x = F.relu6(x)  # (N, 16, 48, 48)
        x = self.pointwise(x)  # (N, 32, 48, 48)
        x = self.pointwise_bn(x)  # (N, 32, 48, 48)
        x = F.relu6(x)  # (N, 32, 48, 48)
        return x


class MobilenetLikeBlock2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(32, 32, 3, stride=2, groups=32, bias=False)
        self.depthwise_bn = BatchNorm2d(32, eps=0.001, momentum=1 - 0.99)
        self.pointwise = nn.Conv2d(32, 64, 1, bias=False)
        self.pointwise_bn = BatchNorm2d(64, eps=0.001, momentum=1 - 0.99)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, 1, 0, 1))  # (N, 32, 49, 49)
        x = self.depthwise(x)  # (N, 32, 24, 24)
        x = self.depthwise_bn(x)  # (N, 32, 24, 24)
        x = F.relu6(x)  # (N, 32, 24, 24)
        x = self.pointwise(x)  # (N, 64, 24, 24)
        x = self.pointwise_bn(x)  # (N, 64, 24, 24)
        x = F.relu6(x)  # (N, 64, 24, 24)
        return x


class MobilenetLike(nn.Module):
    """Takes (N, 3, 96, 96), returns (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, bias=False)
        self.stem_bn = BatchNorm2d(16, eps=0.001, momentum=1 - 0.99)
        self.block_1 = MobilenetLikeBlock1()
        self.block_2 = MobilenetLikeBlock2()
        self.dropout = nn.Dropout(0.2)
        self.probabilities = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * (1 / 127.5) - 1  # (N, 3, 96, 96)
        x = F.pad(x, (0, 1, 0, 1))  # (N, 3, 97, 97)
        x = self.stem(x)  # (N, 16, 48, 48)
        x = self.stem_bn(x)  # (N, 16, 48, 48)
        x = F.relu6(x)  # (N, 16, 48, 48)
        x = self.block_1(x)  # (N, 32, 48, 48)
        x = self.block_2(x)  # (N, 64, 24, 24)
        x = x.mean((2, 3))  # (N, 64)
        x = self.dropout(x)  # (N, 64)
        x = F.softmax(self.probabilities(x), dim=-1)  # (N, 10)
        return x


def build_model() -> MobilenetLike:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return MobilenetLike()


def load_weights(model: MobilenetLike, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "stem.weight": weights.pop("stem.kernel").permute(3, 2, 0, 1),
            "stem_bn.weight": weights.pop("stem_bn.gamma"),
            "stem_bn.bias": weights.pop("stem_bn.beta"),
            "stem_bn.running_mean": weights.pop("stem_bn.moving_mean"),
            "stem_bn.running_var": weights.pop("stem_bn.moving_variance"),
            "block_1.depthwise.weight": weights.pop("block_1.depthwise.kernel").permute(
                2, 3, 0, 1
            ),
            "block_1.depthwise_bn.weight": weights.pop("block_1.depthwise_bn.gamma"),
            "block_1.depthwise_bn.bias": weights.pop("block_1.depthwise_bn.beta"),
            "block_1.depthwise_bn.running_mean": weights.pop(
                "block_1.depthwise_bn.moving_mean"
            ),
            "block_1.depthwise_bn.running_var": weights.pop(
                "block_1.depthwise_bn.moving_variance"
            ),
            "block_1.pointwise.weight": weights.pop("block_1.pointwise.kernel").permute(
                3, 2, 0, 1
            ),
            "block_1.pointwise_bn.weight": weights.pop("block_1.pointwise_bn.gamma"),
            "block_1.pointwise_bn.bias": weights.pop("block_1.pointwise_bn.beta"),
            "block_1.pointwise_bn.running_mean": weights.pop(
                "block_1.pointwise_bn.moving_mean"
            ),
            "block_1.pointwise_bn.running_var": weights.pop(
                "block_1.pointwise_bn.moving_variance"
            ),
            "block_2.depthwise.weight": weights.pop("block_2.depthwise.kernel").permute(
                2, 3, 0, 1
            ),
            "block_2.depthwise_bn.weight": weights.pop("block_2.depthwise_bn.gamma"),
            "block_2.depthwise_bn.bias": weights.pop("block_2.depthwise_bn.beta"),
            "block_2.depthwise_bn.running_mean": weights.pop(
                "block_2.depthwise_bn.moving_mean"
            ),
            "block_2.depthwise_bn.running_var": weights.pop(
                "block_2.depthwise_bn.moving_variance"
            ),
            "block_2.pointwise.weight": weights.pop("block_2.pointwise.kernel").permute(
                3, 2, 0, 1
            ),
            "block_2.pointwise_bn.weight": weights.pop("block_2.pointwise_bn.gamma"),
            "block_2.pointwise_bn.bias": weights.pop("block_2.pointwise_bn.beta"),
            "block_2.pointwise_bn.running_mean": weights.pop(
                "block_2.pointwise_bn.moving_mean"
            ),
            "block_2.pointwise_bn.running_var": weights.pop(
                "block_2.pointwise_bn.moving_variance"
            ),
            "probabilities.weight": weights.pop("probabilities.kernel").permute(1, 0),
            "probabilities.bias": weights.pop("probabilities.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
