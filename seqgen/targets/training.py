"""What the pages of training programs are given: the settings, resolved for a model."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node
from seqgen.layers.base import Weight
from seqgen.layers.core import Embedding
from seqgen.layers.objects import Named, to_snake_case
from seqgen.layers.within import keeps_states, within
from seqgen.training.callbacks import CALLBACKS
from seqgen.training.losses import LOSSES
from seqgen.training.metrics import METRICS
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
    along = isinstance(axis, int) and (last.perm or range(rank))[axis % rank] == rank - 1
    return last if along and model.training.loss.name in FROM_LOGITS else None


class Settings:
    """The training section of a model, as the pages of its programs ask for it.

    Args:
        model: The model of the spec, with a training section.

    Raises:
        UnsupportedError: What no training program can say.
    """

    def __init__(self, model: Model) -> None:
        assert model.training is not None
        self.model = model
        self.said: Training = model.training
        self.optimizer = full(self.said.optimizer, OPTIMIZERS)
        self.loss = full(self.said.loss, LOSSES)
        self.penalties = list(self._rules("regularizer"))
        self.constraints = list(self._rules("constraint"))
        self._check()

    def _check(self) -> None:
        if len(self.model.inputs) != 1 or len(self.model.outputs) != 1:
            raise UnsupportedError("a training program has one input and one output")
        if self.model.dtype not in ("float32", "float64"):
            raise UnsupportedError(f"a training program has no {self.model.dtype} weights")
        if keeps_states(node.layer for node in self.model.layers):
            raise UnsupportedError("a training program shuffles samples, which have no states")
        for node in self.model.layers:
            if any(part.activity_regularizer is not None for part in within(node.layer)):
                raise UnsupportedError(f"{node.layer.label}: no activity_regularizer in training")
            for part in within(node.layer):
                if part is not node.layer and any(_functions(part, about) for about in ABOUT):
                    message = "no regularizer or constraint within another layer in training"
                    raise UnsupportedError(f"{node.layer.label}: {message}")

    def _rules(self, about: str) -> Iterator[Rule]:
        """The regularizers or constraints of all variables that are trained."""
        for key, node in self.model.owners.items():
            weight = next(weight for weight in node.weights if weight.key == key)
            function = _functions(node.layer, about).get(weight.name.rpartition("/")[2])
            if function is not None and weight.trainable and node.trainable:
                yield Rule(weight, function)

    @property
    def head(self) -> Node | None:
        """The layer at the end whose activation the loss does not need."""
        return head_of(self.model)

    @property
    def logits(self) -> bool:
        """Whether the loss is computed from logits."""
        return self.head is not None or bool(self.loss.get("from_logits"))

    @property
    def sparse(self) -> bool:
        """Whether labels are numbers of classes."""
        return self.said.loss.name == "SparseCategoricalCrossentropy"

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
        return self.schedule is not None or "ReduceLROnPlateau" in self.callbacks

    @cached_property
    def callbacks(self) -> dict[str, dict[str, Any]]:
        """The arguments of each callback, by its name."""
        return {callback.name: full(callback, CALLBACKS) for callback in self.said.callbacks}

    @cached_property
    def metrics(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Of each metric the name in logs, the class and the arguments."""
        found = []
        for metric in self.said.metrics:
            kind = self._accuracy if metric.name == "Accuracy" else metric.name
            name = "accuracy" if metric.name == "Accuracy" else to_snake_case(metric.name)
            found.append((name, kind, full(Named(kind, metric.arguments), METRICS)))
        return found

    @property
    def _accuracy(self) -> str:
        """Which accuracy Keras means by the name alone (`get_metric` of compile_utils.py)."""
        width = self.model.by_name[self.model.outputs[0]].type.shape[-1]
        if width == 1:
            return "BinaryAccuracy"
        return "SparseCategoricalAccuracy" if self.sparse else "CategoricalAccuracy"

    @property
    def monitors(self) -> list[str]:
        """Names of the logs that callbacks watch."""
        return [c["monitor"] for c in self.callbacks.values() if "monitor" in c]

    @property
    def per_variable(self) -> bool:
        """Whether the optimizer looks at whole variables."""
        return self.said.optimizer.name == "Lamb" or self.optimizer["clipnorm"] is not None

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


def _functions(layer: Any, about: str) -> dict[str, Named]:
    """The regularizers or constraints of a layer by the name of the variable."""
    ending = f"_{about}"
    names = (name for name in getattr(layer, "kinds", {}) if name.endswith(ending))
    found = {name.removesuffix(ending): getattr(layer, name) for name in names}
    # A cell or depthwise layer names its kernel otherwise.
    renamed = {"depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel"}
    return {renamed.get(k, k): v for k, v in found.items() if v is not None and k != "activity"}
