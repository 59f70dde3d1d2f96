"""When two arrays are the same, and which layer is the first that is not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqgen.ir.graph import Model
from seqgen.verify.constants import computes_in_single, rounds_constants

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

    Rounding errors of a sum grow like the square root of its length, and layers add theirs. Steps
    of a recurrent layer do not: after 233 of an LSTM, a GRU or a SimpleRNN they are as after 8.
    """
    if dtype == "float64" and computes_in_single(model):
        dtype = "float32"
    if dtype == "float64":
        return DOUBLE_TOLERANCE + 2.0 * SPACING["float32"] * rounds_constants(model)
    return SPACING[dtype] * roundings(model)


def roundings(model: Model) -> float:
    """How much larger than a single rounding error all of them together may be."""
    steps = 8.0 + math.sqrt(reduction_length(model))
    return steps * math.sqrt(len(model.nodes)) * 2.0


def nudge(model: Model, dtype: str) -> tuple[float, float]:
    """A relative change of inputs that no program is to answer for, and by how much to scale.

    It is a rounding error, of which every layer makes some; or that of a constant which Keras has
    in float32, of which there are few.
    """
    if dtype == "float64" and rounds_constants(model):
        return SPACING["float32"], 4.0
    return SPACING[dtype], roundings(model)


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
