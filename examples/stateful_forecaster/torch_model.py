"""PyTorch model StatefulForecaster."""

import torch
from safetensors.torch import load_file
from torch import nn


class LSTM(nn.LSTM):
    """Gives every output of a sequence, or the last one; has one bias, as in Keras.

    With a batch size, states are kept from one batch to the next.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        return_sequences: bool = False,
        batch_size: int | None = None,
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
        self.stateful = batch_size is not None
        for name in ["h", "c"]:
            zeros = torch.zeros(1, batch_size or 0, hidden_size)
            self.register_buffer(name, zeros, persistent=False)

    def reset_states(self) -> None:
        """Begin anew with the next batch."""
        self.h.zero_()
        self.c.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Backward needs the states that it began with as they were.
        before = (self.h.clone(), self.c.clone()) if self.stateful else None
        y, (h, c) = super().forward(x, before)
        if self.stateful:
            self.h.copy_(h.detach())
            self.c.copy_(c.detach())
        return y if self.return_sequences else h[-1]


class StatefulForecaster(nn.Module):
    """Takes (4, time, 3), returns (4, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = LSTM(3, 32, return_sequences=True, batch_size=4)
        self.lstm_1 = LSTM(32, 32, batch_size=4)
        self.next_reading = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lstm(x)  # (4, time, 32)
        x = self.lstm_1(x)  # (4, 32)
        x = self.next_reading(x)  # (4, 3)
        return x

    def reset_states(self) -> None:
        """Begin anew with the next batch: forget what the ones before left."""
        self.lstm.reset_states()
        self.lstm_1.reset_states()


def build_model() -> StatefulForecaster:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return StatefulForecaster()


def load_weights(model: StatefulForecaster, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "lstm.weight_ih_l0": weights.pop("lstm.lstm_cell.kernel").permute(1, 0),
            "lstm.weight_hh_l0": weights.pop("lstm.lstm_cell.recurrent_kernel").permute(
                1, 0
            ),
            "lstm.bias_ih_l0": weights.pop("lstm.lstm_cell.bias"),
            "lstm_1.weight_ih_l0": weights.pop("lstm_1.lstm_cell.kernel").permute(1, 0),
            "lstm_1.weight_hh_l0": weights.pop(
                "lstm_1.lstm_cell.recurrent_kernel"
            ).permute(1, 0),
            "lstm_1.bias_ih_l0": weights.pop("lstm_1.lstm_cell.bias"),
            "next_reading.weight": weights.pop("next_reading.kernel").permute(1, 0),
            "next_reading.bias": weights.pop("next_reading.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
