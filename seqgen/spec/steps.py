"""One layer after another: types, and the variables that come with them."""

import math
from typing import TYPE_CHECKING, NamedTuple

from seqgen.errors import Fault, SpecError
from seqgen.ir.build import infer
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer, Weight

if TYPE_CHECKING:
    from seqgen.spec.container import Item, Types

# Bytes that a file or an array can count; the largest dtype has 8 for each number.
MOST_NUMBERS = 2**63 // 8


class Pending(NamedTuple):
    """Variables of a layer that it gets as soon as all around it fits."""

    layer: Layer
    path: str
    weights: tuple[Weight, ...]


class Misfit(SpecError):
    """A layer that does not fit its input, with its index in each of the models around it."""

    def __init__(self, error: SpecError, index: int) -> None:
        super().__init__(error.faults)
        self.index: tuple[int, ...] = (index, *getattr(error, "index", ()))


def step(item: "Item", xs: "Types", path: str, pending: list[Pending]) -> "Types":
    """The types of the outputs of a layer or model. What variables it needs is added to `pending`.

    Raises:
        SpecError: The layer does not fit its inputs.
    """
    if not isinstance(item, Layer):
        return item.enter(xs, path, pending)
    y, weights = infer(item, xs, path)
    item.fits(weights)
    _check_sizes(item, y, weights)
    _check_initializers(item, weights)
    pending.append(Pending(item, path, weights))
    return (y,)


def run(
    layers: "list[Item]", x: TensorType, prefix: str, pending: list[Pending], start: int = 0
) -> list[TensorType]:
    """The types of the outputs of a chain from one layer on.

    Raises:
        Misfit: A layer does not fit its input; it tells which.
    """
    types: list[TensorType] = []
    for index in range(start, len(layers)):
        item = layers[index]
        try:
            if isinstance(item, Layer) and item.takes_list:
                raise item.fault("a stack gives one tensor, and it takes a list; make a Model")
            made = step(item, (x,), f"{prefix}{item.name}", pending)
            if len(made) > 1:
                message = f"expected one output in a stack, it has {len(made)}"
                raise SpecError(Fault(message, None, item.label))
        except SpecError as error:
            raise Misfit(error, index) from None
        (x,) = made
        types.append(x)
    return types


def place(pending: list[Pending], dtype: str) -> None:
    """Give layers the variables that were found for them."""
    for layer, path, weights in pending:
        layer.attach(path, weights, layer.dtype or dtype)


def _check_sizes(layer: Layer, y: TensorType, weights: tuple[Weight, ...]) -> None:
    numbers = math.prod(size for size in y.sizes if isinstance(size, int))
    largest = max((weight.size for weight in weights), default=0)
    if max(numbers, largest) >= MOST_NUMBERS:
        shapes = ", ".join(str(weight.shape) for weight in weights)
        raise layer.fault(
            f"its result {y.keras_shape} or its weights {shapes} are too large for any machine"
        )


def _check_initializers(layer: Layer, weights: tuple[Weight, ...]) -> None:
    from seqgen.initializers import require

    for weight in weights:
        try:
            require(weight.initializer, weight.shape)
        except SpecError as error:
            argument = f"{weight.name.rpartition('/')[2]}_initializer"
            raise error.at(layer=layer.label, argument=argument) from None
