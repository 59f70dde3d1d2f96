"""What the page of the Keras program that trains is given, and what several processes need."""

from collections.abc import Iterator
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.layers.normalization import BatchNormalization
from seqgen.layers.within import within
from seqgen.targets.training import Settings


def norms(settings: Settings) -> Iterator[str]:
    """The names of the layers that normalize by the batch.

    Raises:
        UnsupportedError: Keras cannot look at the shares of several processes in one.
    """
    for node in settings.model.layers:
        if not any(isinstance(part, BatchNormalization) for part in within(node.layer)):
            continue
        if not isinstance(node.layer, BatchNormalization) or "/" in node.name:
            message = "target 'keras' has no BatchNormalization within another layer"
            raise UnsupportedError(f"distributed: {node.layer.label}: {message}")
        if node.mask is not None:
            message = "target 'keras' has no BatchNormalization of masked samples"
            raise UnsupportedError(f"distributed: {node.layer.label}: {message}")
        yield node.name


def check(settings: Settings) -> None:
    """Raise an `UnsupportedError` if the loss of a batch is no sum of those of its shares."""
    loss = settings.loss
    axes = loss.get("axis", -1)
    first = (0, -settings.result.type.rank)
    whole = axes is None or not set(axes if isinstance(axes, tuple) else (axes,)).isdisjoint(first)
    if whole or loss["reduction"] not in ("mean", "sum_over_batch_size") or settings.counted:
        message = f"distributed: loss {settings.said.loss.name} is no mean over the samples of a"
        hint = "which target 'keras' needs; leave out distributed, or take another reduction"
        raise UnsupportedError(f"{message} batch, {hint}")
    if any(settings.activities):
        raise UnsupportedError("distributed: target 'keras' has no activity_regularizer then")


def page(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    """What the page of the training program is given.

    Raises:
        UnsupportedError: Several processes are asked for, and cannot train the model.
    """
    distributed = bool(settings.said.distributed)
    if distributed:
        check(settings)
    return {
        "settings": settings,
        "target_name": "keras",
        "distributed": distributed,
        "norms": list(norms(settings)) if distributed else [],
    }
