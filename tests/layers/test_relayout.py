"""Layers that take any layout say where their axes went: transposed in, transposed out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqgen.errors import SpecError
from seqgen.ir.build import input_type
from seqgen.ir.types import Permutation
from seqgen.layers import LAYERS, Activation, Dropout, PReLU, Rescaling, Softmax
from seqgen.layers.arguments import shape_of
from seqgen.layers.axes import activated
from seqgen.layers.base import Layer

FIRST = (0, 3, 1, 2)  # channels first from channels last
TURNED = (0, 2, 3, 1)


def softmax(layer: Softmax, x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(layer.axis, keepdims=True)


def rescaling(layer: Rescaling, x: np.ndarray) -> np.ndarray:
    return x * np.array(layer.scale) + np.array(layer.offset)


def noise(layer: Dropout, x: np.ndarray) -> np.ndarray:
    """A mask that tells values apart exactly along the axes that the noise has."""
    shape = [
        size if own is None else own for own, size in zip(layer.noise_shape, x.shape, strict=True)
    ]
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return x.sum(axes, keepdims=True) + 0 * x


@pytest.mark.parametrize("perm", [FIRST, TURNED, (0, 1, 2, 3)])
@pytest.mark.parametrize(
    ("layer", "compute"),
    [
        (Softmax(), softmax),
        (Softmax(1), softmax),
        (Softmax((-1, 1)), softmax),
        (Softmax(0), softmax),
        (Rescaling(2.0, 1.0), rescaling),
        (Rescaling([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0]), rescaling),
        (Rescaling([[[1.0]], [[2.0]]], [5.0]), rescaling),
        (Dropout(0.5, (None, 1, None, 1)), noise),
        (Dropout(0.5, (None, 1, 3, 4)), noise),
    ],
)
def test_values(layer: Layer, compute: Any, perm: Permutation) -> None:
    x = np.random.default_rng(1).normal(size=(5, 2, 3, 4))
    expected = compute(layer, x).transpose(perm)
    np.testing.assert_allclose(compute(layer.relayout(perm), x.transpose(perm)), expected)


@pytest.mark.parametrize(
    ("shared", "expected"), [([1, 2], (2, 3)), ([3], (1,)), ([-1], (3,)), ([0], (1,))]
)
def test_shared_axes(shared: list[int], expected: tuple[int, ...]) -> None:
    layer, x = PReLU(shared_axes=shared), input_type((5, 6, 7), "float32", "channels_last")
    turned = layer.relayout(FIRST)
    assert sorted(turned.shared_axes) == sorted(expected)
    (alpha,), (moved,) = layer.weight_types(x), turned.weight_types(x.permuted(FIRST))
    assert moved.shape == tuple(alpha.shape[axis - 1] for axis in FIRST[1:])


@pytest.mark.parametrize("name", ["glu", "softmax", "log_softmax", "sparsemax"])
@pytest.mark.parametrize(("axis", "expected"), [(-1, 1), (3, 1), (1, 2), (-2, -1)])
def test_activation_axis(name: str, axis: int, expected: int) -> None:
    turned = Activation({name: {"axis": axis}}).relayout(FIRST).activation
    assert turned.kwargs.get("axis", -1) % 4 == expected % 4


def test_what_stays_in_place_is_kept_as_written() -> None:
    assert Softmax(-1).relayout((0, 2, 1, 3)).axis == -1
    assert Activation("relu").relayout(FIRST).activation.name == "relu"
    assert PReLU().relayout(FIRST).shared_axes is None


@pytest.mark.parametrize(
    ("shape", "axis", "size"), [((4, 6), -1, 3), ((4, 6), 1, 2), ((None,), 1, None)]
)
def test_glu_halves_its_axis(shape: tuple[int | None, ...], axis: int, size: int | None) -> None:
    x = input_type(shape, "float32", "channels_last")
    y = Activation({"glu": {"axis": axis}}).output_type(x)
    assert y.shape[axis] == size


def test_glu_of_the_batch_is_refused() -> None:
    x = input_type((4,), "float32", "channels_last")
    with pytest.raises(SpecError, match="even size to halve"):
        Activation({"glu": {"axis": 0}}).output_type(x)
    layer = Activation("relu")
    assert activated(layer, x, layer.activation) is x


def test_layouts() -> None:
    # Wrappers have that of the layer inside.
    layouts = {kind.layout for kind in LAYERS.values() if isinstance(kind.layout, str)}
    assert layouts == {"any", "spec", "channels_first"}
    wrapped = LAYERS["SpectralNormalization"]({"Conv2D": {"filters": 2, "kernel_size": 3}})
    assert wrapped.layout == "channels_first"
    assert replace(wrapped, power_iterations=2).layer is wrapped.layer
    norm = LAYERS["BatchNormalization"](axis=-2)
    assert norm.channel_axis(4) == 2


def test_ragged_arrays_have_no_shape() -> None:
    assert shape_of(((1, 2), (3, 4), (5, 6))) == (3, 2)
    with pytest.raises(ValueError):  # noqa: PT011 (the caller says what was expected)
        shape_of(((1, 2), (3,)))
