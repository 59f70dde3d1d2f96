"""Products with constant matrices, and rows of constant tables, in Keras's words."""

from dataclasses import replace
from itertools import islice
from string import ascii_lowercase

from seqgen.importers.onnx_arrays import DTYPES, FLOATS, Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_recurrent import last_step, of_stack
from seqgen.importers.onnx_values import Stack, Value, inverse_rows, plain
from seqgen.importers.onnx_walk import Converter, Walk
from seqgen.layers.einsum import Equation


def dense(walk: Walk, x: Value, kernel: Array, bias: Array | None) -> Value:
    """A Dense over the last axis, its rows in the order in which the features come."""
    *lead, group = x.axes
    last = len(x.dims) - 1
    rows = kernel
    if len(group) > 1 and tuple(lead) == ((0,),) and all(isinstance(n, int) for n in x.dims[1:]):
        ordered = list(group) == sorted(group)
        rows = kernel if ordered else kernel.taken(0, inverse_rows(x, group))
        x = walk.arranged(replace(x, axes=((0,), tuple(sorted(group)))), (0, 1))
    elif group != (last,):
        x = walk.in_order(x)
    weights = [rows] if bias is None else [rows, bias]
    return walk.layer("Dense", x, weights=weights, units=kernel.shape[1], use_bias=bias is not None)


def _check_features(operator: Operator, x: Value, rows: int) -> None:
    if x.shape[-1] != rows:
        operator.refuse(f"expected a last axis of size {rows}, received an input {x.shown}")


def matmul(walk: Walk, operator: Operator) -> Value:
    """A Dense without a bias; one that is added behind becomes its bias. Or of two tensors."""
    x = walk.value(operator)
    if isinstance(walk.read(operator, 1), Value):
        return walk.layer("ops.matmul", walk.in_order(x), walk.in_order(walk.value(operator, 1)))
    kernel = walk.weight(operator, 1)
    if any(size != 1 for size in kernel.shape[:-2]) or not 2 <= len(kernel.shape) <= x.rank:
        operator.refuse(f"expected a constant matrix, received one of shape {kernel.shape}")
    kernel = kernel.reshaped(kernel.shape[-2:])
    _check_features(operator, x, kernel.shape[0])
    return dense(walk, x, kernel, None)


def gemm(walk: Walk, operator: Operator) -> Value:
    """A Dense of vectors."""
    x, kernel, bias = walk.value(operator), walk.weight(operator, 1, 2), walk.array(operator, 2)
    if operator.integer("transA") or x.rank != 2:
        operator.refuse("expected a batch of vectors that is not transposed", "transA")
    kernel = kernel.transposed((1, 0)) if operator.integer("transB") else kernel
    kernel = kernel.times(operator.real("alpha", 1.0))
    _check_features(operator, x, kernel.shape[0])
    units = kernel.shape[1]
    if bias is not None:
        if bias.shape not in ((), (1,), (units,), (1, 1), (1, units)):
            operator.refuse(f"expected a bias of {units} numbers, received {bias.shape}")
        bias = bias.reshaped(bias.shape[-1:]).spread((units,))
        bias = bias.times(operator.real("beta", 1.0))
    return dense(walk, x, kernel, bias)


def gather(walk: Walk, operator: Operator) -> Value:
    """An Embedding, which takes rows of a constant table; or one place of an axis."""
    read = walk.read(operator, 0)
    if isinstance(read, Value | Stack):
        return _picked(walk, operator, read)
    if not isinstance(read, Array) or operator.integer("axis") != 0 or len(read.shape) != 2:
        operator.refuse("expected a constant table of which rows are taken")
    places = walk.value(operator, 1)
    if not places.is_plain:
        places = walk.in_order(places)
    rows, columns = read.shape
    axes = (*places.axes, (len(places.dims),))
    return walk.layer(
        "Embedding", places, weights=[read], axes=axes, input_dim=rows, output_dim=columns
    )


def _picked(walk: Walk, operator: Operator, x: Value | Stack) -> Value:
    """What stands at one place of an axis."""
    places = walk.weight(operator, 1)
    if places.size != 1 or len(places.shape) > 1:
        message = f"expected one place, received {places.size}"
        operator.refuse(f"{message}; take neighbours with Slice")
    at = int(places.values().item())
    if isinstance(x, Stack):
        if places.shape or operator.integer("axis"):
            operator.refuse(Stack.advice)
        return of_stack(walk, operator, x, at)
    axis = walk.axis(operator, x, operator.integer("axis"))
    item = slice(at, at + 1 or None) if places.shape else at
    return last_step(walk, x, axis, item) or walk.cut(x, {axis: item})


def einsum(walk: Walk, operator: Operator) -> Value:
    """An EinsumDense: a tensor and a constant."""
    if len(operator.inputs) != 2:
        operator.refuse(f"expected a tensor and a constant, received {len(operator.inputs)} inputs")
    x, kernel = walk.in_order(walk.value(operator)), walk.weight(operator, 1)
    said = _labelled(operator.text("equation").replace(" ", ""), x.rank)
    try:
        equation = Equation.parse(said)
    except ValueError as error:
        operator.refuse(f"{error}; received '{said}'", "equation")
    if (len(equation.inputs), len(equation.kernel)) != (x.rank, len(kernel.shape)):
        operator.refuse(f"expected a label for each axis, received '{said}'", "equation")
    sizes = dict(zip(equation.inputs + equation.kernel, (*x.dims, *kernel.shape), strict=True))
    made = [sizes[label] for label in equation.outputs[1:]]
    shape = tuple(size if isinstance(size, int) else None for size in made)
    axes = plain(len(equation.outputs))
    return walk.layer(
        "EinsumDense", x, weights=[kernel], axes=axes, equation=said, output_shape=shape
    )


def _labelled(equation: str, rank: int) -> str:
    """An equation with labels for the axes of a tensor that an ellipsis stands for."""
    count = rank - len(equation.partition(",")[0].replace("...", ""))
    free = (letter for letter in ascii_lowercase if letter not in equation)
    return equation.replace("...", "".join(islice(free, max(0, count))))


def cast(walk: Walk, operator: Operator) -> Value:
    """Nothing where the numbers stay the same, or where only an Embedding reads them."""
    x = walk.value(operator)
    target, _ = DTYPES.get(operator.integer("to"), ("", ""))
    own = x.tensor.dtype
    followers = walk.followers(operator.outputs[0])
    looked_up = all(name == "Gather" for name in followers) and target in ("int32", "int64")
    if target == own or looked_up:
        return x
    if own not in FLOATS and target == walk.dtype:
        # A layer that scales by 1 casts, as all layers that compute do.
        return walk.layer("Rescaling", x, scale=1.0)
    message = f"from {own} to {target or 'another type'}; a spec computes in one dtype"
    return operator.refuse(message, "to")


CONVERTERS: dict[str, Converter] = {
    "Cast": cast,
    "Einsum": einsum,
    "Gather": gather,
    "Gemm": gemm,
    "MatMul": matmul,
}
