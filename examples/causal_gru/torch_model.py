"""PyTorch model CausalGru."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class GRU(nn.GRU):
    """Gives every output of a sequence, or the last one."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        return_sequences: bool = False,
        **options: bool | str,
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, **options)
        self.return_sequences = return_sequences

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, h = super().forward(x)
        return y if self.return_sequences else h[-1]


class CausalGru(nn.Module):
    """Takes (N, 8, time), returns (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(8, 64, 3)
        self.conv1d_1 = nn.Conv1d(64, 64, 3, dilation=2)
        self.conv1d_2 = nn.Conv1d(64, 64, 3, dilation=4)
        self.gru = GRU(64, 64)
        self.forecast = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (2, 0))  # (N, 8, time)
        x = F.relu(self.conv1d(x))  # (N, 64, time)
        x = F.pad(x, (4, 0))  # (N, 64, time)
        x = F.relu(self.conv1d_1(x))  # (N, 64, time)
        x = F.pad(x, (8, 0))  # (N, 64, time)
        x = F.relu(self.conv1d_2(x))  # (N, 64, time)
        x = x.permute(0, 2, 1)  # (N, time, 64)
        x = self.gru(x)  # (N, 64)
        x = self.forecast(x)  # (N, 1)
        return x


def build_model() -> CausalGru:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return CausalGru()


def load_weights(model: CausalGru, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    # The gates of a GRU are z, r, h in Keras, and r, z, n here.
    model.load_state_dict(
        {
            "conv1d.weight": weights.pop("conv1d.kernel").permute(2, 1, 0),
            "conv1d.bias": weights.pop("conv1d.bias"),
            "conv1d_1.weight": weights.pop("conv1d_1.kernel").permute(2, 1, 0),
            "conv1d_1.bias": weights.pop("conv1d_1.bias"),
            "conv1d_2.weight": weights.pop("conv1d_2.kernel").permute(2, 1, 0),
            "conv1d_2.bias": weights.pop("conv1d_2.bias"),
            "gru.weight_ih_l0": weights.pop("gru.gru_cell.kernel")
            .reshape(64, 3, 64)[:, [1, 0, 2]]
            .reshape(64, 192)
            .permute(1, 0),
            "gru.weight_hh_l0": weights.pop("gru.gru_cell.recurrent_kernel")
            .reshape(64, 3, 64)[:, [1, 0, 2]]
            .reshape(64, 192)
            .permute(1, 0),
            "gru.bias_ih_l0": weights["gru.gru_cell.bias"][0]
            .reshape(3, 64)[[1, 0, 2]]
            .reshape(192),
            "gru.bias_hh_l0": weights.pop("gru.gru_cell.bias")[1]
            .reshape(3, 64)[[1, 0, 2]]
            .reshape(192),
            "forecast.weight": weights.pop("forecast.kernel").permute(1, 0),
            "forecast.bias": weights.pop("forecast.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
