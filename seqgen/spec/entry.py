"""Where data enters a model."""

from collections.abc import Sequence
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.ir.build import input_type
from seqgen.layers.arguments import DTYPES, POSITIVE, choice, open_sizes, optional, short
from seqgen.spec.names import name_fault
from seqgen.spec.operators import Operators
from seqgen.spec.tensors import Tensor

INPUT_NAME = "input_layer"
INPUT_DTYPES = (*DTYPES, "int32", "int64", "bool")
SHAPE = open_sizes(1, "a sequence of positive integers, null for a size left open")
DTYPE = optional(choice(*INPUT_DTYPES))
BATCH_SIZE = optional(POSITIVE)
MOST_AXES = 8


class Input(Operators):
    """The input of a model, in the place of `keras.Input`.

    Args:
        shape: Sizes without the batch; None for a size left open.
        batch_size: The number of samples in every batch; None if it is left open.
        dtype: That of the model if not given.
        sparse: False: only dense tensors are known.
        ragged: False: only dense tensors are known.
        batch_shape: The batch size and the shape in one, instead of them.
        name: Name of the tensor.

    Raises:
        SpecError: An argument is wrong.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | int | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
    ) -> None:
        faults = list(_unsupported(sparse, ragged))
        if batch_shape is not None:
            if shape is not None or batch_size is not None:
                faults.append(Fault("it stands instead of shape and batch_size", "batch_shape"))
            batch_size, *shape = batch_shape or (None,)
        self.shape = _parsed(SHAPE, [shape] if isinstance(shape, int) else shape, "shape", faults)
        self.batch_size = _parsed(BATCH_SIZE, batch_size, "batch_size", faults)
        self.dtype = _parsed(DTYPE, dtype, "dtype", faults)
        self.name = INPUT_NAME if name is None else name
        self._auto = name is None
        self._tensor: Tensor | None = None
        message = name_fault(self.name)
        faults += [Fault(message, "name")] if message else []
        if len(self.shape or ()) > MOST_AXES:
            message = f"expected at most {MOST_AXES} axes, received {len(self.shape)}"
            faults.append(Fault(message, "shape"))
        if faults:
            raise SpecError(fault.at(layer="Input") for fault in faults)

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """The shape with the batch first."""
        return (self.batch_size, *(self.shape or ()))

    @property
    def tensor(self) -> Tensor:
        """The symbolic tensor that layers are called on.

        Raises:
            SpecError: The shape is not known.
        """
        if self.shape is None:
            raise SpecError(f"Input '{self.name}': its shape is not known yet")
        if self._tensor is None:
            kind = input_type(self.shape, self.dtype or "float32", "", self.batch_size)
            self._tensor = Tensor(kind, entry=self)
        return self._tensor

    @property
    def output(self) -> Tensor:
        """The symbolic tensor that layers are called on."""
        return self.tensor

    @property
    def variables(self) -> list[Any]:
        """None."""
        return []

    def __repr__(self) -> str:
        batch = "" if self.batch_size is None else f"batch_size={self.batch_size}, "
        return f"Input(shape={self.shape}, {batch}dtype={self.dtype!r}, name={self.name!r})"


def _unsupported(sparse: Any, ragged: Any) -> list[Fault]:
    given = {"sparse": sparse, "ragged": ragged}
    return [Fault("only dense tensors are supported", name) for name in given if given[name]]


def _parsed(kind: Any, value: Any, argument: str, faults: list[Fault]) -> Any:
    try:
        return kind.parse(value, 0)
    except (TypeError, ValueError) as error:
        hint = str(error) if str(error).startswith(";") else ""
        message = f"expected {kind.expected}, received {short(value)}{hint}"
        faults.append(Fault(message, argument))
        return None
