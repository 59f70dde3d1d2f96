"""The metrics of Keras 3.15 that programs compute: names, arguments and defaults."""

from seqgen.layers.arguments import POSITIVE, REAL
from seqgen.layers.objects import Signature, named

# `Accuracy` is what Keras makes of the name "accuracy": which one, the loss and the output tell.
METRICS: dict[str, Signature] = {
    "Accuracy": {},
    "BinaryAccuracy": {"threshold": (REAL, 0.5)},
    "CategoricalAccuracy": {},
    "MeanAbsoluteError": {},
    "MeanSquaredError": {},
    "RootMeanSquaredError": {},
    "SparseCategoricalAccuracy": {},
    "SparseTopKCategoricalAccuracy": {"k": (POSITIVE, 5)},
    "TopKCategoricalAccuracy": {"k": (POSITIVE, 5)},
}
SHORT = {"acc": "Accuracy", "mse": "MeanSquaredError", "mae": "MeanAbsoluteError"}
METRIC = named("a metric", METRICS, {**SHORT, "MSE": "MeanSquaredError", "MAE": SHORT["mae"]})
