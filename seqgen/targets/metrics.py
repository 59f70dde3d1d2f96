"""The metrics of training programs: their names in logs, and what PyTorch programs keep of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqgen.errors import UnsupportedError
from seqgen.layers.objects import Named, to_snake_case
from seqgen.training.losses import LOSSES
from seqgen.training.metrics import OWN
from seqgen.training.settings import Training, full

# The names of Keras that are not those of the classes.
NAMES = {"FBetaScore": "fbeta_score", "LogCoshError": "logcosh"}
# The metrics that are means of a loss, where that has another name.
MEANS = {"LogCoshError": "LogCosh"}
# Labels that are numbers of classes.
NUMBERED = (
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
)
# Means that take more than an expression.
FUNCTIONS = ("ConcordanceCorrelation", "PearsonCorrelation")
COUNTS = ("FalseNegatives", "FalsePositives", "TrueNegatives", "TruePositives")
CURVES = (
    "PrecisionAtRecall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
)
OVERLAPS = ("BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU")
# The metrics that keep something else than a sum of values, with the arguments that tell how.
KEPT: dict[str, tuple[str, ...]] = {
    "AUC": ("curve", "summation_method", "multi_label", "label_weights"),
    **dict.fromkeys((*COUNTS, "Precision", "Recall"), ()),
    "PrecisionAtRecall": ("recall",),
    "RecallAtPrecision": ("precision",),
    "SensitivityAtSpecificity": ("specificity",),
    "SpecificityAtSensitivity": ("sensitivity",),
    **dict.fromkeys(("F1Score", "FBetaScore"), ("average", "beta", "threshold")),
    **dict.fromkeys(OVERLAPS, ("num_classes", "target_class_ids", "ignore_class")),
    "R2Score": ("class_aggregation",),
}
# The threshold above which the best few results are, where they alone are looked at.
LOWEST = "-1e10"


@dataclass(frozen=True)
class Metric:
    """A metric of a training program.

    Attributes:
        name: Its name in logs.
        kind: What class of keras.metrics it is.
        given: The arguments that the spec says.
        width: How many values the result has for each label, or step.
        weighted: Whether samples count by their weights.
    """

    name: str
    kind: str
    given: tuple[tuple[str, Any], ...]
    width: int
    weighted: bool

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments, those that are the default too."""
        return full(Named(self.kind, self.given), OWN)

    @property
    def kept(self) -> bool:
        """Whether it keeps something else than the sum of values."""
        return self.kind in KEPT

    @property
    def overlap(self) -> bool:
        """Whether it compares numbers of classes."""
        return self.kind in OVERLAPS

    @property
    def confusion(self) -> bool:
        """Whether it compares results with thresholds, each by itself."""
        return self.kind in (*COUNTS, *CURVES, "AUC", "Precision", "Recall")

    @property
    def multi_label(self) -> bool:
        """Whether each value of a sample is counted by itself."""
        return bool(self.arguments.get("multi_label"))

    @property
    def loss(self) -> str:
        """The loss that it is the mean of; empty if there is none."""
        name = MEANS.get(self.kind, self.kind)
        # Similar samples have a large metric, and a small loss.
        return name if name in LOSSES and name != "CosineSimilarity" else ""

    @property
    def loss_arguments(self) -> dict[str, Any]:
        """All arguments of that loss, without what it does with samples."""
        found = full(Named(self.loss), LOSSES) | self.arguments
        return {name: value for name, value in found.items() if name != "reduction"}

    @property
    def lines(self) -> bool:
        """Whether a program has a function or class of its own for it, and not an expression."""
        return self.kept or bool(self.loss) or self.kind in FUNCTIONS

    @property
    def shape(self) -> tuple[Any, ...]:
        """What tells it from other metrics for which a class or function is written."""
        names = KEPT.get(self.kind, tuple(self.arguments))
        return (self.kind, *(self.arguments.get(name) for name in names))

    @property
    def numbered(self) -> bool:
        """Whether its labels are numbers of classes, and results probabilities."""
        sparse = self.arguments.get("sparse_y_true") and not self.arguments["sparse_y_pred"]
        return bool(sparse) or self.kind in NUMBERED

    @property
    def listed(self) -> bool:
        """Whether it has several values."""
        arguments = self.arguments
        several = isinstance(arguments.get("thresholds"), tuple) and self.kind != "AUC"
        one_each = arguments.get("average", "") is None or (
            arguments.get("class_aggregation", "") is None
        )
        return (several and len(arguments["thresholds"]) > 1) or (one_each and self.width > 1)

    @property
    def _said(self) -> list[float]:
        said = self.arguments.get("thresholds")
        if said is None:
            return [0.5]
        return list(said) if isinstance(said, tuple) else [said]

    @property
    def _counted(self) -> bool:
        """Whether it is said how many thresholds there are, and not which."""
        return "num_thresholds" in self.arguments and self.arguments.get("thresholds") is None

    @property
    def count(self) -> int:
        """How many thresholds there are."""
        if self._counted:
            return int(self.arguments["num_thresholds"])
        return len(self._said) + (2 if self.kind == "AUC" else 0)

    @property
    def even(self) -> bool:
        """Whether Keras takes thresholds for evenly spaced, and compares them so."""
        if self._counted:
            return self.count > 1
        return evenly([0.0, *self._said, 1.0] if self.kind == "AUC" else self._said)

    @property
    def thresholds(self) -> str:
        """The thresholds as Python source; evenly spaced ones are counted."""
        if self.kind == "AUC":
            # What is 0 is above the first threshold too.
            ends = [-1e-7, *self._said, 1 + 1e-7]
            return f"[-1, *range(1, {self.count})]" if self.even else f"{ends}"
        if self.even:
            return f"range({self.count})"
        among = self.arguments.get("top_k") is not None and self.arguments["thresholds"] is None
        return f"[{LOWEST}]" if among else f"{self._said}"

    def check(self, shape: tuple[Any, ...], sparse: bool) -> None:
        """Raise an `UnsupportedError` if results and labels are not what it takes."""
        arguments = self.arguments
        classes = shape[-1]

        def refuse(message: str) -> None:
            raise UnsupportedError(f"metric {self.kind}: {message}")

        if self.numbered != sparse:
            taken = "numbers of classes" if self.numbered else "labels of the shape of results"
            refuse(f"it takes {taken}, which the loss does not; choose another metric")
        if arguments.get("sparse_y_pred") and not arguments.get("sparse_y_true", False):
            refuse("sparse_y_pred is for labels that are sparse too; set it to false")
        flat = self.kind in ("F1Score", "FBetaScore", "R2Score") or self.multi_label
        if flat and len(shape) != 2:
            refuse(f"expected results of rank 2, received {len(shape)}")
        for name in ("class_id", "top_k"):
            if (arguments.get(name) or 0) >= classes + (name == "top_k"):
                refuse(f"{name}={arguments[name]} is too large for {classes} values")
        if max(arguments.get("target_class_ids") or [0]) >= arguments.get("num_classes", 2):
            refuse(f"target_class_ids={arguments['target_class_ids']} has no such class")
        labels = arguments.get("num_labels")
        if labels is not None and (labels != classes or not arguments["multi_label"]):
            refuse("num_labels is the number of results, where multi_label is true")
        weights = arguments.get("label_weights")
        if weights is not None and len(weights) != classes:
            refuse(f"label_weights has {len(weights)} numbers for {classes} results")
        if self.weighted and self.kind in OVERLAPS:
            refuse("Keras counts by whole weights; take it among metrics, without weights")
        if self.weighted and arguments.get("ignore_class") is not None:
            refuse("no ignore_class with weights; give those samples the weight 0")
        if self.weighted and arguments.get("axis", -1) != -1:
            refuse("along that axis there is no value for each weight")


