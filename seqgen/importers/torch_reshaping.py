"""Modules of PyTorch that flatten, pad and repeat, in the order of axes that the spec has."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from seqgen.importers.torch_walk import Sizes, Walk

Converter = Callable[[Walk, Any], None]
# Modules that take features in any order, their weights moved alike.
ANY_ORDER = {
    *("AlphaDropout", "BatchNorm1d", "CELU", "Dropout", "ELU", "Flatten", "GELU", "Hardshrink"),
    *("Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LayerNorm", "LeakyReLU", "LogSigmoid"),
    *("LogSoftmax", "Mish", "PReLU", "RMSNorm", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid"),
    *("Softmax", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold"),
}


def _product(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def _reshape(walk: Walk, sizes: Sizes, argument: str) -> None:
    if sum(size is None for size in sizes) > 1:
        message = f"Keras can leave one size of {sizes} open; fix the others of {walk.shown}"
        walk.refuse(message, argument)
    walk.emit("Reshape", target_shape=tuple(-1 if size is None else size for size in sizes))


def flatten(walk: Walk, module: Any) -> None:
    """A Flatten, or a Reshape for some of the axes."""
    start, end = walk.dim(module.start_dim, "start_dim"), walk.dim(module.end_dim, "end_dim")
    if start > end:
        walk.refuse(f"expected an axis up to end_dim={end}, received {start}", "start_dim")
    if start == 1 and end == walk.rank - 1:
        _flatten_all(walk)
    elif start == end:
        walk.emit("Identity")
    else:
        walk.to_first()
        sizes = walk.sizes
        merged = (*sizes[: start - 1], _product(sizes[start - 1 : end]), *sizes[end:])
        _reshape(walk, merged, "start_dim")


def _flatten_all(walk: Walk) -> None:
    """Channels last where that changes no order, or where the next Dense makes up for it."""
    sizes = walk.sizes
    if walk.last and 1 not in (sizes[0], _product(sizes[1:])):
        others = (kind for kind in walk.following if kind not in ANY_ORDER)
        if walk.type.static and next(others, "") == "Linear":
            walk.order = tuple(size for size in sizes if size is not None)
        else:
            walk.to_first()
    walk.emit("Flatten")
    walk.last = False


def unflatten(walk: Walk, module: Any) -> None:
    """A Reshape."""
    if not isinstance(module.dim, int):
        walk.refuse(f"expected the number of an axis, received {module.dim!r}", "dim")
    dim = walk.dim(module.dim)
    walk.to_first()
    given = tuple(module.unflattened_size)
    size = walk.sizes[dim - 1]
    if -1 in given and size is not None:
        rest = math.prod(n for n in given if n != -1)
        given = tuple(size // rest if n == -1 else n for n in given)
    inner: Sizes = tuple(None if n == -1 else n for n in given)
    if _product(inner) != size:
        message = f"expected sizes of {size} values, received {module.unflattened_size}"
        walk.refuse(message, "unflattened_size")
    _reshape(walk, (*walk.sizes[: dim - 1], *inner, *walk.sizes[dim:]), "unflattened_size")


def changes_nothing(kind: str, module: Any, spatial: Sequence[int | None]) -> bool:
    """Whether a module pads or repeats an input of these sizes by nothing."""
    if kind == "Upsample":
        given = module.scale_factor if module.size is None else module.size
        each = _each(given, len(spatial))
        return each == (1,) * len(spatial) if module.size is None else each == tuple(spatial)
    return kind.startswith(PADDING) and not any(module.padding)


def _each(value: Any, rank: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,) * rank


def zero_padding(rank: int) -> Converter:
    """A ZeroPadding."""

    def convert(walk: Walk, module: Any) -> None:
        walk.require_rank(rank)
        amounts = tuple(module.padding)
        if not any(amounts):
            walk.emit("Identity")
            return
        walk.to_last()
        if min(amounts) < 0:
            message = f"expected no negative amounts, received {amounts}; Keras crops by a layer"
            walk.refuse(message, "padding")
        if module.value != 0:
            walk.refuse(f"{module.value}: Keras's layers pad with zeros only", "value")
        # PyTorch counts from the last axis.
        margins = tuple(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
        walk.emit(f"ZeroPadding{rank}D", padding=margins)

    return convert


PADDING = ("ZeroPad", "ConstantPad")
MODES = {"nearest": "nearest", "nearest-exact": "nearest", "bilinear": "bilinear"}


def upsample(walk: Walk, module: Any) -> None:
    """An UpSampling by whole factors."""
    rank = walk.rank - 2
    if rank not in (1, 2, 3):
        walk.refuse(f"expected an input with 3 to 5 axes, received {walk.shown}")
    if module.mode not in MODES:
        hint = "Keras has nearest, and bilinear for images; its bicubic is another function"
        walk.refuse(f"'{module.mode}': {hint}", "mode")
    if module.align_corners:
        walk.refuse("true: Keras never aligns corners", "align_corners")
    factors = _factors(walk, module, rank)
    if set(factors) == {1}:
        walk.emit("Identity")
        return
    walk.to_last()
    if rank == 2:
        walk.emit("UpSampling2D", size=factors, interpolation=MODES[module.mode])
    else:
        walk.emit(f"UpSampling{rank}D", size=factors[0] if rank == 1 else factors)


def _factors(walk: Walk, module: Any, rank: int) -> tuple[int, ...]:
    argument = "scale_factor" if module.size is None else "size"
    given = getattr(module, argument)
    each = _each(given, rank)
    if argument == "size":
        pairs = list(zip(each, walk.spatial, strict=True))
        whole = all(before is not None and after % before == 0 for after, before in pairs)
        factors = [after // (before or 1) for after, before in pairs]
    else:
        whole = all(factor >= 1 and factor == int(factor) for factor in each)
        factors = [int(factor) for factor in each]
    if not whole:
        message = f"expected whole factors of an input {walk.shown}, received {given}"
        walk.refuse(message, argument)
    return tuple(factors)


CONVERTERS: dict[str, Converter] = {
    "Flatten": flatten,
    "Unflatten": unflatten,
    "Upsample": upsample,
    **{f"ZeroPad{rank}d": zero_padding(rank) for rank in (1, 2, 3)},
    **{f"ConstantPad{rank}d": zero_padding(rank) for rank in (1, 2, 3)},
}
