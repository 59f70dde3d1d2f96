"""Initial values of weights, drawn in NumPy from the distributions of Keras 3.

The numbers differ from Keras's own, whose generators belong to its backends; the distributions
do not. Values are drawn in float64 whatever the dtype asked for, so that a seed means the same
numbers in every dtype. The source of every rule is `keras.initializers` of Keras 3.15.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from seqgen.errors import SpecError
from seqgen.layers.arguments import short
from seqgen.layers.base import Weight
from seqgen.layers.objects import FORGET_BIAS, INITIALIZERS, Named

Shape = tuple[int, ...]
Arguments = dict[str, Any]
# Takes how many values to draw.
Sampler = Callable[[int], np.ndarray]

# The standard deviation of a standard normal distribution cut off at two standard deviations.
TRUNCATED_STDDEV = 0.87962566103423978
# Values drawn at a time: bounds the memory beside the result. Truncated draws depend on it.
BLOCK = 1 << 16

# The initializers that are VarianceScaling under another name: scale, mode, distribution.
SCALINGS: dict[str, tuple[float, str, str]] = {
    "GlorotNormal": (1.0, "fan_avg", "truncated_normal"),
    "GlorotUniform": (1.0, "fan_avg", "uniform"),
    "HeNormal": (2.0, "fan_in", "truncated_normal"),
    "HeUniform": (2.0, "fan_in", "uniform"),
    "LecunNormal": (1.0, "fan_in", "truncated_normal"),
    "LecunUniform": (1.0, "fan_in", "uniform"),
}


def array_dtype(dtype: str) -> np.dtype:
    """The NumPy dtype of a name; bfloat16 is one that NumPy does not know by itself."""
    if dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(dtype)


def generator(seed: int, key: str = "") -> Generator:
    """A random generator that depends on the seed and the key only."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def fans(
    shape: Shape,
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs an output of a kernel sums up, and the reverse, as Keras counts them.

    Axes count only if both are given. Otherwise the last two axes are inputs and outputs, and
    what stands before them is a convolution's window.
    """
    if input_axes is not None and output_axes is not None:
        inputs, outputs = ([shape[axis] for axis in axes] for axes in (input_axes, output_axes))
        return math.prod(inputs), math.prod(outputs)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def _fault(name: str, arguments: Arguments, shape: Shape) -> str | None:
    """What an initializer needs of the shape and does not find, if anything."""
    rank = len(shape)
    if name == "Identity" and rank != 2:
        return "a weight with 2 axes"
    if name == "Orthogonal" and rank < 2:
        return "a weight with at least 2 axes"
    axes = (*(arguments.get("input_axes") or ()), *(arguments.get("output_axes") or ()))
    if any(not -rank <= axis < rank for axis in axes):
        return "input_axes and output_axes that the weight has"
    if name == "Constant":
        try:
            np.broadcast_to(np.array(arguments["value"], dtype=float), shape)
        except (OverflowError, ValueError):
            return f"a weight that {short(arguments['value'])} can be broadcast to"
    return None


def _arguments(initializer: Named) -> Arguments:
    defaults = {name: default for name, (_, default) in INITIALIZERS[initializer.name].items()}
    return defaults | initializer.kwargs


def _forget_parts(initializer: Named, shape: Shape) -> list[tuple[Named, Shape]]:
    """The initializers of a bias of the gates i, f, c and o, each with the shape it fills."""
    size, inner = shape[0] // 4, initializer.kwargs["bias_initializer"]
    return [(inner, (size,)), (Named("Ones"), (size,)), (inner, (2 * size,))]


def require(initializer: Named, shape: Shape) -> None:
    """Raise a `SpecError` if the initializer cannot make values of this shape."""
    if initializer.name == FORGET_BIAS:
        for part, size in _forget_parts(initializer, shape):
            require(part, size)
        return
    fault = _fault(initializer.name, _arguments(initializer), shape)
    if fault:
        message = f"initializer '{initializer.name}' expected {fault}; received shape {shape}"
        raise SpecError(message)


def _truncated_normal(rng: Generator, size: int) -> np.ndarray:
    """Standard normal values; those beyond two standard deviations are drawn again."""
    values = rng.standard_normal(size)
    while (far := np.flatnonzero(np.abs(values) > 2.0)).size:
        values[far] = rng.standard_normal(far.size)
    return values


def _normal_sampler(arguments: Arguments, rng: Generator) -> Sampler:
    return lambda size: arguments["mean"] + arguments["stddev"] * rng.standard_normal(size)


def _truncated_sampler(arguments: Arguments, rng: Generator) -> Sampler:
    return lambda size: arguments["mean"] + arguments["stddev"] * _truncated_normal(rng, size)


def _uniform_sampler(arguments: Arguments, rng: Generator) -> Sampler:
    low, high = arguments["minval"], arguments["maxval"]
    return lambda size: low + (high - low) * rng.random(size)


def _scaling_sampler(arguments: Arguments, shape: Shape, rng: Generator) -> Sampler:
    """VarianceScaling: a variance of `scale` divided by the fan that `mode` names."""
    fan_in, fan_out = fans(shape, arguments["input_axes"], arguments["output_axes"])
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    stddev = math.sqrt(arguments["scale"] / max(1.0, fan[arguments["mode"]]))
    if arguments["distribution"] == "uniform":
        limit = math.sqrt(3.0) * stddev
        return _uniform_sampler({"minval": -limit, "maxval": limit}, rng)
    if arguments["distribution"] == "untruncated_normal":
        return _normal_sampler({"mean": 0.0, "stddev": stddev}, rng)
    return _truncated_sampler({"mean": 0.0, "stddev": stddev / TRUNCATED_STDDEV}, rng)


def _sampler(name: str, arguments: Arguments, shape: Shape, rng: Generator) -> Sampler:
    if name in SCALINGS:
        scale, mode, distribution = SCALINGS[name]
        arguments = {**arguments, "scale": scale, "mode": mode, "distribution": distribution}
        return _scaling_sampler(arguments, shape, rng)
    if name == "VarianceScaling":
        return _scaling_sampler(arguments, shape, rng)
    samplers = {
        "RandomNormal": _normal_sampler,
        "RandomUniform": _uniform_sampler,
        "TruncatedNormal": _truncated_sampler,
    }
    return samplers[name](arguments, rng)


def fill(sample: Sampler, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """An array of independent draws, made in blocks so that float64 never holds all of them."""
    values = np.empty(shape, dtype)
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        block[...] = sample(block.size)
    return values


def _orthogonal(gain: float, shape: Shape, rng: Generator) -> np.ndarray:
    """Orthonormal columns or rows, whichever are fewer, of the shape seen as a matrix.

    The signs of the decomposition are fixed, so that it is unique but for rounding in float64.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))
    return gain * (q.T if rows < columns else q).reshape(shape)


