"""Normalization of PyTorch in Keras's words: axes of the spec, weights of features."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from seqgen.importers.torch_walk import Value, Walk

Converter = Callable[[Walk, Any], None]


def _scaled(walk: Walk, module: Any) -> list[Value]:
    tensors = (module.weight, module.bias)
    return [walk.features(tensor) for tensor in tensors if tensor is not None]


def _scale_and_center(module: Any) -> dict[str, bool]:
    return {"scale": module.weight is not None, "center": module.bias is not None}


def batch_norm(ranks: tuple[int, ...]) -> Converter:
    """A BatchNormalization of inputs with some numbers of axes."""

    def convert(walk: Walk, module: Any) -> None:
        if walk.rank not in ranks:
            expected = " or ".join(map(str, ranks))
            walk.refuse(f"expected an input with {expected} axes, received {walk.shown}")
        if module.running_mean is None or module.running_var is None:
            message = "false, so that batches are normalized in inference too; Keras cannot"
            walk.refuse(message, "track_running_stats")
        if module.momentum is None:
            walk.refuse("null, the mean of all batches, which Keras does not have", "momentum")
        walk.require_channels(module.num_features, "num_features")
        moving = [walk.features(module.running_mean), walk.features(module.running_var)]
        walk.emit(
            "BatchNormalization",
            *_scaled(walk, module),
            *moving,
            axis=walk.axis(1),
            momentum=float(1 - Decimal(repr(module.momentum))),
            epsilon=module.eps,
            **_scale_and_center(module),
        )

    return convert


def group_norm(walk: Walk, module: Any) -> None:
    """A GroupNormalization over the axis behind the batch."""
    walk.require_channels(module.num_channels, "num_channels")
    _grouped(walk, module, module.num_groups)


def instance_norm(rank: int) -> Converter:
    """A GroupNormalization with a group of each channel."""

    def convert(walk: Walk, module: Any) -> None:
        walk.require_rank(rank)
        if module.track_running_stats:
            message = "true: Keras normalizes each sample in inference too, as it does in training"
            walk.refuse(message, "track_running_stats")
        if module.affine:
            walk.require_channels(module.num_features, "num_features")
        _grouped(walk, module, -1)

    return convert


def _grouped(walk: Walk, module: Any, groups: int) -> None:
    scaling = _scale_and_center(module)
    weights = _scaled(walk, module)
    axis = walk.axis(1)
    walk.emit(
        "GroupNormalization", *weights, groups=groups, axis=axis, epsilon=module.eps, **scaling
    )


def _normalized(walk: Walk, module: Any) -> int | tuple[int, ...]:
    """The axes of `normalized_shape`, which are PyTorch's last ones."""
    walk.to_first()
    shape = tuple(module.normalized_shape)
    if walk.sizes[-len(shape) :] != shape:
        message = f"expected an input that ends in {shape}, received {walk.shown}"
        walk.refuse(message, "normalized_shape")
    return -1 if len(shape) == 1 else tuple(range(walk.rank - len(shape), walk.rank))


def layer_norm(walk: Walk, module: Any) -> None:
    """A LayerNormalization over PyTorch's last axes."""
    axis, scaling = _normalized(walk, module), _scale_and_center(module)
    weights = _scaled(walk, module)
    walk.emit("LayerNormalization", *weights, axis=axis, epsilon=module.eps, **scaling)


def rms_norm(walk: Walk, module: Any) -> None:
    """An RMSNormalization; without `eps` its epsilon is that of the dtype, as in PyTorch."""
    if module.weight is None:
        walk.refuse("false, and Keras always has a scale", "elementwise_affine")
    epsilon = module.eps
    if epsilon is None:
        if walk.dtype not in ("float32", "float64"):
            walk.refuse(f"null, which hangs on the device for {walk.dtype}; give one", "eps")
        epsilon = float(np.finfo(walk.dtype).eps)
    axis = _normalized(walk, module)
    weight = walk.features(module.weight)
    walk.emit("RMSNormalization", weight, axis=axis, epsilon=epsilon)


CONVERTERS: dict[str, Converter] = {
    "BatchNorm1d": batch_norm((2, 3)),
    "BatchNorm2d": batch_norm((4,)),
    "BatchNorm3d": batch_norm((5,)),
    "GroupNorm": group_norm,
    "LayerNorm": layer_norm,
    "RMSNorm": rms_norm,
    **{f"InstanceNorm{rank}d": instance_norm(rank) for rank in (1, 2, 3)},
}
