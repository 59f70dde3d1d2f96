"""Where data enters a model."""

from collections.abc import Sequence
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.arguments import DTYPES, choice, open_sizes, optional, short
from seqgen.spec.names import name_fault

INPUT_NAME = "input_layer"
INPUT_DTYPES = (*DTYPES, "int32", "int64")
SHAPE = open_sizes(1, "a sequence of positive integers, null for a size left open")
DTYPE = optional(choice(*INPUT_DTYPES))
BATCH = "the batch is always open here; leave it out, and give batches of any size"
MOST_AXES = 8


class Input:
    """The input of a model, in the place of `keras.Input`.

    Args:
        shape: Sizes without the batch; None for a size left open.
        batch_size: None: the batch is always open.
        dtype: That of the model if not given.
        sparse: False: only dense tensors are known.
        ragged: False: only dense tensors are known.
        batch_shape: The shape with the batch, which is None, instead of `shape`.
        name: Name of the tensor.

    Raises:
        SpecError: An argument is wrong.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | int | None = None,
        batch_size: None = None,
        dtype: str | None = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
    ) -> None:
        faults = list(_unsupported(batch_size, sparse, ragged))
        if batch_shape is not None and shape is None:
            batch, *shape = batch_shape or (None,)
            faults += [Fault(BATCH, "batch_shape")] if batch is not None else []
        self.shape = _parsed(SHAPE, [shape] if isinstance(shape, int) else shape, "shape", faults)
        self.dtype = _parsed(DTYPE, dtype, "dtype", faults)
        self.name = INPUT_NAME if name is None else name
        message = name_fault(self.name)
        faults += [Fault(message, "name")] if message else []
        if len(self.shape or ()) > MOST_AXES:
            message = f"expected at most {MOST_AXES} axes, received {len(self.shape)}"
            faults.append(Fault(message, "shape"))
        if faults:
            raise SpecError(fault.at(layer="Input") for fault in faults)

    def __repr__(self) -> str:
        return f"Input(shape={self.shape}, dtype={self.dtype!r}, name={self.name!r})"


def _unsupported(batch_size: Any, sparse: Any, ragged: Any) -> list[Fault]:
    faults = [Fault(BATCH, "batch_size")] if batch_size is not None else []
    for name, value in (("sparse", sparse), ("ragged", ragged)):
        if value:
            faults.append(Fault("only dense tensors are supported", name))
    return faults


def _parsed(kind: Any, value: Any, argument: str, faults: list[Fault]) -> Any:
    try:
        return kind.parse(value, 0)
    except (TypeError, ValueError) as error:
        hint = str(error) if str(error).startswith(";") else ""
        message = f"expected {kind.expected}, received {short(value)}{hint}"
        faults.append(Fault(message, argument))
        return None
