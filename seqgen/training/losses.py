"""The losses of Keras 3.15: names, arguments and defaults."""

from typing import Any

from seqgen.layers.arguments import (
    AXES,
    BOOLEAN,
    INTEGER,
    PROBABILITY,
    REAL,
    Kind,
    choice,
    optional,
    real,
)
from seqgen.layers.objects import Signature, named
from seqgen.training.optimizers import POSITIVE_REAL

REDUCTION: Signature = {
    "reduction": (
        choice("sum_over_batch_size", "sum", "mean_with_sample_weight"),
        "sum_over_batch_size",
    )
}


def _last(value: Any, rank: int) -> int:
    if value != -1 or isinstance(value, bool):
        raise ValueError
    return -1


LAST_AXIS = Kind(
    "-1, the only axis that Keras takes with TensorFlow", _last, lambda rank: {"const": -1}
)
AXIS: Signature = {"axis": (INTEGER, -1)}
SUMMED_AXES: Signature = {"axis": (optional(AXES), None)}
LOGITS: Signature = {"from_logits": (BOOLEAN, False)}
SMOOTHED: Signature = {**LOGITS, "label_smoothing": (PROBABILITY, 0.0), **AXIS}
FOCAL: Signature = {"alpha": (REAL, 0.25), "gamma": (REAL, 2.0)}
LOSSES: dict[str, Signature] = {
    "BinaryCrossentropy": {**SMOOTHED, **REDUCTION},
    "BinaryFocalCrossentropy": {
        "apply_class_balancing": (BOOLEAN, False),
        **FOCAL,
        **SMOOTHED,
        **REDUCTION,
    },
    "CTC": REDUCTION,
    "CategoricalCrossentropy": {**SMOOTHED, **REDUCTION},
    "CategoricalFocalCrossentropy": {**FOCAL, **SMOOTHED, **REDUCTION},
    "CategoricalGeneralizedCrossEntropy": {
        "q": (real(1e-45, 1 - 1e-9, "a number between 0 and 1"), 0.5),
        **REDUCTION,
    },
    "CategoricalHinge": REDUCTION,
    "Circle": {
        "gamma": (REAL, 80.0),
        "margin": (REAL, 0.4),
        "remove_diagonal": (BOOLEAN, True),
        **REDUCTION,
    },
    "CosineSimilarity": {**AXIS, **REDUCTION},
    "Dice": {**SUMMED_AXES, **REDUCTION},
    "Hinge": REDUCTION,
    "Huber": {"delta": (POSITIVE_REAL, 1.0), **REDUCTION},
    "KLDivergence": REDUCTION,
    "LogCosh": REDUCTION,
    "MeanAbsoluteError": REDUCTION,
    "MeanAbsolutePercentageError": REDUCTION,
    "MeanSquaredError": REDUCTION,
    "MeanSquaredLogarithmicError": REDUCTION,
    "Poisson": REDUCTION,
    "SparseCategoricalCrossentropy": {
        **LOGITS,
        "ignore_class": (optional(INTEGER), None),
        "axis": (LAST_AXIS, -1),
        **REDUCTION,
    },
    "SquaredHinge": REDUCTION,
    "Tversky": {"alpha": (REAL, 0.5), "beta": (REAL, 0.5), **SUMMED_AXES, **REDUCTION},
}
# Losses whose labels are whole numbers: one of a class for each sample, or several for CTC.
NUMBERED = (
    "CTC",
    "CategoricalGeneralizedCrossEntropy",
    "Circle",
    "SparseCategoricalCrossentropy",
)
# The short names that keras.losses.get knows.
SHORT = {
    "bce": "BinaryCrossentropy",
    "kld": "KLDivergence",
    "kl_divergence": "KLDivergence",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "mse": "MeanSquaredError",
    "msle": "MeanSquaredLogarithmicError",
}
ALIASES = {**SHORT, **{name.upper(): full for name, full in SHORT.items() if len(name) < 5}}
LOSS = named("a loss", LOSSES, ALIASES)
