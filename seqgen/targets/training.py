"""What the pages of training programs are given: the settings, resolved for a model."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node
from seqgen.layers.base import Layer, Weight, numbered
from seqgen.layers.core import Embedding
from seqgen.layers.objects import Named
from seqgen.layers.regularization import ActivityRegularization
from seqgen.layers.within import noise_of, within
from seqgen.layers.wrappers import Bidirectional
from seqgen.targets.metrics import Metric, log_name, metrics_of
from seqgen.training.callbacks import CALLBACKS
from seqgen.training.data import Data
from seqgen.training.losses import LOSSES, NUMBERED
from seqgen.training.optimizers import OPTIMIZERS, SCHEDULES
from seqgen.training.settings import CLIPS, Training, full

# Losses for which Keras takes what stands before a softmax or sigmoid at the end of the model:
# `_get_logits` in keras/src/backend/tensorflow/nn.py. Of a probability near 0 or 1 nothing is lost.
FROM_LOGITS = (
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "SparseCategoricalCrossentropy",
)
HEADS = ("sigmoid", "softmax")
ABOUT = ("regularizer", "constraint")
# The arguments of layers about a variable, where they begin with another word than its name.
ARGUMENTS = {
    "depthwise_kernel": ("depthwise",),
    "kernel": ("kernel", "depthwise"),
    "pointwise_kernel": ("pointwise",),
    "recurrent_kernel": ("recurrent",),
}
# What Keras takes to be better if it is less; of the other metrics but counts it is the opposite.
FALLING = (
    "loss",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
)
# The modes of Pillow by the number of channels.
IMAGE_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def takes_logits(each: Named) -> bool:
    """Whether Keras computes a loss or metric from what the activation at the end is given."""
    # Leaving out a class makes other values of the results.
    return each.name in FROM_LOGITS and each.kwargs.get("ignore_class") is None


@dataclass(frozen=True)
class Rule:
    """A regularizer or constraint of a variable.

    Attributes:
        weight: The variable.
        function: The regularizer or constraint.
    """

    weight: Weight
    function: Named


def head_of(model: Model) -> Node | None:
    """The node at the end of a model, lowered or not, whose activation its training leaves out."""
    assert model.training is not None
    last = model.by_name[model.outputs[0]]
    function = getattr(last.layer, "activation", None)
    if function is None or function.name not in HEADS:
        return None
    rank = last.type.rank
    axis = function.kwargs.get("axis", -1)
    along = function.name == "sigmoid" or (
        isinstance(axis, int) and (last.perm or range(rank))[axis % rank] == rank - 1
    )
    training = model.training
    computed = (training.loss, *training.metrics, *training.weighted_metrics)
    return last if along and any(map(takes_logits, computed)) else None


class Settings:
    """The training section of a model, as the pages of its programs ask for it.

    Args:
        model: The model of the spec, with a training section.
    """

    def __init__(self, model: Model) -> None:
        assert model.training is not None
        self.model = model
        self.said: Training = model.training
        self.optimizer = full(self.said.optimizer, OPTIMIZERS)
        self.loss = full(self.said.loss, LOSSES)
        self.penalties = list(self._rules("regularizer"))
        self.constraints = list(self._rules("constraint"))

    @property
    def activities(self) -> Iterator[tuple[Node, Named]]:
        """The layers whose outputs a regularizer looks at, each once, with the regularizer."""
        for node in self.model.layers:
            function = activity_of(node.layer)
            if function is not None and not node.same_as:
                yield node, function

    def _rules(self, about: str) -> Iterator[Rule]:
        """The regularizers or constraints of all variables that are trained."""
        for key, node in self.model.owners.items():
            weight = next(weight for weight in node.weights if weight.key == key)
            function = _function(node.layer, weight.name, about)
            if function is not None and weight.trainable and node.trainable:
                yield Rule(weight, function)

    @property
    def result(self) -> Node:
        """The layer whose result is trained."""
        return self.model.by_name[self.model.outputs[0]]

    @property
    def head(self) -> Node | None:
        """The layer at the end whose activation the loss does not need."""
        return head_of(self.model)

    @property
    def logits(self) -> bool:
        """Whether the loss is computed from logits."""
        return self.loss_of_head or bool(self.loss.get("from_logits"))

    @property
    def loss_of_head(self) -> bool:
        """Whether the loss is computed from what the activation at the end is given."""
        return self.head is not None and takes_logits(self.said.loss)

    @property
    def sparse(self) -> bool:
        """Whether labels are numbers of classes."""
        return self.said.loss.name in NUMBERED

    @property
    def adds_up(self) -> int | None:
        """The axis along which labels add up to 1: for others TensorFlow has wrong gradients."""
        made = self.said.loss.name == "CategoricalCrossentropy" and self.logits
        return self.loss["axis"] if made else None

    @property
    def counted(self) -> str:
        """Which samples count, as an expression of PyTorch; empty if all do."""
        if self.said.loss.name == "Circle":
            return "each > 0"
        ignored = self.loss.get("ignore_class")
        return "" if ignored is None else f"y.reshape(each.shape) != {ignored}"

    @property
    def schedule(self) -> Named | None:
        """The schedule of the learning rate, if there is one."""
        rate = self.optimizer["learning_rate"]
        return rate if isinstance(rate, Named) else None

    @property
    def schedule_arguments(self) -> dict[str, Any]:
        """All arguments of the schedule."""
        assert self.schedule is not None
        return full(self.schedule, SCHEDULES)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first step."""
        rate = self.optimizer["learning_rate"]
        if not isinstance(rate, Named):
            return float(rate)
        arguments = full(rate, SCHEDULES)
        first = arguments.get("initial_learning_rate")
        return float(arguments["values"][0] if first is None else first)

    @property
    def varies(self) -> bool:
        """Whether the learning rate changes."""
        changing = {"LearningRateScheduler", "ReduceLROnPlateau"}
        return self.schedule is not None or not changing.isdisjoint(self.callbacks)

    @cached_property
    def callbacks(self) -> dict[str, dict[str, Any]]:
        """The arguments of each callback, by its name."""
        return {callback.name: full(callback, CALLBACKS) for callback in self.said.callbacks}

    @cached_property
    def metrics(self) -> list[Metric]:
        """The metrics, and after them those of samples by their weights."""
        return metrics_of(self.said, self.result.type.shape, self.sparse)

    @cached_property
    def written(self) -> dict[tuple[Any, ...], str]:
        """The functions and classes of metrics by their shapes: those that programs define."""
        found: dict[tuple[Any, ...], str] = {}
        kinds: Counter[str] = Counter()
        for metric in self.metrics:
            if metric.shape in found or not metric.lines:
                continue
            if self._is_loss(metric):
                found[metric.shape] = "losses"
                continue
            kinds[metric.kind] += 1
            name = metric.kind if metric.kept else f"{log_name(metric.kind)}_"
            number = kinds[metric.kind]
            found[metric.shape] = f"{name}{number}" if number > 1 else name.rstrip("_")
        return found

    @property
    def defined(self) -> list[Metric]:
        """The metrics for which a function or class is defined."""
        first = {metric.shape: metric for metric in reversed(self.metrics)}
        return [first[shape] for shape, name in self.written.items() if name != "losses"]

    def _is_loss(self, metric: Metric) -> bool:
        """Whether the loss of each sample is what a metric is the mean of."""
        if metric.loss != self.said.loss.name:
            return False
        return all(self.loss[name] == value for name, value in metric.loss_arguments.items())

    def from_head(self, metric: Metric) -> bool:
        """Whether a metric is computed from what the activation at the end is given."""
        return self.head is not None and takes_logits(Named(metric.kind, metric.given))

    def logits_of(self, metric: Metric) -> bool:
        """Whether a metric is computed from logits."""
        return self.from_head(metric) or bool(metric.arguments.get("from_logits"))

    @property
    def weighted(self) -> bool:
        """Whether a metric takes the weights of samples."""
        return any(metric.weighted for metric in self.metrics)

    @property
    def listed(self) -> bool:
        """Whether a metric has several values."""
        return any(metric.listed for metric in self.metrics)

    @property
    def watching(self) -> list[str]:
        """The callbacks that watch a log."""
        given = self.callbacks.items()
        return [n for n, c in given if "monitor" in c and c.get("save_best_only", True)]

    @property
    def monitors(self) -> list[str]:
        """Names of the logs that callbacks watch."""
        return [self.callbacks[name]["monitor"] for name in self.watching]

    @property
    def validated(self) -> str | None:
        """The first log of validation that a callback watches."""
        return next((name for name in self.monitors if name.startswith("val_")), None)

    def falls(self, callback: str) -> bool:
        """Whether what a callback watches is better if it is less, as Keras has it."""
        monitor, mode = (self.callbacks[callback][name] for name in ("monitor", "mode"))
        if mode != "auto":
            return bool(mode == "min")
        kinds = {metric.name: metric.kind for metric in self.metrics}
        return kinds.get(monitor.removeprefix("val_"), "loss") in FALLING

    @property
    def data(self) -> Data:
        """What is trained on if nothing else is said."""
        return self.said.data or Data("data.npz")

    @property
    def image_mode(self) -> str:
        """The mode of Pillow that has as many channels as the input."""
        return IMAGE_MODES[self.model.by_name[self.model.inputs[0]].type.shape[-1]]

    @property
    def checkpoints(self) -> str:
        """The folder of checkpoints, below that of the training."""
        return str(self.callbacks.get("BackupAndRestore", {}).get("backup_dir", ""))

    @property
    def draws(self) -> bool:
        """Whether a layer draws random numbers in training."""
        parts = (part for node in self.model.layers for part in within(node.layer))
        return any(getattr(part, name) for part in parts for name in noise_of(part))

    @property
    def per_variable(self) -> bool:
        """Whether the optimizer looks at whole variables."""
        whole = self.said.optimizer.name in ("Adafactor", "Lamb")
        return whole or self.optimizer["clipnorm"] is not None

    @cached_property
    def orthogonal(self) -> frozenset[str]:
        """The keys of the variables whose steps Muon makes orthogonal; the others are Adam's."""
        model = self.model
        trained = (w for w in model.weights if w.trainable and model.owners[w.key].trainable)
        return frozenset(w.key for w in trained if len(w.shape) == 2 and not self._excluded(w.key))

    def _excluded(self, key: str) -> bool:
        """Whether Muon leaves a matrix to Adam.

        Keras looks in the path of the variable, before which the names of models around it may
        stand.
        """
        patterns = list(self.optimizer["exclude_layers"] or ())
        # Of this word Keras looks in lower case.
        word = ["(?i:embedding)"] if self.optimizer["exclude_embeddings"] else []
        scope = self.model.owners[key].scope
        parts = [self.model.name, *key.split(".")]
        paths = ["/".join(parts[start:]) for start in range(len(scope) + 2)]
        found = {any(re.search(p, path) for p in patterns + word) for path in paths}
        if len(found) > 1:
            message = "it hangs on the name of a model whether Muon leaves the variable to Adam"
            raise UnsupportedError(f"'{key}': {message}; let exclude_layers match below it")
        return found.pop()

    @cached_property
    def embeddings(self) -> list[str]:
        """The layers whose gradients Keras has to add up before the optimizer sees them.

        TensorFlow hands out the gradient of an Embedding as one row for each use, and most
        optimizers of Keras square rows of the same index before they are added up. Plain steps
        are linear in the gradient, so that it makes no difference.
        """
        linear = self.said.optimizer.name == "SGD"
        if linear and all(self.optimizer[name] is None for name in CLIPS):
            return []
        found = []
        ruled = {rule.weight.key for rule in self.penalties}
        for node in self.model.layers:
            if isinstance(node.layer, Embedding) and node.trainable and not node.same_as:
                if "/" in node.name:
                    message = "no Embedding within a nested model in training by this optimizer"
                    raise UnsupportedError(f"{node.layer.label}: {message}")
                if node.weights[0].key not in ruled:
                    found.append(node.name)
        return found


def _function(layer: Layer, path: str, about: str) -> Named | None:
    """The regularizer or constraint of a variable of a layer, or of one within it.

    Args:
        layer: The layer.
        path: The variable's name, behind those of the layers within that it belongs to.
        about: Which of the two.
    """
    *names, variable = path.split("/")
    for name in names:
        # The cell that a recurrent layer makes by itself has its arguments.
        layer = next((part for part in _parts(layer) if part.name == name), layer)
    for argument in ARGUMENTS.get(variable, (variable,)):
        found: Named | None = getattr(layer, f"{argument}_{about}", None)
        if found is not None:
            return found
    return None


def activity_of(layer: Layer) -> Named | None:
    """What a layer says of its output."""
    if isinstance(layer, ActivityRegularization):
        return Named("L1L2", (("l1", layer.l1), ("l2", layer.l2)))
    return layer.activity_regularizer


def _parts(layer: Layer) -> tuple[Layer, ...]:
    """The layers within a layer, by the names that Keras gives them."""
    if isinstance(layer, Bidirectional):
        return layer.forward, layer.backward
    return numbered(layer.parts)
