"""What passes say about windows: amounts, steps, and that nothing else comes into the graph."""

import itertools
from typing import Any

import pytest

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model
from seqgen.passes.adaptive import even_step, windows
from seqgen.passes.ceil_mode import most_pads
from seqgen.passes.cropping import crop
from seqgen.passes.padding import same_pads
from seqgen.targets import TARGETS
from tests.cases import graph_of


def lowered(target: str, shape: list[int | None], *layers: Any, layout: str = "native") -> Model:
    graph = graph_of({"name": "example", "input": shape, "layers": list(layers)})
    return TARGETS[target].lower(graph, layout)


def kinds(model: Model) -> list[str]:
    return [node.kind for node in model.nodes[1:]]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("count", range(1, 9))
def test_adaptive_windows_cover_the_axis(size: int, count: int) -> None:
    found = windows(size, count)
    assert found[0][0] == 0
    assert sum(found[-1]) == size
    assert all(sum(before) >= after[0] for before, after in itertools.pairwise(found))
    step = even_step(size, count)
    if step:
        assert found == [(i * step[1] if count > 1 else 0, step[0]) for i in range(count)]
        assert (size - step[0]) // step[1] + 1 == count


@pytest.mark.parametrize("window", range(1, 7))
@pytest.mark.parametrize("stride", range(1, 5))
def test_pads_of_open_sizes_hold_for_every_size(window: int, stride: int) -> None:
    amounts = most_pads(window, stride)
    known = [same_pads(size, window, stride) for size in range(1, 40)]
    if amounts:
        assert {before for before, _ in known} == {amounts[0]}
        assert max(after for _, after in known) == amounts[1]
    else:
        assert stride > 1


@pytest.mark.parametrize("span", range(1, 8))
@pytest.mark.parametrize("stride", range(1, 5))
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_crop_leaves_what_keras_leaves(span: int, stride: int, padding: str) -> None:
    before, after = crop(span, stride, padding, None)
    whole = 4 * stride + span
    expected = 5 * stride if padding == "same" else whole + max(0, stride - span)
    assert whole - before - after == expected
    assert before >= 0
    assert after - before in (0, 1) or (before == 0 and after < 0)


CNN = (
    {"Conv2D": {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"}},
    {"MaxPooling2D": {"pool_size": 2, "padding": "same"}},
    {"SeparableConv2D": {"filters": 6, "kernel_size": 3, "padding": "same"}},
    {"AveragePooling2D": {"pool_size": 3, "strides": 2, "padding": "same"}},
    {"Conv2DTranspose": {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"}},
    "GlobalAveragePooling2D",
    {"Dense": 3},
)


@pytest.mark.parametrize("target", ["torch", "onnx"])
def test_a_network_is_just_its_layers(target: str) -> None:
    assert kinds(lowered(target, [9, 8, 3], *CNN)) == [
        "Conv2D",
        "Activation",
        "MaxPooling2D",
        "DepthwiseConv2D",
        "Conv2D",
        "AveragePooling2D",
        "Conv2DTranspose",
        "GlobalAveragePooling2D",
        "Dense",
    ]


def test_the_layout_of_the_spec_costs_one_transpose() -> None:
    assert kinds(lowered("onnx", [9, 8, 3], *CNN, layout="spec")).count("Transpose") == 1


def test_global_pooling_takes_its_axes_where_they_are() -> None:
    embedding = {"Embedding": {"input_dim": 5, "output_dim": 4}}
    graph = lowered("onnx", [7], embedding, "GlobalAveragePooling1D")
    assert kinds(graph)[-1] == "GlobalAveragePooling1D"
    assert "Transpose" not in kinds(graph)
    assert graph.nodes[-1].layer.reduced_axes == (1,)
    assert lowered("onnx", [5, 4, 3], "GlobalAveragePooling2D").nodes[0].perm == (0, 3, 1, 2)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"AdaptiveMaxPooling2D": [3, 2]}, ["MaxPooling2D"]),
        ({"AdaptiveMaxPooling2D": 1}, ["GlobalMaxPooling2D"]),
        ({"AdaptiveAveragePooling2D": [4, 2]}, ["AveragePooling2D", "UnevenPooling"]),
        ({"AdaptiveAveragePooling2D": [4, 5]}, ["UnevenPooling", "UnevenPooling"]),
        ({"AdaptiveAveragePooling2D": [6, 8]}, ["Identity"]),
    ],
)
def test_adaptive_pooling_in_onnx(layer: dict[str, Any], expected: list[str]) -> None:
    assert kinds(lowered("onnx", [6, 8, 3], layer)) == expected
    assert kinds(lowered("torch", [6, 8, 3], layer)) == list(layer)


def test_adaptive_pooling_of_open_sizes_is_refused() -> None:
    message = "AdaptiveMaxPooling1D .*target 'onnx' cannot say output_size=.*fixed size"
    with pytest.raises(UnsupportedError, match=message):
        lowered("onnx", [None, 3], {"AdaptiveMaxPooling1D": 2})