def draw(initializer: Named, shape: Shape, rng: Generator, dtype: str = "float32") -> np.ndarray:
    """Fresh values of a weight.

    Args:
        initializer: A name of `seqgen.layers.objects.INITIALIZERS` with its arguments. A seed of
            its own goes before `rng`: the same seed gives the same values every time.
        shape: Shape of the weight, in Keras layout.
        rng: The generator to draw from.
        dtype: Name of the dtype of the result.

    Raises:
        SpecError: The initializer cannot make values of this shape.
    """
    require(initializer, shape)
    if initializer.name == FORGET_BIAS:
        parts = _forget_parts(initializer, shape)
        return np.concatenate([draw(part, size, rng, dtype) for part, size in parts])
    name, arguments, kind = initializer.name, _arguments(initializer), array_dtype(dtype)
    if name in ("Zeros", "Ones", "Constant"):
        value = {"Zeros": 0, "Ones": 1}.get(name, arguments.get("value"))
        return np.broadcast_to(np.array(value), shape).astype(kind)
    if name == "Identity":
        return (arguments["gain"] * np.eye(shape[0], shape[1])).astype(kind)
    if arguments["seed"] is not None:
        rng = generator(arguments["seed"])
    if name == "Orthogonal":
        return _orthogonal(arguments["gain"], shape, rng).astype(kind)
    return fill(_sampler(name, arguments, shape, rng), shape, kind)


def _around(rng: Generator, center: float, low: float, high: float) -> Sampler:
    """Values that differ from the center, either way, by at least `low` and less than `high`."""
    return lambda size: center + rng.choice((-1.0, 1.0), size) * rng.uniform(low, high, size)


def _telling_sampler(spec: Weight, rng: Generator) -> Sampler:
    name, shape = spec.name.rpartition("/")[2], spec.shape
    if "variance" in name:
        return _around(rng, 1.0, 0.1, 0.5)
    if name in ("gamma", "scale") or (spec.initializer.name == "Ones" and len(shape) < 2):
        return _around(rng, 1.0, 0.1, 0.4)
    if name == "alpha":
        return lambda size: rng.uniform(0.06, 0.49, size)
    if name == "embeddings":
        return rng.standard_normal
    if name.endswith(("bias", "beta", "mean")) or ("kernel" not in name and len(shape) < 2):
        return _around(rng, 0.0, 0.1, 0.5)
    # The kernel of a depthwise convolution is a `kernel` too; an output of it sees one channel.
    depthwise = "depthwise" in f"{spec.key}.{name}"
    fan_in = math.prod(shape[:-2]) if depthwise else fans(shape)[0]
    return _normal_sampler({"mean": 0.0, "stddev": 1 / math.sqrt(max(1, fan_in))}, rng)


def draw_telling(spec: Weight, rng: Generator, dtype: str = "float32") -> np.ndarray:
    """Values for a comparison, such that every term of a layer changes its result.

    Biases, offsets and means are away from 0, factors and variances positive and away from 1,
    kernels without symmetry and scaled by the root of their inputs, so that deep stacks neither
    grow nor fade. Integers stay integers.

    Args:
        spec: The weight. Its name says what part it plays.
        rng: The generator to draw from.
        dtype: Name of the dtype of the result.
    """
    kind = array_dtype(dtype)
    if np.issubdtype(kind, np.integer):
        return rng.integers(1, 100, spec.shape).astype(kind)
    return fill(_telling_sampler(spec, rng), spec.shape, kind)


def __getattr__(name: str) -> Any:
    """An initializer by its Keras name, as layers take it: `HeNormal(seed=1)`."""
    from seqgen.spec.functions import find

    return find("initializers", name)
