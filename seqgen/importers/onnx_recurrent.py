"""Recurrent operators of ONNX in Keras's words: gates and biases in Keras's order, time second."""

from dataclasses import replace
from typing import Any

import numpy as np

from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Operator
from seqgen.importers.onnx_gates import activations
from seqgen.importers.onnx_values import Stack, Value, Zeros, plain
from seqgen.importers.onnx_walk import Converter, Walk

KINDS = {"GRU": "GRU", "LSTM": "LSTM", "RNN": "SimpleRNN"}
# For each of Keras's gates where ONNX has it: i, f, c, o among i, o, f, c; z, r, h alike.
GATES = {"GRU": (0, 1, 2), "LSTM": (0, 2, 3, 1), "RNN": (0,)}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
# Inputs that Keras's layers do not have, by their places.
LENGTHS, PEEPHOLES = 4, 7
STATES = {5: "initial_h", 6: "initial_c"}


def recurrent(walk: Walk, operator: Operator) -> tuple[Value | None, ...]:
    """A recurrent layer, in a Bidirectional if it goes both ways: all outputs, and the last ones.

    What a file makes of the last steps is taken off all steps where it makes those as well.
    """
    _check(walk, operator)
    count = _directions(operator)
    x = walk.value(operator)
    if x.rank != 3:
        operator.refuse(f"expected steps of batches of vectors, received an input {x.shown}")
    x = walk.arranged(x, (1, 0, 2))
    weights = _weights(walk, operator, count)
    read = [bool(name and walk.network.readers[name]) for name in operator.outputs]
    given = {**_arguments(operator, weights[0], count), "return_sequences": read[0]}
    y = _called(walk, operator, x, weights, given)
    if not read[0]:
        return None, _of_directions(walk, y, count), None
    last = _last(walk, operator, y, given["units"]) if any(read[1:2]) else None
    steps = _of_directions(walk, y, count)
    return steps, last and _of_directions(walk, last, count), None


def _check(walk: Walk, operator: Operator) -> None:
    """Raise an `UnsupportedError` for what Keras's layers cannot do."""
    if operator.reads(LENGTHS):
        message = "it is given the lengths of its sequences (sequence_lens)"
        operator.refuse(f"{message}; export it without, so that all steps count")
    if operator.reads(PEEPHOLES):
        operator.refuse("it has peepholes (P), which Keras's LSTM has not")
    if "clip" in operator.attributes:
        operator.refuse("Keras does not clip what goes into activations", "clip")
    for name in ("input_forget", "layout"):
        if operator.integer(name):
            operator.refuse(f"expected 0, received {operator.integer(name)}", name)
    for place, name in STATES.items():
        if operator.reads(place) and not _is_zero(walk, operator, place):
            message = f"it begins with a state that is given ({name}), where layers of a spec begin"
            operator.refuse(f"{message} with zeros; export it without")


def _is_zero(walk: Walk, operator: Operator, place: int) -> bool:
    found = walk.read(operator, place)
    return isinstance(found, Zeros) or (isinstance(found, Array) and not found.values().any())


def _directions(operator: Operator) -> int:
    direction = operator.text("direction", "forward")
    if direction not in DIRECTIONS:
        operator.refuse(f"expected one of {', '.join(DIRECTIONS)}: {direction!r}", "direction")
    return DIRECTIONS[direction]


# Arguments and weights


def _arguments(operator: Operator, weights: list[Array], count: int) -> dict[str, Any]:
    """The arguments of the layer of one direction."""
    units = weights[1].shape[0]
    said = operator.integer("hidden_size", units)
    if said != units:
        operator.refuse(f"expected {units} as in its weights, received {said}", "hidden_size")
    given = {"units": units, "use_bias": len(weights) > 2, **activations(operator, count)}
    if operator.kind == "GRU":
        given["reset_after"] = _resets_after(operator)
    return given


def _resets_after(operator: Operator) -> bool:
    return bool(operator.integer("linear_before_reset"))


def _weights(walk: Walk, operator: Operator, count: int) -> list[list[Array]]:
    """For each direction the kernel, the recurrent kernel and the bias, as Keras has them."""
    gates = len(GATES[operator.kind])
    kernel, states = walk.weight(operator, 1, 3), walk.weight(operator, 2, 3)
    biases = walk.array(operator, 3)
    units = states.shape[-1]
    width = gates * units
    expected = [(count, width, kernel.shape[-1]), (count, width, units), (count, 2 * width)]
    given = [kernel, states, *([] if biases is None else [biases])]
    received = [array.shape for array in given]
    if received != expected[: len(given)] or not units:
        operator.refuse(f"expected weights {expected}, received {received}")
    return [_of_one(operator, [_taken(array, way) for array in given]) for way in range(count)]


def _taken(array: Array, way: int) -> Array:
    """What an array holds for one direction."""
    if array.shape[0] > 1:
        array = array.taken(0, np.array([way]))
    return array.reshaped(array.shape[1:])


