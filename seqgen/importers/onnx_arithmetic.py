"""Arithmetic of ONNX: tensors with each other, and with constants."""

import numpy as np

from seqgen.importers.onnx_activations import activation, order_of
from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_values import Made, Value, plain
from seqgen.importers.onnx_walk import Converter, Walk

# The most numbers of a constant that stand in the spec itself.
MOST_NUMBERS = 1024

MERGING = {
    "Add": "Add",
    "Div": "ops.divide",
    "Max": "Maximum",
    "Mean": "Average",
    "Min": "Minimum",
    "Mul": "Multiply",
    "Pow": "ops.power",
    "Sub": "Subtract",
    "Sum": "Add",
}
WITH_NUMBER = {
    "Add": "ops.add",
    "Div": "ops.divide",
    "Max": "ops.maximum",
    "Min": "ops.minimum",
    "Mul": "ops.multiply",
    "Pow": "ops.power",
    "Sub": "ops.subtract",
}
# What a constant of several numbers may do.
OF_VECTORS = ("Add", "Div", "Mul", "Sub")
# Activations that are a tensor times another activation of it.
GATED = {"sigmoid": "silu", "hard_sigmoid": "hard_silu"}


def arithmetic(walk: Walk, operator: Operator) -> Value:
    """A layer that computes with several tensors, or with a tensor and a constant."""
    read = [walk.read(operator, place) for place in range(len(operator.inputs))]
    values = [x for x in read if isinstance(x, Value)]
    arrays = [x for x in read if isinstance(x, Array)]
    if len(values) + len(arrays) != len(read):
        operator.refuse("it computes with the sizes of a tensor, which no layer says")
    if len(values) == len(read):
        return _gated(walk, operator, values) or _merged(walk, operator, values)
    if len(read) != 2 or operator.kind not in WITH_NUMBER:
        operator.refuse("expected tensors, or one tensor and one constant")
    first = isinstance(read[0], Array)
    return _with_constant(walk, operator, values[0], arrays[0], first)


def _gated(walk: Walk, operator: Operator, xs: list[Value]) -> Value | None:
    """One activation for a product of a tensor and an activation of it; None if it is not one."""
    if operator.kind != "Mul" or len(xs) != 2:
        return None
    for x, gate in (xs, xs[::-1]):
        made = gate.made
        if made and made.kind == "Activation" and made.inputs[0].tensor is x.tensor:
            name = made.arguments["activation"]
            if name in GATED and x.axes == gate.axes:
                return activation(walk, x, GATED[name])
    return None


def _merged(walk: Walk, operator: Operator, xs: list[Value]) -> Value:
    if len(xs) == 1:
        return xs[0]
    return walk.layer(MERGING[operator.kind], *together(walk, operator, xs))


def together(walk: Walk, operator: Operator, xs: list[Value]) -> list[Value]:
    """Tensors with their axes in one order, that of the first one with axes of its own."""
    ranks = {x.rank for x in xs}
    if len(ranks) != 1:
        shapes = ", ".join(x.shown for x in xs)
        message = f"expected tensors with as many axes as each other, received {shapes}"
        operator.refuse(f"{message}; add axes with Unsqueeze")
    if all(x.axes == xs[0].axes and len(x.dims) == len(xs[0].dims) for x in xs):
        return xs
    whole = next((x for x in xs if x.is_plain and x.axes[0] == (0,)), None)
    order = range(xs[0].rank) if whole is None else order_of(whole)
    return [walk.arranged(x, order) for x in xs]


def _with_constant(walk: Walk, operator: Operator, x: Value, constant: Array, first: bool) -> Value:
    """A tensor and a constant: one number, one for each place of an axis, or a small array."""
    if constant.dtype != walk.dtype or len(constant.shape) > x.rank:
        message = f"expected a constant of {walk.dtype} with at most {x.rank} axes"
        operator.refuse(f"{message}, received {constant.dtype} of shape {constant.shape}")
    if constant.size == 1:
        number = walk.number(constant.values().item())
        if operator.kind == "Max" and number == 0:
            return walk.layer("ReLU", x)
        return walk.layer(WITH_NUMBER[operator.kind], x, **{"x1" if first else "x2": number})
    shape = (1,) * (x.rank - len(constant.shape)) + constant.shape
    if any(own not in (1, size) for own, size in zip(shape, x.shape, strict=True)):
        operator.refuse(f"a constant {constant.shape} does not go with an input {x.shown}")
    if operator.kind not in OF_VECTORS or (operator.kind in ("Div", "Sub") and first):
        message = f"with a constant of {constant.size} numbers; Keras's layers add and multiply"
        operator.refuse(f"{message} by so many only")
    if operator.kind == "Add" and _takes_einsum_bias(x):
        return _with_einsum_bias(walk, x, constant.reshaped(shape))
    own = [place for place, size in enumerate(shape) if size != 1]
    if len(own) == 1 and len(x.axes[own[0]]) == 1 and x.axes[own[0]] != (0,):
        (axis,) = x.axes[own[0]]
        vector = constant.reshaped((constant.size,))
        return _along_axis(walk, operator.kind, x, axis, vector)
    return _inline(walk, operator, x, constant.reshaped(shape))


