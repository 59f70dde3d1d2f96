"""What no training program can say, whatever it is written for."""

import math
from collections.abc import Iterator

from seqgen.errors import UnsupportedError
from seqgen.layers.arguments import near_miss
from seqgen.layers.regularization import ActivityRegularization
from seqgen.layers.within import keeps_states, within
from seqgen.targets.metrics import COUNTS
from seqgen.targets.training import FROM_LOGITS, IMAGE_MODES, Settings, activity_of
from seqgen.training.data import TABLES

# The ranks of results that losses take, where not every one will do.
RANKS = {"CTC": 3, "Circle": 2}


def check(settings: Settings) -> None:
    """Raise an `UnsupportedError` if no program can train the model as its settings say."""
    for part in (_model, _result, _loss, _activities, _metrics, _monitors, _data):
        message = next(part(settings), None)
        if message is not None:
            raise UnsupportedError(message)


def _model(settings: Settings) -> Iterator[str]:
    model = settings.model
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        yield "a training program has one input and one output"
    if model.dtype not in ("float32", "float64"):
        yield f"a training program has no {model.dtype} weights"
    if keeps_states(node.layer for node in model.layers):
        yield "a training program shuffles samples, which have no states"


def _result(settings: Settings) -> Iterator[str]:
    result = settings.result
    if result.mask is not None:
        message = "no loss of results that have a mask; end with a layer that takes it away"
        yield f"{result.layer.label}: {message}"
    if isinstance(result.layer, ActivityRegularization) and settings.said.loss.name in FROM_LOGITS:
        message = "no ActivityRegularization at the end, behind what the loss takes logits of"
        hint = "give the layer before it an activity_regularizer"
        yield f"{result.layer.label}: {message}; {hint}"


def _loss(settings: Settings) -> Iterator[str]:
    result, name = settings.result, settings.said.loss.name
    rank = RANKS.get(name, result.type.rank)
    if rank != result.type.rank:
        message = f"loss {name}: expected a result of rank {rank} from"
        yield f"{message} {result.layer.label}, not {result.type.rank}"
    axis, shape = settings.adds_up, result.type.shape
    if axis is not None and settings.loss["label_smoothing"] and shape[axis] != shape[-1]:
        message = f"loss CategoricalCrossentropy: no label_smoothing along axis {axis}"
        reason = "labels do not add up to 1 then, for which TensorFlow has wrong gradients"
        yield f"{message}; {reason}"


def _activities(settings: Settings) -> Iterator[str]:
    for node in settings.model.layers:
        for part in list(within(node.layer))[1:]:
            if activity_of(part) is not None:
                message = "no activity_regularizer of a layer within another one in training"
                yield f"{node.layer.label}: {message}"


def _metrics(settings: Settings) -> Iterator[str]:
    for metric in settings.metrics:
        if "TopK" in metric.kind and settings.model.dtype != "float32":
            message = "Keras has no float64 for it; leave it out, or take float32"
            yield f"metric {metric.kind}: {message}"
        if metric.listed and metric.name in (m.removeprefix("val_") for m in settings.monitors):
            yield f"a callback cannot watch {metric.name}, which has several values"


def _monitors(settings: Settings) -> Iterator[str]:
    known = ["loss", *(metric.name for metric in settings.metrics)]
    kinds = {metric.name: metric.kind for metric in settings.metrics}
    for callback in settings.watching:
        monitor, mode = (settings.callbacks[callback][name] for name in ("monitor", "mode"))
        if monitor.removeprefix("val_") not in known:
            names = ", ".join(f"{name}, val_{name}" for name in known)
            message = f"callback {callback}: there is no {monitor} to watch, only {names}"
            yield f"{message}{near_miss(monitor, known)}"
        if mode == "auto" and kinds.get(monitor.removeprefix("val_")) in COUNTS:
            message = f"callback {callback}: say mode: min or max; Keras knows none for"
            yield f"{message} {monitor}"
    saved = settings.callbacks.get("ModelCheckpoint")
    if saved and saved["save_best_only"] and saved["save_freq"] != "epoch":
        message = "callback ModelCheckpoint: what is best is known after an epoch"
        yield f"{message}; leave out save_freq, or save_best_only"
    if "TensorBoard" in settings.callbacks and settings.listed:
        yield "callback TensorBoard: no metric of several values"


def _data(settings: Settings) -> Iterator[str]:
    data, entry = settings.data, settings.model.by_name[settings.model.inputs[0]]
    sizes = entry.type.shape[1:]
    fixed = all(isinstance(size, int) for size in sizes)
    if data.format in TABLES and not fixed:
        yield "data: a table has rows of one size, which the input has not"
    if data.format in TABLES and len(data.x) != math.prod(sizes):
        yield f"data: {len(data.x)} columns x for an input of {math.prod(sizes)} values"
    if data.format == "images":
        known = fixed and len(sizes) == 3 and sizes[2] in IMAGE_MODES
        if not known or not entry.type.dtype.startswith("float"):
            yield "data: images need an input of numbers [height, width, 1, 3 or 4]"