def _of_one(operator: Operator, arrays: list[Array]) -> list[Array]:
    """The weights of one direction: each column of a gate, and of the gates in Keras's order."""
    kernel, states, *biases = arrays
    kernel, states = (_ordered(operator, array).transposed((1, 0)) for array in (kernel, states))
    for both in biases:
        rows = both.reshaped((2, both.size // 2))
        if operator.kind == "GRU" and _resets_after(operator):
            return [kernel, states, rows]
        # Both are added to the same sum.
        return [kernel, states, _ordered(operator, rows.summed())]
    return [kernel, states]


def _ordered(operator: Operator, array: Array) -> Array:
    """An array with the gates along its first axis in Keras's order."""
    order = GATES[operator.kind]
    if order == tuple(range(len(order))):
        return array
    units = array.shape[0] // len(order)
    places = np.arange(array.shape[0]).reshape(len(order), units)[list(order)]
    return array.taken(0, places.reshape(-1))


# Layers


def _called(
    walk: Walk, operator: Operator, x: Value, weights: list[list[Array]], given: dict[str, Any]
) -> Value:
    """The layer on an input whose steps stand behind the batch."""
    kind, axes = KINDS[operator.kind], plain(3 if given["return_sequences"] else 2)
    own = [array for arrays in weights for array in arrays]
    if len(weights) > 1:
        return walk.layer("Bidirectional", x, weights=own, axes=axes, layer={kind: given})
    if operator.text("direction", "forward") == "forward":
        return walk.layer(kind, x, weights=own, axes=axes, **given)
    y = walk.layer(kind, x, weights=own, axes=axes, go_backwards=True, **given)
    # Keras gives the outputs in the order in which it made them.
    return walk.cut(y, {1: slice(None, None, -1)}) if given["return_sequences"] else y


def _last(walk: Walk, operator: Operator, y: Value, units: int) -> Value:
    """The last output of each direction, off those of all steps; backwards that is the first."""
    ends = {"forward": (-1,), "reverse": (0,), "bidirectional": (-1, 0)}
    places = ends[operator.text("direction", "forward")]
    if len(places) == 1:
        return walk.cut(y, {1: places[0]})
    halves = (slice(0, units), slice(units, None))
    parts = [walk.cut(y, {1: at, 2: half}) for at, half in zip(places, halves, strict=True)]
    return walk.layer("Concatenate", *parts, name="", axes=plain(2))


def _of_directions(walk: Walk, y: Value, count: int) -> Value:
    """Outputs as the file has them: an axis for the directions, and the batch behind that."""
    # Time stands first, if it is there.
    time, last = y.axes[1:-1], len(y.dims) - 1
    if count == 1:
        return replace(y, axes=(*time, (), (0,), (last,)))
    units = y.dims[-1]
    assert isinstance(units, int)
    sizes = (*y.dims[1:-1], count, units // count)
    return walk.reshaped(y, sizes, (*time, (last,), (0,), (last + 1,)), name="")


def last_step(walk: Walk, x: Value, axis: int, item: slice | int) -> Value | None:
    """The layer that gives its last output only, where that alone is taken; None if it is not.

    Args:
        walk: The walk.
        x: The tensor of which something is taken.
        axis: The axis of the file along which it is.
        item: What is taken, a slice of one place leaving an axis.
    """
    made, steps = x.made, x.shape[axis]
    ends = (-1, steps - 1) if isinstance(steps, int) else (-1,)
    last = item in ends if isinstance(item, int) else item in [slice(at, None) for at in ends]
    if not last or made is None or made.kind not in KINDS.values() or x.axes[axis] != (1,):
        return None
    if "go_backwards" in made.arguments or not made.arguments["return_sequences"]:
        return None
    y = walk.again(x, made.weights, {**made.arguments, "return_sequences": False})
    moved = [tuple(min(place, 1) for place in group) for group in x.axes]
    kept = [() if at == axis else group for at, group in enumerate(moved)]
    axes = [group for at, group in enumerate(kept) if at != axis or isinstance(item, slice)]
    return replace(y, dims=(x.dims[0], x.dims[2]), axes=tuple(axes))


def of_stack(walk: Walk, operator: Operator, stack: Stack, at: int) -> Value:
    """What stands at one place of tensors that lie behind each other, its axis taken away."""
    sizes = [int(part.shape[0]) for part in stack.parts]
    if not -sum(sizes) <= at < sum(sizes):
        operator.refuse(f"expected one of {sum(sizes)} states, received {at}")
    at %= sum(sizes)
    for part, size in zip(stack.parts, sizes, strict=True):
        if at < size:
            return walk.cut(part, {0: at})
        at -= size
    raise AssertionError


CONVERTERS: dict[str, Converter] = dict.fromkeys(KINDS, recurrent)