BIASED = ("Dense", "Conv", "DepthwiseConv")


def _along_axis(walk: Walk, kind: str, x: Value, axis: int, vector: Array) -> Value:
    """The bias of the layer before, or a normalization that is frozen with statistics of its own,
    so that it moves and scales each place of an axis."""
    made, last = x.made, axis == len(x.dims) - 1
    if kind == "Div":
        kind, vector = "Mul", vector.inverted()
    if made and kind == "Add" and last and _takes_bias(made):
        return walk.again(x, (*made.weights, vector), {**made.arguments, "use_bias": True})
    scales, centers, moves = kind == "Mul", kind == "Add", kind == "Sub"
    zeros, ones = (Array.of(make(vector.shape, vector.dtype)) for make in (np.zeros, np.ones))
    if made and not moves and _is_free(made, axis, len(x.dims), "center" if centers else "scale"):
        *before, mean, variance = made.weights
        weights = (*before, vector, mean, variance)
        said = "center" if centers else "scale"
        return walk.again(x, weights, {**made.arguments, said: True})
    return walk.layer(
        "BatchNormalization",
        x,
        weights=[*([] if moves else [vector]), vector if moves else zeros, ones],
        axis=-1 if last else axis,
        epsilon=0.0,
        scale=scales,
        center=centers,
        trainable=False,
    )


def _takes_bias(made: Made) -> bool:
    return made.kind.startswith(BIASED) and not made.arguments["use_bias"]


def _is_free(made: Made, axis: int, rank: int, argument: str) -> bool:
    """Whether a layer is a frozen normalization of the same axis that does not scale (or center),
    nor do what would come behind that."""
    if made.kind != "BatchNormalization" or made.arguments.get("trainable") is not False:
        return False
    free = not made.arguments["center"] and (argument == "center" or not made.arguments["scale"])
    return free and made.arguments["axis"] % rank == axis


def _takes_einsum_bias(x: Value) -> bool:
    made = x.made
    plain_one = made is not None and made.kind == "EinsumDense" and x.axes == plain(x.rank)
    return plain_one and made is not None and "bias_axes" not in made.arguments


def _with_einsum_bias(walk: Walk, x: Value, constant: Array) -> Value:
    """The EinsumDense before, with a bias over the axes that the constant tells apart."""
    made = x.made
    assert made is not None
    outputs = made.arguments["equation"].partition("->")[2]
    labels = [label for label, size in zip(outputs, constant.shape, strict=True) if size != 1]
    first = outputs.index(labels[0])
    bias = constant.reshaped(constant.shape[first:])
    arguments = {**made.arguments, "bias_axes": "".join(labels)}
    return walk.again(x, (*made.weights, bias), arguments)


def _inline(walk: Walk, operator: Operator, x: Value, constant: Array) -> Value:
    """A Rescaling whose numbers stand in the spec."""
    if constant.size > MOST_NUMBERS:
        message = f"a constant of {constant.size} numbers; expected at most {MOST_NUMBERS}"
        operator.refuse(f"{message}, or one for each place of an axis")
    if constant.shape[0] != 1:
        operator.refuse("its constant tells the samples of a batch apart, which layers do not")
    if not x.is_plain or x.axes[0] != (0,):
        x = walk.in_order(x)
    turned = constant.transposed(order_of(x)).values()[0]
    numbers = np.vectorize(walk.number, otypes=[float])(turned).tolist()
    if operator.kind in ("Div", "Mul"):
        scale = np.reciprocal(numbers).tolist() if operator.kind == "Div" else numbers
        return walk.layer("Rescaling", x, scale=scale)
    offset = numbers if operator.kind == "Add" else np.negative(numbers).tolist()
    return walk.layer("Rescaling", x, scale=1.0, offset=offset)


CONVERTERS: dict[str, Converter] = dict.fromkeys(MERGING, arithmetic)
