"""Activations of ONNX in Keras's words."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Value
from seqgen.importers.onnx_walk import Converter, Walk


def same(walk: Walk, operator: Operator) -> Value:
    """The tensor as it is."""
    return walk.value(operator)


# Activations


def layer(kind: str, **arguments: Any) -> Converter:
    """A layer without arguments of its own, or with fixed ones."""
    return lambda walk, operator: walk.layer(kind, walk.value(operator), **arguments)


def activation(walk: Walk, x: Value, name: str, **arguments: Any) -> Value:
    """An activation function of a tensor."""
    return walk.layer("Activation", x, activation={name: arguments} if arguments else name)


def function(name: str, **arguments: tuple[str, float]) -> Converter:
    """An activation function; arguments are attributes, each given with its default."""

    def convert(walk: Walk, operator: Operator) -> Value:
        given = {
            key: walk.number(operator.real(attribute, default))
            for key, (attribute, default) in arguments.items()
        }
        return activation(walk, walk.value(operator), name, **given)

    return convert


def leaky_relu(walk: Walk, operator: Operator) -> Value:
    """A LeakyReLU; a slope below 0 is one of the function."""
    slope = walk.number(operator.real("alpha", 0.01))
    if slope < 0:
        return activation(walk, walk.value(operator), "leaky_relu", negative_slope=slope)
    return walk.layer("LeakyReLU", walk.value(operator), negative_slope=slope)


def elu(walk: Walk, operator: Operator) -> Value:
    """An ELU."""
    alpha = walk.number(operator.real("alpha", 1.0))
    return walk.layer("ELU", walk.value(operator), alpha=alpha)


def selu(walk: Walk, operator: Operator) -> Value:
    """The function with the constants that it was found with; Keras has no others."""
    expected = {"alpha": 1.6732632, "gamma": 1.0507010}
    for name, value in expected.items():
        if not math.isclose(operator.real(name, value), value, rel_tol=1e-6):
            received = operator.real(name)
            operator.refuse(f"expected {value}, received {received}; Keras has no other", name)
    return activation(walk, walk.value(operator), "selu")


def hard_sigmoid(walk: Walk, operator: Operator) -> Value:
    """The function of Keras 3, that of Keras 2, or the sparse one."""
    alpha, beta = operator.real("alpha", 0.2), operator.real("beta", 0.5)
    return activation(walk, walk.value(operator), hard_sigmoid_name(operator, alpha, beta))


def hard_sigmoid_name(operator: Operator, alpha: float, beta: float) -> str:
    """The name of the function with this slope and this offset."""
    slopes = {"hard_sigmoid": 1 / 6, "hard_sigmoid_keras_2": 0.2, "sparse_sigmoid": 0.5}
    known = (name for name, slope in slopes.items() if math.isclose(alpha, slope, rel_tol=1e-6))
    name = next(known, None)
    if name is None or beta != 0.5:
        message = f"expected alpha 1/6, 0.2 or 0.5 and beta 0.5, received {alpha} and {beta}"
        operator.refuse(f"{message}; Keras has no other")
    return name


def gelu(walk: Walk, operator: Operator) -> Value:
    """The function with the error function, or with its approximation."""
    approximate = operator.text("approximate", "none") == "tanh"
    arguments = {"approximate": True} if approximate else {}
    return activation(walk, walk.value(operator), "gelu", **arguments)


def swish(walk: Walk, operator: Operator) -> Value:
    """The function `silu`."""
    if operator.real("alpha", 1.0) != 1:
        message = f"expected 1, received {operator.real('alpha')}; Keras has no other"
        operator.refuse(message, "alpha")
    return activation(walk, walk.value(operator), "silu")


def shrink(walk: Walk, operator: Operator) -> Value:
    """A shrinkage, hard or soft."""
    edge, bias = operator.real("lambd", 0.5), operator.real("bias", 0.0)
    if bias not in (0, edge):
        operator.refuse(f"expected 0 or {edge}, received {bias}; Keras has no other", "bias")
    name = "soft_shrink" if bias else "hard_shrink"
    return activation(walk, walk.value(operator), name, threshold=walk.number(edge))


def thresholded_relu(walk: Walk, operator: Operator) -> Value:
    """`x` above a threshold, else 0."""
    edge = walk.number(operator.real("alpha", 1.0))
    return activation(walk, walk.value(operator), "threshold", threshold=edge, default_value=0.0)


def clip(walk: Walk, operator: Operator) -> Value:
    """A ReLU with a largest value, the plain `hard_tanh`, or an operation."""
    x = walk.value(operator)
    low, high = walk.scalar(operator, 1, "min"), walk.scalar(operator, 2, "max")
    limit = float(np.finfo(walk.dtype).max)
    low = None if low is None or low <= -limit else low
    high = None if high is None or high >= limit else high
    if low == 0 and (high is None or high >= 0):
        return walk.layer("ReLU", x, **({} if high is None else {"max_value": high}))
    if (low, high) == (-1, 1):
        return activation(walk, x, "hard_tanh")
    if low is None:
        return x if high is None else walk.layer("ops.minimum", x, x2=high)
    if high is None:
        return walk.layer("ops.maximum", x, x2=low)
    return walk.layer("ops.clip", x, x_min=low, x_max=high)


def _along(walk: Walk, operator: Operator, x: Value) -> int | tuple[int, ...]:
    """The axes of the spec for an axis of the file; older versions take all that follow, too."""
    coerced = operator.opset < 13
    axis = walk.axis(operator, x, operator.integer("axis", 1 if coerced else -1))
    groups = x.axes[axis:] if coerced else x.axes[axis : axis + 1]
    axes = tuple(axis for group in groups for axis in group)
    if not axes or 0 in axes:
        operator.refuse(f"expected an axis behind the batch of {x.shown}, received {axis}", "axis")
    last = len(x.dims) - 1
    return (-1 if axes[0] == last else axes[0]) if len(axes) == 1 else axes


def softmax(walk: Walk, operator: Operator) -> Value:
    """A Softmax along one or more axes."""
    x = walk.value(operator)
    return walk.layer("Softmax", x, axis=_along(walk, operator, x))


def log_softmax(walk: Walk, operator: Operator) -> Value:
    """The function along one or more axes."""
    x = walk.value(operator)
    axis = _along(walk, operator, x)
    return activation(walk, x, "log_softmax", **({} if axis == -1 else {"axis": axis}))


def prelu(walk: Walk, operator: Operator) -> Value:
    """A PReLU with slopes for some of the axes."""
    x, slopes = walk.value(operator), walk.weight(operator, 1)
    if not x.is_plain or x.axes[0] != (0,):
        x = walk.in_order(x)
    shape = (1,) * (x.rank - len(slopes.shape)) + slopes.shape
    fits = all(own in (1, size) for own, size in zip(shape, x.shape, strict=False))
    if len(shape) != x.rank or shape[0] != 1 or not fits:
        operator.refuse(f"slopes {slopes.shape} do not go with an input {x.shown}")
    order = order_of(x)
    slopes = slopes.reshaped(shape[1:]).transposed(tuple(place - 1 for place in order[1:]))
    shared = tuple(axis for axis, place in enumerate(order) if axis and shape[place] == 1)
    return walk.layer("PReLU", x, weights=[slopes], shared_axes=shared or None)


def order_of(x: Value) -> tuple[int, ...]:
    """For each axis of the spec the axis of the file, where each is one."""
    return tuple(x.axes.index((axis,)) for axis in range(x.rank))


def dropout(walk: Walk, operator: Operator) -> Value:
    """A Dropout, which does nothing in inference."""
    mode = walk.array(operator, 2)
    if mode is not None and mode.values().any():
        operator.refuse("it drops values in inference too, as Keras's layer does not")
    ratio = walk.scalar(operator, 1, "ratio")
    return walk.layer("Dropout", walk.value(operator), rate=0.5 if ratio is None else ratio)


UNARY: dict[str, Callable[[Walk, Operator], Value]] = {
    "Abs": layer("ops.absolute"),
    "Celu": function("celu", alpha=("alpha", 1.0)),
    "Cos": layer("ops.cos"),
    "Elu": elu,
    "Exp": layer("Activation", activation="exponential"),
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": layer("Activation", activation="hard_silu"),
    "Identity": same,
    "LeakyRelu": leaky_relu,
    "Log": layer("ops.log"),
    "Mish": layer("Activation", activation="mish"),
    "Neg": layer("ops.negative"),
    "Reciprocal": layer("ops.reciprocal"),
    "Relu": layer("ReLU"),
    "Selu": selu,
    "Shrink": shrink,
    "Sigmoid": layer("Activation", activation="sigmoid"),
    "Sin": layer("ops.sin"),
    "Softplus": layer("Activation", activation="softplus"),
    "Softsign": layer("Activation", activation="softsign"),
    "Sqrt": layer("ops.sqrt"),
    "Swish": swish,
    "Tanh": layer("Activation", activation="tanh"),
    "ThresholdedRelu": thresholded_relu,
}
CONVERTERS: dict[str, Converter] = {
    **UNARY,
    "Clip": clip,
    "Dropout": dropout,
    "LogSoftmax": log_softmax,
    "PRelu": prelu,
    "Softmax": softmax,
}
