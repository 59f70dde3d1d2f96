"""PyTorch model VideoClassifier."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class LSTM(nn.LSTM):
    """Gives every output of a sequence, or the last one; has one bias, as in Keras."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        return_sequences: bool = False,
        **options: bool | str,
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, **options)
        self.return_sequences = return_sequences
        for name in [name for name, _ in self.named_parameters() if "bias_hh" in name]:
            # A second bias adds nothing to the first: zeros that are not trained, nor saved.
            zeros = torch.zeros_like(getattr(self, name).data)
            delattr(self, name)
            self.register_buffer(name, None, persistent=False)
            setattr(self, name, zeros)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, (h, _) = super().forward(x)
        return y if self.return_sequences else h[-1]


class VideoClassifierTimeDistributed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(3, 16, 3)
        self.conv2d_1 = nn.Conv2d(16, 32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = x.shape[:2]
        x = x.flatten(0, 1)  # (N, 3, 32, 32)
        x = F.relu(self.conv2d(x))  # (N, 16, 30, 30)
        x = F.max_pool2d(x, 2)  # (N, 16, 15, 15)
        x = F.relu(self.conv2d_1(x))  # (N, 32, 13, 13)
        x = x.mean((2, 3))  # (N, 32)
        x = x.unflatten(0, steps)  # (N, time, 32)
        return x


class VideoClassifier(nn.Module):
    """Takes (N, time, 3, 32, 32), returns (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.time_distributed = VideoClassifierTimeDistributed()
        self.lstm = LSTM(32, 64)
        self.dropout = nn.Dropout(0.3)
        self.action = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.time_distributed(x)  # (N, time, 32)
        x = self.lstm(x)  # (N, 64)
        x = self.dropout(x)  # (N, 64)
        x = F.softmax(self.action(x), dim=-1)  # (N, 5)
        return x


def build_model() -> VideoClassifier:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return VideoClassifier()


def load_weights(model: VideoClassifier, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "time_distributed.conv2d.weight": weights.pop(
                "time_distributed.frame_encoder.conv2d.kernel"
            ).permute(3, 2, 0, 1),
            "time_distributed.conv2d.bias": weights.pop(
                "time_distributed.frame_encoder.conv2d.bias"
            ),
            "time_distributed.conv2d_1.weight": weights.pop(
                "time_distributed.frame_encoder.conv2d_1.kernel"
            ).permute(3, 2, 0, 1),
            "time_distributed.conv2d_1.bias": weights.pop(
                "time_distributed.frame_encoder.conv2d_1.bias"
            ),
            "lstm.weight_ih_l0": weights.pop("lstm.lstm_cell.kernel").permute(1, 0),
            "lstm.weight_hh_l0": weights.pop("lstm.lstm_cell.recurrent_kernel").permute(
                1, 0
            ),
            "lstm.bias_ih_l0": weights.pop("lstm.lstm_cell.bias"),
            "action.weight": weights.pop("action.kernel").permute(1, 0),
            "action.bias": weights.pop("action.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
