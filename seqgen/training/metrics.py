"""The metrics of Keras 3.15 that programs compute: names, arguments and defaults."""

from typing import Any

from seqgen.layers.arguments import (
    BOOLEAN,
    INTEGER,
    POSITIVE,
    PROBABILITY,
    REAL,
    TEXT,
    JsonSchema,
    Kind,
    choice,
    integer,
    integers,
    optional,
    real,
)
from seqgen.layers.objects import REQUIRED, Signature, named
from seqgen.training.losses import AXIS, LAST_AXIS, LOGITS, SMOOTHED
from seqgen.training.optimizers import POSITIVE_REAL, REALS


def _thresholds(value: Any, rank: int) -> float | tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        number: float = PROBABILITY.parse(value, rank)
        return number
    found = tuple(PROBABILITY.parse(item, rank) for item in value)
    if not found or list(found) != sorted(set(found)):
        raise ValueError
    return found


def _thresholds_schema(rank: int) -> JsonSchema:
    one = PROBABILITY.schema(rank)
    return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}


def _zero(value: Any, rank: int) -> int:
    if value != 0 or isinstance(value, bool):
        raise ValueError
    return 0


NONE = Kind("0, the only number that Keras takes in fit", _zero, lambda rank: {"const": 0})
THRESHOLDS: Signature = {
    "thresholds": (
        optional(Kind("a number from 0 to 1, or ascending ones", _thresholds, _thresholds_schema)),
        None,
    )
}
OF_CLASS: Signature = {"class_id": (optional(integer(0, "the number of a class")), None)}
AMONG: Signature = {**THRESHOLDS, "top_k": (optional(POSITIVE), None), **OF_CLASS}
ALONG: Signature = {"num_thresholds": (POSITIVE, 200), **OF_CLASS}
AVERAGE: Signature = {
    "average": (optional(choice("micro", "macro", "weighted")), None),
    "threshold": (optional(real(1e-45, 1.0, "a number above 0 and up to 1")), None),
}
CLASSES = {"num_classes": (integer(2, "a number of classes of at least 2"), REQUIRED)}
CHOSEN = {"target_class_ids": (integers(0, "numbers of classes"), REQUIRED)}
IGNORED: Signature = {"ignore_class": (optional(INTEGER), None)}
NUMBERED: Signature = {
    **IGNORED,
    "sparse_y_true": (BOOLEAN, True),
    "sparse_y_pred": (BOOLEAN, True),
    "axis": (LAST_AXIS, -1),
}
ONE_HOT: Signature = {**IGNORED, "sparse_y_pred": (BOOLEAN, False), "axis": (LAST_AXIS, -1)}
# `Accuracy` is what Keras makes of the name "accuracy": which one, the loss and the output tell.
OWN: dict[str, Signature] = {
    "AUC": {
        "num_thresholds": (integer(2, "an integer of at least 2"), 200),
        "curve": (choice("ROC", "PR", "PRGAIN"), "ROC"),
        "summation_method": (
            choice("interpolation", "majoring", "minoring"),
            "interpolation",
        ),
        **THRESHOLDS,
        "multi_label": (BOOLEAN, False),
        "num_labels": (optional(POSITIVE), None),
        "label_weights": (optional(REALS), None),
        **LOGITS,
    },
    "Accuracy": {},
    "BinaryAccuracy": {"threshold": (REAL, 0.5)},
    "BinaryCrossentropy": {k: v for k, v in SMOOTHED.items() if k != "axis"},
    "BinaryIoU": {
        "target_class_ids": (integers(0, "numbers of classes"), (0, 1)),
        "threshold": (REAL, 0.5),
    },
    "CategoricalAccuracy": {},
    "CategoricalCrossentropy": SMOOTHED,
    "CategoricalHinge": {},
    "ConcordanceCorrelation": AXIS,
    "CosineSimilarity": AXIS,
    "F1Score": AVERAGE,
    "FBetaScore": {
        "average": AVERAGE["average"],
        "beta": (POSITIVE_REAL, 1.0),
        "threshold": AVERAGE["threshold"],
    },
    "FalseNegatives": THRESHOLDS,
    "FalsePositives": THRESHOLDS,
    "Hinge": {},
    "IoU": {**CLASSES, **CHOSEN, **NUMBERED},
    "KLDivergence": {},
    "LogCoshError": {},
    "MeanAbsoluteError": {},
    "MeanAbsolutePercentageError": {},
    "MeanIoU": {**CLASSES, **NUMBERED},
    "MeanSquaredError": {},
    "MeanSquaredLogarithmicError": {},
    "OneHotIoU": {**CLASSES, **CHOSEN, **ONE_HOT},
    "OneHotMeanIoU": {**CLASSES, **ONE_HOT},
    "PearsonCorrelation": AXIS,
    "Poisson": {},
    "Precision": AMONG,
    "PrecisionAtRecall": {"recall": (PROBABILITY, REQUIRED), **ALONG},
    "R2Score": {
        "class_aggregation": (
            optional(choice("uniform_average", "variance_weighted_average")),
            "uniform_average",
        ),
        "num_regressors": (NONE, 0),
    },
    "Recall": AMONG,
    "RecallAtPrecision": {"precision": (PROBABILITY, REQUIRED), **ALONG},
    "RootMeanSquaredError": {},
    "SensitivityAtSpecificity": {"specificity": (PROBABILITY, REQUIRED), **ALONG},
    "SparseCategoricalAccuracy": {},
    "SparseCategoricalCrossentropy": {
        **LOGITS,
        "ignore_class": (optional(INTEGER), None),
        "axis": (LAST_AXIS, -1),
    },
    "SparseTopKCategoricalAccuracy": {"k": (POSITIVE, 5)},
    "SpecificityAtSensitivity": {"sensitivity": (PROBABILITY, REQUIRED), **ALONG},
    "SquaredHinge": {},
    "TopKCategoricalAccuracy": {"k": (POSITIVE, 5)},
    "TrueNegatives": THRESHOLDS,
    "TruePositives": THRESHOLDS,
}
# Its name in logs; without one that of Keras.
NAME: Signature = {"name": (optional(TEXT), None)}
METRICS: dict[str, Signature] = {name: {**own, **NAME} for name, own in OWN.items()}
SHORT = {
    "bce": "BinaryCrossentropy",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "mse": "MeanSquaredError",
    "msle": "MeanSquaredLogarithmicError",
}
ALIASES = {"acc": "Accuracy", **SHORT, **{name.upper(): full for name, full in SHORT.items()}}
METRIC = named("a metric", METRICS, ALIASES)
