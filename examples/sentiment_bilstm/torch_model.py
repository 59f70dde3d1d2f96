"""PyTorch model SentimentBilstm."""

import torch
from safetensors.torch import load_file
from torch import nn


class Bidirectional(nn.Module):
    """Runs one module over a sequence and another one over its reverse, and joins what they give."""

    def __init__(
        self,
        forward_layer: nn.Module,
        backward_layer: nn.Module,
        merge_mode: str = "concat",
    ) -> None:
        super().__init__()
        self.forward_layer = forward_layer
        self.backward_layer = backward_layer
        self.merge_mode = merge_mode

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        forward = self.forward_layer(x, mask)
        backward = self.backward_layer(
            x.flip(1), None if mask is None else mask.flip(1)
        )
        if self.backward_layer.return_sequences:
            backward = backward.flip(1)
        if self.merge_mode == "concat":
            return torch.cat((forward, backward), -1)
        if self.merge_mode == "mul":
            return forward * backward
        both = forward + backward
        return both / 2 if self.merge_mode == "ave" else both


class LSTM(nn.LSTM):
    """Gives every output of a sequence, or the last one; has one bias, as in Keras.

    A step that the mask leaves out changes nothing, and the output before it is repeated, or is zero.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        return_sequences: bool = False,
        zero_output_for_mask: bool = False,
        **options: bool | str,
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, **options)
        self.return_sequences = return_sequences
        self.zero_output_for_mask = zero_output_for_mask
        for name in [name for name, _ in self.named_parameters() if "bias_hh" in name]:
            # A second bias adds nothing to the first: zeros that are not trained, nor saved.
            zeros = torch.zeros_like(getattr(self, name).data)
            delattr(self, name)
            self.register_buffer(name, None, persistent=False)
            setattr(self, name, zeros)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if mask is not None:
            x = kept_first(x, mask)
        y, (h, _) = super().forward(x)
        if mask is not None:
            y = put_back(y, mask, self.zero_output_for_mask)
            return y if self.return_sequences else y[:, -1]
        return y if self.return_sequences else h[-1]


def kept_first(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Move the steps of (N, time, features) that a mask keeps to the front, in order."""
    steps = torch.arange(x.shape[1], device=x.device)
    # The others come after the last step.
    order = torch.where(mask, steps, steps + x.shape[1]).argsort(1)
    return x[torch.arange(x.shape[0], device=x.device).unsqueeze(1), order]


def put_back(x: torch.Tensor, mask: torch.Tensor, zeros: bool = False) -> torch.Tensor:
    """Put steps that stand at the front back where the mask has them.

    The others repeat the one before, zeros if there is none; with `zeros` they are all zeros.
    """
    count = mask.cumsum(1)
    samples = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    kept = mask if zeros else count > 0
    return torch.where(kept.unsqueeze(-1), x[samples, (count - 1).clamp(min=0)], 0.0)


class SentimentBilstm(nn.Module):
    """Takes (N, time), returns (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20000, 128)
        self.bidirectional = Bidirectional(
            LSTM(128, 64, return_sequences=True, zero_output_for_mask=True),
            LSTM(128, 64, return_sequences=True, zero_output_for_mask=True),
        )
        self.bidirectional_1 = Bidirectional(LSTM(128, 64), LSTM(128, 64))
        self.dropout = nn.Dropout(0.5)
        self.positive = nn.Linear(128, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = x != 0  # (N, time)
        x = self.embedding(x)  # (N, time, 128)
        x = self.bidirectional(x, mask)  # (N, time, 128)
        x = self.bidirectional_1(x, mask)  # (N, 128)
        x = self.dropout(x)  # (N, 128)
        x = torch.sigmoid(self.positive(x))  # (N, 1)
        return x


def build_model() -> SentimentBilstm:
    """Return the model with PyTorch's own initial weights; `load_weights` sets the spec's."""
    return SentimentBilstm()


def load_weights(model: SentimentBilstm, path: str = "weights.safetensors") -> None:
    """Load weights in Keras layout from a .safetensors file."""
    weights = load_file(path)
    model.load_state_dict(
        {
            "embedding.weight": weights.pop("embedding.embeddings"),
            "bidirectional.forward_layer.weight_ih_l0": weights.pop(
                "bidirectional.forward_lstm.lstm_cell.kernel"
            ).permute(1, 0),
            "bidirectional.forward_layer.weight_hh_l0": weights.pop(
                "bidirectional.forward_lstm.lstm_cell.recurrent_kernel"
            ).permute(1, 0),
            "bidirectional.forward_layer.bias_ih_l0": weights.pop(
                "bidirectional.forward_lstm.lstm_cell.bias"
            ),
            "bidirectional.backward_layer.weight_ih_l0": weights.pop(
                "bidirectional.backward_lstm.lstm_cell.kernel"
            ).permute(1, 0),
            "bidirectional.backward_layer.weight_hh_l0": weights.pop(
                "bidirectional.backward_lstm.lstm_cell.recurrent_kernel"
            ).permute(1, 0),
            "bidirectional.backward_layer.bias_ih_l0": weights.pop(
                "bidirectional.backward_lstm.lstm_cell.bias"
            ),
            "bidirectional_1.forward_layer.weight_ih_l0": weights.pop(
                "bidirectional_1.forward_lstm_1.lstm_cell.kernel"
            ).permute(1, 0),
            "bidirectional_1.forward_layer.weight_hh_l0": weights.pop(
                "bidirectional_1.forward_lstm_1.lstm_cell.recurrent_kernel"
            ).permute(1, 0),
            "bidirectional_1.forward_layer.bias_ih_l0": weights.pop(
                "bidirectional_1.forward_lstm_1.lstm_cell.bias"
            ),
            "bidirectional_1.backward_layer.weight_ih_l0": weights.pop(
                "bidirectional_1.backward_lstm_1.lstm_cell.kernel"
            ).permute(1, 0),
            "bidirectional_1.backward_layer.weight_hh_l0": weights.pop(
                "bidirectional_1.backward_lstm_1.lstm_cell.recurrent_kernel"
            ).permute(1, 0),
            "bidirectional_1.backward_layer.bias_ih_l0": weights.pop(
                "bidirectional_1.backward_lstm_1.lstm_cell.bias"
            ),
            "positive.weight": weights.pop("positive.kernel").permute(1, 0),
            "positive.bias": weights.pop("positive.bias"),
        }
    )
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")