def evenly(thresholds: list[float]) -> bool:
    """Whether thresholds are evenly spaced (`is_evenly_distributed_thresholds` of Keras)."""
    count = len(thresholds)
    if count < 3:
        return False
    even = np.arange(count, dtype=np.float32) / (count - 1)
    return bool(np.allclose(thresholds, even, atol=1e-7))


def log_name(kind: str) -> str:
    """The name in logs of a metric of a class, as long as there is one."""
    return NAMES.get(kind) or to_snake_case(kind)


def metrics_of(training: Training, shape: tuple[Any, ...], sparse: bool) -> list[Metric]:
    """The metrics of a training, named in logs as Keras does.

    Args:
        training: The settings.
        shape: The shape of the result.
        sparse: Whether labels are numbers of classes.

    Raises:
        UnsupportedError: A metric does not take such results and labels.
    """
    taken: Counter[str] = Counter()
    made = [
        *_named(training.metrics, False, taken, shape, sparse),
        *_named(training.weighted_metrics, True, taken, shape, sparse),
    ]
    if made and training.loss.name == "CTC":
        raise UnsupportedError("loss CTC: there are no metrics of labels that are in no place")
    for metric in made:
        metric.check(shape, sparse)
    return made


def _named(
    given: Iterable[Named],
    weighted: bool,
    taken: Counter[str],
    shape: tuple[Any, ...],
    sparse: bool,
) -> Iterable[Metric]:
    """Metrics by the names that `CompileMetrics` gives them."""
    for metric in given:
        kind = _accuracy(shape[-1], sparse) if metric.name == "Accuracy" else metric.name
        given = metric.kwargs
        name = given.pop("name", None) or log_name(metric.name)
        if name == "loss":
            raise UnsupportedError(f"metric {metric.name}: logs have the loss under this name")
        if weighted and name in taken:
            name = f"weighted_{name}"
        number = taken[name]
        taken[name] += 1
        name = f"{name}_{number}" if number else name
        yield Metric(name, kind, tuple(given.items()), shape[-1], weighted)


def _accuracy(width: Any, sparse: bool) -> str:
    """Which accuracy Keras means by the name alone (`get_metric` of compile_utils.py)."""
    if width == 1:
        return "BinaryAccuracy"
    return "SparseCategoricalAccuracy" if sparse else "CategoricalAccuracy"
