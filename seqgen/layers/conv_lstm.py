"""Convolutional LSTMs: recurrent layers whose steps are lines, images or volumes."""

from dataclasses import replace

from seqgen.ir.types import TensorType, axis_names
from seqgen.layers.arguments import BOOLEAN, arg
from seqgen.layers.axes import activated, computed
from seqgen.layers.base import Layer, Weight
from seqgen.layers.convolution import _Dilated, _Windows
from seqgen.layers.recurrent import (
    _Cell,
    _Constrained,
    _Forgetting,
    _Gated,
    _OfCell,
    _OutputForMask,
    _Regularized,
    _Seeded,
    _Steps,
    _WithActivity,
    forgetting,
)
from seqgen.layers.spatial import _Windowed


class _ConvLSTMCell(
    _Seeded, _Constrained, _Regularized, _Forgetting, _Gated, _Windows, _Windowed, _Dilated, _Cell
):
    """One step: a convolution of the input and one of the output before, for each gate."""

    state_count = 2

    @property
    def units(self) -> int:
        """Number of channels of the output."""
        return self.filters

    def state_type(self, x: TensorType) -> TensorType:
        """The type of the output of a step, and of each state."""
        sizes = self.spatial_sizes(x)
        self.channels(x)
        if not all(isinstance(size, int) for size in sizes):
            raise self.fault(f"expected known spatial sizes, received steps {x.keras_shape}")
        return self.resized(x, self.windowed_sizes(x), self.filters)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        state, width = self.state_type(x), 4 * self.filters
        for argument in ("activation", "recurrent_activation"):
            if activated(self, state, getattr(self, argument)) != state:
                raise self.fault("glu would halve the state; take another activation", argument)
        inputs = (*self.kernel_size, self.channels(x), width)
        recurrent = (*self.kernel_size, self.filters, width)
        weights = (
            Weight("kernel", inputs, self.kernel_initializer),
            Weight("recurrent_kernel", recurrent, self.recurrent_initializer),
        )
        bias = Weight("bias", (width,), self.bias_initializer)
        return (*weights, forgetting(self, bias)) if self.use_bias else weights


class ConvLSTM1DCell(_ConvLSTMCell, registered=False):
    """One step of a ConvLSTM1D."""

    rank = 1


class ConvLSTM2DCell(_ConvLSTMCell, registered=False):
    """One step of a ConvLSTM2D."""

    rank = 2


class ConvLSTM3DCell(_ConvLSTMCell, registered=False):
    """One step of a ConvLSTM3D."""

    rank = 3


class _Unrolled(Layer):
    unroll: bool = arg(BOOLEAN, False, kw_only=True)


class _ConvLSTM(
    _Unrolled,
    _OutputForMask,
    _Steps,
    _Seeded,
    _Constrained,
    _WithActivity,
    _Forgetting,
    _Gated,
    _Windows,
    _OfCell,
    _Dilated,
):
    layout = "channels_first"
    leading = 2
    timed = True
    cell_name = "conv_lstm_cell"

    def channel_axis(self, rank: int) -> int:
        return 2 if self.data_format == "channels_first" else rank - 1

    def step_type(self, x: TensorType) -> TensorType:
        if x.rank != self.rank + 3:
            message = f"expected an input with {self.rank + 3} axes (batch, time, {self.rank}"
            message += " spatial and channels), received"
            raise self.fault(f"{message} {x.rank}: {x.keras_shape}")
        shape = (x.shape[0], *x.shape[2:])
        return TensorType(shape, axis_names(len(shape), self.data_format), x.dtype)

    def output_type(self, x: TensorType) -> TensorType:
        self.weight_types(x)
        self.check_time(x)
        state = computed(self, self.cell.state_type(self.step_type(x)))
        if not self.return_sequences:
            return state
        return replace(state, shape=(x.shape[0], x.shape[1], *state.sizes), axes=x.axes)


class ConvLSTM1D(_ConvLSTM):
    """An LSTM along time whose products are convolutions over a line."""

    rank = 1
    cell_kind = ConvLSTM1DCell


class ConvLSTM2D(_ConvLSTM):
    """An LSTM along time whose products are convolutions over height and width."""

    rank = 2
    cell_kind = ConvLSTM2DCell


class ConvLSTM3D(_ConvLSTM):
    """An LSTM along time whose products are convolutions over depth, height and width."""

    rank = 3
    cell_kind = ConvLSTM3DCell
