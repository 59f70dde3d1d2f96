"""When two arrays are the same, and which layer is the first that is not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqgen.ir.graph import Model
from seqgen.ir.types import Permutation

# Distance between 1 and the next number of each dtype.
SPACING = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
# Keras holds some constants in float32 even where it computes in float64, which shows at 1e-11
# of a result; a wrong epsilon shows at 1e-4.
DOUBLE_TOLERANCE = 2e-10


def reduction_length(model: Model) -> int:
    """The most terms that any layer adds up for one number."""
    lengths = [1]
    for node in model.nodes:
        lengths += [weight.size // (weight.shape or (1,))[-1] for weight in node.weights]
        if node.type.rank > 2 and all(isinstance(size, int) for size in node.type.sizes):
            lengths.append(math.prod(node.type.sizes[:-1]))  # type: ignore[arg-type]
    return max(lengths)


def tolerance(model: Model, dtype: str) -> float:
    """The largest relative error that rounding may cause, by depth and reduction length.

    Rounding errors of a sum grow like the square root of its length, and layers add theirs.
    """
    if dtype == "float64":
        return DOUBLE_TOLERANCE
    steps = 8.0 + math.sqrt(reduction_length(model))
    return SPACING[dtype] * steps * math.sqrt(len(model.nodes)) * 2.0


@dataclass(frozen=True)
class Difference:
    """How two arrays compare.

    Attributes:
        error: Largest absolute difference over the largest absolute value expected; infinite if
            shapes, NaN or infinities differ.
        note: What differs besides numbers.
    """

    error: float
    note: str = ""


def difference(expected: np.ndarray, received: np.ndarray) -> Difference:
    """Compare an array with the one expected."""
    if expected.shape != received.shape:
        return Difference(math.inf, f"shape {received.shape} instead of {expected.shape}")
    if expected.size == 0:
        return Difference(0.0)
    a, b = expected.astype(np.float64), received.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)) or not np.array_equal(
        a[~finite], b[~finite], equal_nan=True
    ):
        return Difference(math.inf, "NaN or infinity at other places")
    if not finite.any():
        return Difference(0.0)
    scale = float(np.abs(a[finite]).max())
    error = float(np.abs(a[finite] - b[finite]).max())
    return Difference(error / scale if scale else error)


def worst(expected: Sequence[np.ndarray], received: Sequence[np.ndarray]) -> Difference:
    """The largest difference of arrays compared one by one."""
    if len(expected) != len(received):
        return Difference(math.inf, f"{len(received)} arrays instead of {len(expected)}")
    pairs = zip(expected, received, strict=True)
    return max((difference(a, b) for a, b in pairs), key=lambda d: d.error, default=Difference(0.0))


@dataclass(frozen=True)
class Value:
    """A value on the way through a program, with the name of what made it if it is known."""

    name: str
    array: np.ndarray


@dataclass(frozen=True)
class Layer:
    """What a layer is expected to give: in the spec's layout, and how a target may lay it out."""

    name: str
    array: np.ndarray
    perm: Permutation | None

    @property
    def forms(self) -> list[np.ndarray]:
        """The value in every layout in which it may stand."""
        forms = [self.array]
        if self.perm is not None:
            forms.append(self.array.transpose(self.perm))
        return forms

    def distance(self, value: Value) -> Difference:
        """How far a value is from what is expected."""
        return min((difference(form, value.array) for form in self.forms), key=lambda d: d.error)


@dataclass(frozen=True)
class Divergence:
    """The first layer whose value differs, with its error and shapes."""

    layer: str
    error: float
    note: str = ""


def _contradicted(layers: Sequence[Layer], values: Sequence[Value], limit: float) -> int:
    """Index of the first layer of whose name there is a value that differs."""
    named = {value.name: value for value in values if value.name}
    for index, layer in enumerate(layers):
        if layer.name in named and layer.distance(named[layer.name]).error > limit:
            return index
    return len(layers)


def _last_found(layers: Sequence[Layer], values: Sequence[Value], limit: float) -> int:
    """Index of the last layer whose value stands anywhere in the program, -1 if none does."""
    for index in reversed(range(len(layers))):
        if any(layers[index].distance(value).error <= limit for value in values):
            return index
    return -1


def first_divergence(
    layers: Sequence[Layer], values: Sequence[Value], limit: float
) -> Divergence | None:
    """The first layer that differs.

    A program need not hold the value of every layer: a Flatten may be in another order, an
    activation written around its layer. So the layer to blame is the one after the last whose
    value is found, unless a value that carries a layer's name differs before.
    """
    blamed = min(_last_found(layers, values, limit) + 1, _contradicted(layers, values, limit))
    if blamed >= len(layers):
        return None
    layer = layers[blamed]
    distances = [layer.distance(value) for value in values]
    closest = min(distances, key=lambda d: d.error, default=Difference(math.inf, "no such value"))
    return Divergence(layer.name, closest.error, closest.note)
