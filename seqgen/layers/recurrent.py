"""Recurrent layers, and the cells that compute one step of them."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from seqgen.errors import Fault, SpecError
from seqgen.ir.types import TensorType, axis_names
from seqgen.layers.arguments import BOOLEAN, INTEGER, POSITIVE, PROBABILITY, Kind, arg, optional
from seqgen.layers.axes import activated, computed
from seqgen.layers.base import LAYER, LAYER_SCHEMA, Layer, Weight, numbered, placed_by_class
from seqgen.layers.objects import (
    ACTIVATION,
    CONSTRAINT,
    FORGET_BIAS,
    INITIALIZER,
    REGULARIZER,
    Named,
)

SEED = optional(INTEGER)
ONE_OUTPUT = "a Sequential passes on one tensor, and the states would be more; leave it false"
NO_CUDNN = "it changes no numbers, and fails without cuDNN; leave it 'auto'"
ZEROS_TURNED = (
    "Keras gives zeros at other steps than the masked ones where unroll, go_backwards and "
    "zero_output_for_mask come together, as they do in a Bidirectional; leave unroll false"
)
# Keras makes four masks for four products, and multiplies the whole sequence by them as if one.
MASKS_OF_GATES = (
    "Keras fails in training with dropout, implementation=1 and no recurrent_dropout; take "
    "implementation=2"
)


def _cudnn(value: Any, rank: int) -> bool | str:
    if value is True:
        raise ValueError(f"; {NO_CUDNN}")
    if value is not False and value != "auto":
        raise ValueError
    return value


def _implementation(value: Any, rank: int) -> int:
    if isinstance(value, bool) or value not in (1, 2):
        raise ValueError
    return int(value)


CUDNN = Kind("'auto' or false", _cudnn, lambda rank: {"enum": ["auto", False]})
IMPLEMENTATION = Kind("1 or 2", _implementation, lambda rank: {"enum": [1, 2]})


class _Cell(Layer):
    """One step of a recurrent layer.

    Attributes:
        state_count: Number of states, each of them as wide as the output.
        units: Width of the output.
    """

    layout = "spec"
    state_count: ClassVar[int] = 1

    def output_type(self, x: TensorType) -> TensorType:
        raise self.fault("it computes one step only; wrap it: RNN, with it as the argument cell")

    def check_step(self, x: TensorType) -> None:
        """Raise a `SpecError` if the cell cannot compute a step with an input of this type."""
        if x.rank != 2 or not isinstance(x.shape[-1], int):
            message = "expected steps of a known number of features, received steps"
            raise self.fault(f"{message} {x.keras_shape}")
        for argument in ("activation", "recurrent_activation"):
            activation = getattr(self, argument, None)
            if activation is not None and activation.name == "glu":
                raise self.fault("glu would halve the state; take another activation", argument)
            activated(self, x.with_sizes((self.units,)), activation)


def without_time(x: TensorType) -> TensorType:
    """The type of one step of a sequence."""
    shape = (x.shape[0], *x.shape[2:])
    return TensorType(shape, axis_names(len(shape)), x.dtype)


def forgetting(cell: Layer, bias: Weight) -> Weight:
    """The bias of the gates i, f, c, o, which for f begins with ones if the cell says so."""
    if not cell.unit_forget_bias:
        return bias
    arguments = (("bias_initializer", bias.initializer),)
    return replace(bias, initializer=Named(FORGET_BIAS, arguments))


class _GatedCell(_Cell):
    gates: ClassVar[int] = 1

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        self.check_step(x)
        width = self.gates * self.units
        weights = (
            Weight("kernel", (x.shape[-1], width), self.kernel_initializer),
            Weight("recurrent_kernel", (self.units, width), self.recurrent_initializer),
        )
        return (*weights, self.bias_type(width)) if self.use_bias else weights

    def bias_type(self, width: int) -> Weight:
        """The bias of all gates."""
        return Weight("bias", (width,), self.bias_initializer)


class _Units(Layer):
    units: int = arg(POSITIVE)


class _Activated(Layer):
    activation: Named | None = arg(ACTIVATION, "tanh")


class _Gated(_Activated):
    recurrent_activation: Named | None = arg(ACTIVATION, "sigmoid")


class _Initialized(Layer):
    use_bias: bool = arg(BOOLEAN, True)
    kernel_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    recurrent_initializer: Named = arg(INITIALIZER, "orthogonal")
    bias_initializer: Named = arg(INITIALIZER, "zeros")


class _Forgetting(_Initialized):
    unit_forget_bias: bool = arg(BOOLEAN, True)


class _Regularized(Layer):
    kernel_regularizer: Named | None = arg(REGULARIZER, None)
    recurrent_regularizer: Named | None = arg(REGULARIZER, None)
    bias_regularizer: Named | None = arg(REGULARIZER, None)


class _WithActivity(_Regularized):
    activity_regularizer: Named | None = arg(REGULARIZER, None)


class _Constrained(Layer):
    kernel_constraint: Named | None = arg(CONSTRAINT, None)
    recurrent_constraint: Named | None = arg(CONSTRAINT, None)
    bias_constraint: Named | None = arg(CONSTRAINT, None)
    dropout: float = arg(PROBABILITY, 0.0)
    recurrent_dropout: float = arg(PROBABILITY, 0.0)


class _Seeded(Layer):
    seed: int | None = arg(SEED, None)


class _Implemented(Layer):
    implementation: int = arg(IMPLEMENTATION, 2, kw_only=True)


class _ResetAfter(Layer):
    reset_after: bool = arg(BOOLEAN, True)


class SimpleRNNCell(
    _Seeded, _Constrained, _Regularized, _Initialized, _Activated, _Units, _GatedCell
):
    """`activation(x @ kernel + h @ recurrent_kernel + bias)`, for one step."""


class LSTMCell(
    _Implemented, _Seeded, _Constrained, _Regularized, _Forgetting, _Gated, _Units, _GatedCell
):
    """One step of an LSTM, its gates in the order i, f, c, o."""

    gates = 4
    state_count = 2

    def bias_type(self, width: int) -> Weight:
        return forgetting(self, super().bias_type(width))


class GRUCell(
    _Implemented,
    _Seeded,
    _ResetAfter,
    _Constrained,
    _Regularized,
    _Initialized,
    _Gated,
    _Units,
    _GatedCell,
):
    """One step of a GRU, its gates in the order z, r, h."""

    gates = 3

    def bias_type(self, width: int) -> Weight:
        # After the product the reset gate needs the recurrent bias apart from the other.
        weight = super().bias_type(width)
        return replace(weight, shape=(2, width)) if self.reset_after else weight


def _stack(value: Any, rank: int) -> tuple[Layer, ...]:
    if isinstance(value, (str, Mapping)) or not value:
        raise TypeError
    cells = [CELL.parse(cell, rank) for cell in value]
    if len({id(cell) for cell in cells}) < len(cells):
        raise ValueError("; cells are not shared")
    return numbered(cells)


def _cell(value: Any, rank: int) -> Layer:
    if isinstance(value, (list, tuple)):
        try:
            return StackedRNNCells(value)
        except SpecError as error:
            raise ValueError(f"; {'; '.join(fault.message for fault in error.faults)}") from None
    cell = LAYER.parse(value, rank)
    if not isinstance(cell, _Cell):
        raise ValueError(f"; {type(cell).__name__} is no cell")
    return cell


# Its state comes out of a step as a list, where TensorFlow's loop began with a tuple.
STACK_OF_ONE = "Keras fails with a mask over a stack of one cell; give the cell itself, or unroll"
SEVERAL = {"type": "array", "items": LAYER_SCHEMA, "minItems": 1}
CELL = Kind(
    "a cell: its name, or {name: {argument: value}}; or several that are stacked",
    _cell,
    lambda rank: {"anyOf": [LAYER_SCHEMA, SEVERAL]},
    of_layers=True,
)
CELLS = Kind("at least one cell", _stack, lambda rank: SEVERAL, of_layers=True)


class StackedRNNCells(_Cell):
    """Cells that act as one: each takes the output of the one before."""

    cells: tuple[Layer, ...] = arg(CELLS)

    @property
    def units(self) -> int:
        """Width of the output, which is that of the last cell."""
        return self.cells[-1].units

    @property
    def state_count(self) -> int:
        """Number of states of all cells."""
        return sum(cell.state_count for cell in self.cells)

    def steps(self, x: TensorType) -> tuple[TensorType, ...]:
        """What each of the cells takes, for an input of the first."""
        between = (computed(self, x.with_sizes((cell.units,))) for cell in self.cells[:-1])
        return (x, *between)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        pairs = zip(self.cells, self.steps(x), strict=True)
        found = [cell.weights_within(step, "cells") for cell, step in pairs]
        return placed_by_class(self.cells, found)


class _Recurrent(Layer):
    """A layer that goes along the time axis, one step of its `cell` after the other."""

    supports_masking = True
    uses_mask = True
    layout = "spec"

    @property
    def passes_mask(self) -> bool:
        return bool(self.return_sequences)

    def check(self) -> tuple[Fault, ...]:
        faults = super().check()
        return (*faults, Fault(ONE_OUTPUT, "return_state")) if self.return_state else faults

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        if mask.shape != x.shape[:2]:
            message = f"expected a mask of batch and time for {x.keras_shape}, as it has steps to "
            raise self.fault(f"{message}leave out; received a mask {mask.keras_shape}")
        zeros = self.return_sequences and self.zero_output_for_mask
        if zeros and self.unroll and self.go_backwards:
            raise self.fault(ZEROS_TURNED, "unroll")

    def step_type(self, x: TensorType) -> TensorType:
        """The type of one step of the input.

        Raises:
            SpecError: The layer cannot go along such an input.
        """
        if x.rank != 3:
            message = "expected an input with 3 axes (batch, time and features), received"
            raise self.fault(f"{message} {x.rank}: {x.keras_shape}")
        return without_time(x)

    def check_time(self, x: TensorType) -> None:
        """Raise a `SpecError` if the layer needs sizes that are open."""
        if self.stateful and not isinstance(x.shape[0], int):
            message = "a state that stays needs a known batch: give batch_size to the Input"
            raise self.fault(message, "stateful")
        if self.unroll and not isinstance(x.shape[1], int):
            message = f"expected a known number of steps to unroll, received {x.keras_shape}"
            raise self.fault(message, "unroll")

    def output_type(self, x: TensorType) -> TensorType:
        self.weight_types(x)
        self.check_time(x)
        sizes = (x.shape[1], self.cell.units) if self.return_sequences else (self.cell.units,)
        return computed(self, x.with_sizes(sizes))

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        return self.cell.weights_within(self.step_type(x), "cell")


class _OfCell(_Recurrent):
    """A recurrent layer that makes its cell of its own arguments.

    Attributes:
        cell_kind: Class of the cell.
        cell_name: The name that Keras gives it, whatever the layer is called.
    """

    cell_kind: ClassVar[type[Layer]]
    cell_name: ClassVar[str]

    @property
    def cell(self) -> Layer:
        """The cell, with the layer's arguments."""
        shared = self.cell_kind.kinds.keys() & self.kinds.keys()
        own = shared - {"name", "input_shape", "activity_regularizer"}
        return self.cell_kind(**{key: getattr(self, key) for key in own}, name=self.cell_name)


