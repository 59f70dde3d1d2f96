"""Cropping and upsampling as targets have it, and what they cannot say of it."""

import numpy as np

from seqgen.ir.graph import Node

# An end that stands behind every axis.
ENDLESS = 2**63 - 1
# Lobes on each side of the kernels that Keras knows.
LOBES = {"lanczos3": 3, "lanczos5": 5}


def slices(node: Node) -> tuple[list[int], list[int], list[int]]:
    """Starts, ends and axes of what a cropping leaves of a channels-first tensor."""
    cuts = [(axis, *cut) for axis, cut in enumerate(node.layer.cropping, 2) if any(cut)]
    return (
        [before for _, before, _ in cuts],
        [-after if after else ENDLESS for _, _, after in cuts],
        [axis for axis, _, _ in cuts],
    )


def padded(node: Node) -> list[int]:
    """Amounts of zeros before every axis of a channels-first tensor, then after every axis."""
    before, after = zip(*node.layer.padding, strict=True)
    return [0, 0, *before, 0, 0, *after]


def open_sizes(sizes: tuple[int | str, ...]) -> list[int]:
    """Sizes with -1 for the one that is open."""
    return [size if isinstance(size, int) else -1 for size in sizes]


def factors(node: Node) -> tuple[int, ...]:
    """How many times each spatial axis grows."""
    size = node.layer.size
    return (size,) if isinstance(size, int) else size


def interpolation(node: Node) -> str:
    """How values between are found. By whole factors, an area lies within one value."""
    name = getattr(node.layer, "interpolation", "nearest")
    return "nearest" if name == "area" else name


def nearest_mode(node: Node) -> str:
    """PyTorch's mode that repeats values.

    `nearest` multiplies by 1 / factor in float32, which for some factors (41 is the first) falls
    just short of the next value.
    """
    short = any(np.float32(n) * np.float32(1 / n) < 1 for n in factors(node))
    return "nearest-exact" if short else "nearest"


def open_lanczos(node: Node) -> str | None:
    """Why ONNX cannot say an interpolation."""
    if node.kind != "UpSampling2D" or interpolation(node) not in LOBES or node.type.static:
        return None
    return (
        f"cannot say interpolation='{node.layer.interpolation}' for the open sizes "
        f"{node.type.keras_shape}: it has no such operator, and the weights hang on the sizes; "
        "give the input a fixed size, or use 'bilinear' or 'bicubic'"
    )


def rounded_bicubic(node: Node) -> str | None:
    """Why a target cannot say a bicubic interpolation."""
    if node.kind != "UpSampling2D" or interpolation(node) != "bicubic":
        return None
    if all(n & (n - 1) == 0 for n in factors(node)):
        return None
    return (
        f"cannot say interpolation='bicubic' with size={node.layer.size}: TensorFlow rounds the "
        "places to 1/1024, so that Keras's own backends disagree; use factors that are powers "
        "of 2, or 'bilinear'"
    )


FUNCTIONS = {
    "slices": slices,
    "open_sizes": open_sizes,
    "factors": factors,
    "interpolation": interpolation,
    "nearest_mode": nearest_mode,
    "lobes": LOBES.get,
}
