"""How ONNX programs train: by which rules gradients pass the operators of a model."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Node
from seqgen.ir.types import inverse
from seqgen.layers.normalization import BatchNormalization
from seqgen.layers.objects import to_snake_case
from seqgen.layers.regularization import Dropout
from seqgen.passes.layout import identity
from seqgen.targets.noise import DIVIDED
from seqgen.targets.training import Settings, head_of

MADE = re.compile(r"make_node\(\s*['\"](\w+)")
ADDED = re.compile(r'\bg(?:\(\s*"|\.)(\w+)"?')
# Methods of the builder that add an operator of another name.
MEANS = {"mean": "ReduceMean"}
BUILDER = frozenset({"constant", "integers", "shapes"})
# What has no gradient: shapes, places and comparisons.
FLAT = frozenset(
    {
        "And",
        "CastLike",
        "Constant",
        "Equal",
        "Greater",
        "Less",
        "Not",
        "Or",
        "ReduceMin",
        "Shape",
        "Sign",
        "Size",
    }
)
# What each optimizer keeps of every weight, as Keras calls it.
MOMENTS = ("momentums", "velocities")
SLOTS = {"SGD": (), "Adam": MOMENTS, "AdamW": MOMENTS}
# Settings that the program has, in part or wholly; what another one asks for is refused.
KNOWN = frozenset(
    {
        "batch_size",
        "callbacks",
        "class_weight",
        "data",
        "epochs",
        "loss",
        "metrics",
        "optimizer",
        "parity",
        "seed",
        "shuffle",
        "validation_split",
    }
)
CALLBACKS = ("CSVLogger", "TerminateOnNaN")
METRICS = (
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
)
LOSSES = (
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
)


def check(settings: Settings, opset: int) -> None:
    """Raise an `UnsupportedError` for a setting that the program has not."""

    def known(what: str, names: list[str], has: Any) -> None:
        for name in names:
            if name not in has:
                raise UnsupportedError(f"no {what} {name}; it has {', '.join(has)}")

    given = settings.optimizer
    known("optimizer", [settings.said.optimizer.name], SLOTS)
    known("loss", [settings.said.loss.name], LOSSES)
    known("metric", [metric.kind for metric in settings.metrics], METRICS)
    known("callback", list(settings.callbacks), CALLBACKS)
    if settings.weighted:
        raise UnsupportedError("no weighted_metrics")
    for field in dataclasses.fields(settings.said):
        if field.name not in KNOWN and getattr(settings.said, field.name) != field.default:
            raise UnsupportedError(f"no {field.name}")
    if settings.data.format in ("images", "parquet"):
        raise UnsupportedError(f"no {settings.data.format} to train on; give arrays")
    if opset < 18:
        raise UnsupportedError(f"gradients are written in opset 18 or newer, not {opset}")
    if given["use_ema"] or given["gradient_accumulation_steps"] is not None:
        raise UnsupportedError("no use_ema and no gradient_accumulation_steps")
    if settings.constraints:
        raise UnsupportedError(f"no constraint of '{settings.constraints[0].weight.key}'")
    if settings.loss.get("ignore_class") is not None or settings.loss.get("axis", -1) != -1:
        raise UnsupportedError("no ignore_class and no axis of a loss")


def slots(settings: Settings) -> tuple[str, ...]:
    """What the optimizer keeps of each weight."""
    given = settings.optimizer
    if given.get("momentum"):
        return ("momentums",)
    names = SLOTS[settings.said.optimizer.name]
    return (*names, "velocity_hats") if given.get("amsgrad") else names


def penalties(settings: Settings) -> Iterator[tuple[str, float, float]]:
    """The variables that add to the loss, with the amounts by sizes and by squares."""
    for rule in settings.penalties:
        name, given = rule.function.name, rule.function.kwargs
        if name not in ("L1", "L2", "L1L2"):
            raise UnsupportedError(f"no regularizer {name} of '{rule.weight.key}'")
        default = 0.0 if name == "L1L2" else 0.01
        l1, l2 = (given.get(k, default) if k.upper() in name else 0.0 for k in ("l1", "l2"))
        if l1 or l2:
            yield rule.weight.key, l1, l2


def acts_in_training(node: Node) -> bool:
    """Whether a node is another one in training than at inference."""
    if isinstance(node.layer, BatchNormalization):
        return node.trainable
    return isinstance(node.layer, Dropout) and node.layer.rate > 0


def operators(steps: list[tuple[Node, str]], trained: set[str]) -> dict[str, Node]:
    """The operators that gradients pass, each with the first node that has it."""
    varied: set[str] = set()
    found: dict[str, Node] = {}
    for node, text in steps:
        if node.kind in DIVIDED or node.kind == "GaussianNoise":
            raise UnsupportedError(f"'{node.source}': no noise in training but Dropout")
        if varied.isdisjoint(node.inputs) and trained.isdisjoint(w.key for w in node.weights):
            continue
        varied.add(node.name)
        if not (isinstance(node.layer, BatchNormalization) and acts_in_training(node)):
            for name in MADE.findall(text):
                found.setdefault(name, node)
    return found


def passed(found: dict[str, Node], more: str, rules: Any) -> list[str]:
    """The operators that need a rule: those of the model and those that the program adds to it.

    Args:
        found: The operators of the model, each with a node that has it.
        more: The source code that adds others.
        rules: The macros of all rules.

    Raises:
        UnsupportedError: A gradient would pass an operator without a rule.
    """
    for name, node in found.items():
        if name not in FLAT and not hasattr(rules, name):
            raise UnsupportedError(f"'{node.source}': no gradient of ONNX's {name}")
    added = {MEANS.get(name, name) for name in ADDED.findall(more)}
    return sorted((found.keys() | added) - FLAT - BUILDER)


def page(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    """What the page of the training program is given.

    Args:
        settings: The settings.
        found: What the page of the model's program is given.

    Raises:
        UnsupportedError: The program cannot train the model so.
    """
    model, steps = found["model"], found["steps"]
    check(settings, found["opset"])
    if found["external"]:
        raise UnsupportedError("weights of more than one file")
    for node in model.nodes:
        if not all(isinstance(size, int) for size in node.type.shape[1:]):
            raise UnsupportedError(f"'{node.source}': give every size of its input")
        if node.same_as and acts_in_training(node):
            raise UnsupportedError(f"'{node.source}': is called several times in training")
    for node, _ in settings.activities:
        raise UnsupportedError(f"'{node.source}': no activity_regularizer")
    owners = settings.model.owners
    trained = [
        weight.key
        for key, owner in owners.items()
        for weight in owner.weights
        if weight.key == key and weight.trainable and owner.trainable
    ]
    if not trained:
        raise UnsupportedError("there is nothing to train")
    entry, result = model.by_name[model.inputs[0]], model.by_name[model.outputs[0]]
    head = head_of(model) if settings.loss_of_head else None
    if settings.loss_of_head and head is None:
        message = "the graph does not end with this activation, whose logits the loss takes"
        raise UnsupportedError(f"'{result.source}': {message}")
    moved_back = result.perm and result.perm != identity(result.type.rank)
    shape = result.type.shape[1:]
    moved = entry.perm and entry.perm != identity(entry.type.rank)
    return {
        "settings": settings,
        "trained": trained,
        "slots": slots(settings),
        "penalties": list(penalties(settings)),
        "normalized": [
            (node.name, (node.layer.momentum, node.layer.epsilon))
            for node, _ in steps
            if isinstance(node.layer, BatchNormalization) and acts_in_training(node)
        ],
        "noise": [
            (node.name, node.layer.rate, mask_shape(node))
            for node, _ in steps
            if isinstance(node.layer, Dropout) and acts_in_training(node)
        ],
        "operators": operators(steps, set(trained)),
        "passed": passed,
        "logits": head.inputs[0] if head else result.name,
        "moved_back": inverse(result.perm) if moved_back else None,
        "label_shape": shape[:-1] if settings.sparse else shape,
        "weight_shape": shape[:-1],
        "width": shape[-1],
        "entry": entry,
        "entry_moved": f".transpose({', '.join(map(str, entry.perm))})" if moved else "",
        "snake": to_snake_case,
        "target_name": "onnx",
    }


def mask_shape(node: Node) -> tuple[int, ...]:
    """The shape of a dropout's noise as the graph has it, without the samples."""
    sizes = node.physical.shape
    noise = node.layer.noise_shape or (None,) * len(sizes)
    return tuple(own or size for own, size in zip(noise, sizes, strict=True))[1:]
