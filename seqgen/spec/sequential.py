"""The Sequential model, as Keras has it."""

from collections.abc import Iterable, Sequence
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.arguments import DTYPE, short
from seqgen.spec.stack import Stack


def dtype_argument(value: Any, label: str) -> str | None:
    """The dtype of a model as it was given.

    Raises:
        SpecError: There is no such dtype.
    """
    try:
        return None if value is None else DTYPE.parse(value, 0)
    except (TypeError, ValueError):
        message = f"expected {DTYPE.expected}, received {short(value)}"
        raise SpecError(Fault(message, "dtype", label)) from None


class Sequential(Stack):
    """A stack of layers, each with one input and one output.

    Args:
        layers: Layers and models, an `Input` first if the shape is known.
        trainable: False if training changes no variable of the model.
        name: Name of the model.
        dtype: Of weights and computations; float32 by itself.

    Raises:
        SpecError: A layer does not fit its input, or two have the same name.
    """

    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str | None = None,
    ) -> None:
        super().__init__(layers or (), trainable, name, dtype_argument(dtype, "Sequential"))

    def __len__(self) -> int:
        return len(self._layers)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, built={self.built}, layers={len(self)}>"

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Shape of the output for a shape of the input, both with the batch."""
        batch_size, *sizes = input_shape
        entry = {"shape": sizes, "batch_size": batch_size}
        return Sequential.from_dict({**self.to_dict(), "input": entry}).output_shape