class _Steps(Layer):
    return_sequences: bool = arg(BOOLEAN, False)
    return_state: bool = arg(BOOLEAN, False)
    go_backwards: bool = arg(BOOLEAN, False)
    stateful: bool = arg(BOOLEAN, False)


class _UnrolledSteps(_Steps):
    unroll: bool = arg(BOOLEAN, False)


class _OutputForMask(Layer):
    zero_output_for_mask: bool = arg(BOOLEAN, False, kw_only=True)


class _Cudnn(Layer):
    use_cudnn: bool | str = arg(CUDNN, "auto")


class _Fused(_Implemented, _OutputForMask):
    """A layer for which Keras has a faster way, which it tries first."""

    def check(self) -> tuple[Fault, ...]:
        fused = self.use_cudnn and not self.recurrent_dropout
        if fused and self.dropout and self.implementation == 1:
            return (*super().check(), Fault(MASKS_OF_GATES, "implementation"))
        return super().check()


class _CellArgument(Layer):
    cell: Layer = arg(CELL)


class RNN(_UnrolledSteps, _CellArgument, _Recurrent):
    """A cell, or several that are stacked, along the time axis."""

    zero_output_for_mask: bool = arg(BOOLEAN, False)

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        super().check_mask(x, mask)
        stack = self.cell.cells if isinstance(self.cell, StackedRNNCells) else ()
        if len(stack) == 1 and not self.unroll:
            raise self.fault(STACK_OF_ONE, "cell")


class SimpleRNN(
    _OutputForMask,
    _Seeded,
    _UnrolledSteps,
    _Constrained,
    _WithActivity,
    _Initialized,
    _Activated,
    _Units,
    _OfCell,
):
    """Each output is computed from the input and the output before."""

    cell_kind = SimpleRNNCell
    cell_name = "simple_rnn_cell"


class LSTM(
    _Fused,
    _Cudnn,
    _UnrolledSteps,
    _Seeded,
    _Constrained,
    _WithActivity,
    _Forgetting,
    _Gated,
    _Units,
    _OfCell,
):
    """Long short-term memory: gates say what of a state is kept, added and shown."""

    cell_kind = LSTMCell
    cell_name = "lstm_cell"


class GRU(
    _Fused,
    _Cudnn,
    _ResetAfter,
    _UnrolledSteps,
    _Seeded,
    _Constrained,
    _WithActivity,
    _Initialized,
    _Gated,
    _Units,
    _OfCell,
):
    """Gated recurrent units: gates say what of the output before is kept."""

    cell_kind = GRUCell
    cell_name = "gru_cell"
