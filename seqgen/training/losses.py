"""The losses of Keras 3.15: names, arguments and defaults."""

from seqgen.layers.arguments import BOOLEAN, INTEGER, PROBABILITY, REAL, choice, optional
from seqgen.layers.objects import Signature, named
from seqgen.training.optimizers import POSITIVE_REAL

REDUCTION: Signature = {
    "reduction": (
        choice("sum_over_batch_size", "sum", "mean_with_sample_weight"),
        "sum_over_batch_size",
    )
}
LOGITS: Signature = {"from_logits": (BOOLEAN, False)}
SMOOTHED: Signature = {**LOGITS, "label_smoothing": (PROBABILITY, 0.0)}
FOCAL: Signature = {"alpha": (REAL, 0.25), "gamma": (REAL, 2.0)}
LOSSES: dict[str, Signature] = {
    "BinaryCrossentropy": {**SMOOTHED, **REDUCTION},
    "BinaryFocalCrossentropy": {
        "apply_class_balancing": (BOOLEAN, False),
        **FOCAL,
        **SMOOTHED,
        **REDUCTION,
    },
    "CategoricalCrossentropy": {**SMOOTHED, **REDUCTION},
    "CategoricalFocalCrossentropy": {**FOCAL, **SMOOTHED, **REDUCTION},
    "CategoricalHinge": REDUCTION,
    "CosineSimilarity": REDUCTION,
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
        **REDUCTION,
    },
    "SquaredHinge": REDUCTION,
}
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
