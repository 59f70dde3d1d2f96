"""Inputs of which a layer makes a mask: steps to be left out, in every pattern there is."""

from collections.abc import Callable

import numpy as np

from seqgen.layers.base import Layer
from seqgen.layers.core import Embedding

# Where the value of a masked step may stand among kept ones: any further, and the results for it
# would hide those for the others.
MODERATE = 10.0


# Each takes the numbers of the steps and tells which are kept.
PATTERNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "full": lambda steps: steps >= 0,
    "padded on the right": lambda steps: steps < len(steps) - len(steps) // 2,
    "padded on the left": lambda steps: steps >= len(steps) // 2,
    "holes": lambda steps: (steps % 3 != 1) | (steps == len(steps) - 1),
    "single": lambda steps: steps == len(steps) // 2,
    "none": lambda steps: steps < 0,
}
# Sizes of batches with a row for each pattern.
BATCHES = (len(PATTERNS) + 1, len(PATTERNS))


def count(batch_size: int) -> int:
    """How many batches of a size it takes until every pattern had a row."""
    return max(1, len(PATTERNS) + 1 - batch_size)


def kept_steps(shape: tuple[int, ...], index: int, some: bool = False) -> np.ndarray:
    """Which steps of a batch are kept, a pattern a row.

    Args:
        shape: Of the mask: the steps are its last axis, all before are rows.
        index: Of the batch: a row has another pattern in each.
        some: Whether every row keeps some step.
    """
    patterns = [PATTERNS[name] for name in PATTERNS if not (some and name == "none")]
    steps, rows = np.arange(shape[-1]), int(np.prod(shape[:-1], dtype=int))
    kept = [patterns[(row + index) % len(patterns)](steps) for row in range(rows)]
    return np.stack(kept).reshape(shape)


def _words(layer: Embedding, ids: np.ndarray, index: int, some: bool) -> np.ndarray:
    """Whole numbers of which those at masked steps, and no others, are 0."""
    kept = kept_steps(ids.shape, index, some)
    return np.where(kept, np.where(ids == 0, layer.input_dim - 1, ids), 0).astype(ids.dtype)


def _steps(layer: Layer, x: np.ndarray, index: int, some: bool) -> np.ndarray:
    """Steps of which the masked ones, and no others, hold the mask's value in every feature."""
    # Keras has the value as a float32 in every dtype.
    value = np.broadcast_to(np.float32(layer.mask_value), x.shape[-1:]).astype(x.dtype)
    if x.shape[-1] > 1 and np.abs(value).max() <= MODERATE:
        # A step is kept as long as one feature differs.
        x[0, ..., 0] = value[0]
    kept = kept_steps(x.shape[:-1], index, some)[..., None]
    x = np.where((x == value).all(-1, keepdims=True), value + 1, x)
    return np.where(kept, x, value).astype(x.dtype)


def masked(layer: Layer, x: np.ndarray, index: int, some: bool = False) -> np.ndarray:
    """A batch with steps that a Masking or an Embedding leaves out.

    Args:
        layer: What makes the mask.
        x: The batch.
        index: Of the batch among those of a run.
        some: Whether every row keeps some step.
    """
    return (_words if isinstance(layer, Embedding) else _steps)(layer, x, index, some)
