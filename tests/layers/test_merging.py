"""Layers with several inputs: how they are called, their functions, and what masks they join."""

from typing import Any

import pytest

import seqgen
from seqgen import layers
from seqgen.errors import SpecError
from seqgen.ir.graph import Model
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer
from seqgen.passes.merging import equation_of

FUNCTIONS = [
    ("add", {}),
    ("subtract", {}),
    ("multiply", {}),
    ("average", {}),
    ("maximum", {}),
    ("minimum", {}),
    ("concatenate", {}),
    ("concatenate", {"axis": 1}),
    ("dot", {}),
    ("dot", {"axes": 2, "normalize": True}),
]


def made(library: Any, function: str, arguments: dict[str, Any]) -> Any:
    inputs = [library.Input((5, 4)), library.Input((5, 4))]
    output = getattr(library.layers, function)(inputs, **arguments)
    return library.Model(inputs, output)


@pytest.mark.parametrize(("function", "arguments"), FUNCTIONS)
def test_function_is_a_call_of_the_layer(function: str, arguments: dict[str, Any]) -> None:
    model = made(seqgen, function, {**arguments, "name": "merged"})
    layer = model.layers[-1]
    assert type(layer).__name__ == function.capitalize()
    assert layer.name == "merged"
    assert all(getattr(layer, name) == value for name, value in arguments.items())
    keras = pytest.importorskip("keras")
    keras.utils.clear_session()
    expected = made(keras, function, arguments)
    again = made(seqgen, function, arguments)
    assert again.output_shape == expected.output_shape
    assert again.layers[-1].name == expected.layers[-1].name


def test_takes_a_list() -> None:
    x, y = seqgen.Input((4,)), seqgen.Input((4,))
    assert layers.Add()([x, y]).shape == (None, 4)
    for inputs in ((x,), (x, y)):
        with pytest.raises(SpecError, match="Add: expected a list of tensors, received"):
            layers.Add()(*inputs)


@pytest.mark.parametrize(
    ("within", "words"),
    [
        (lambda: layers.Add(), "a stack gives one tensor, and it takes a list; make a Model"),
        (lambda: layers.TimeDistributed(layers.Add()), "which only a graph gives"),
    ],
)
def test_stands_in_no_stack(within: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        seqgen.Sequential([seqgen.Input((5, 4)), within()])


@pytest.mark.parametrize(
    ("layer", "dtypes", "words"),
    [
        (layers.Add(), ("int32", "int64"), "one dtype, received int32, int64"),
        (layers.Average(), ("int32", "int32"), "floating numbers, received int32"),
        (layers.Dot(1), ("int32", "int32"), "floating numbers, received int32"),
    ],
)
def test_dtypes(layer: Layer, dtypes: tuple[str, str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        layer.output_type(*(TensorType.of((4,), dtype) for dtype in dtypes))


@pytest.mark.parametrize(
    ("ranks", "places", "equation"),
    [
        ((3, 3), (2, 2), "abc,adc->abd"),
        ((3, 3), (1, 1), "abc,abd->acd"),
        ((2, 3), (1, 2), "ab,acb->ac"),
        ((4, 2), (3, 1), "abcd,ad->abc"),
        ((4, 5), (1, 3), "abcd,aefbg->acdefg"),
    ],
)
def test_equations(ranks: tuple[int, int], places: tuple[int, int], equation: str) -> None:
    assert equation_of(ranks, places) == equation


def masked(shape: tuple[int, ...], value: float) -> Any:
    x = seqgen.Input(shape)
    return x, layers.Masking(value)(x)


def joined(layer: Layer, *shapes: tuple[int, ...], masks: str) -> Model:
    """The graph of a layer whose inputs have masks where there is an x."""
    pairs = [masked(shape, float(number)) for number, shape in enumerate(shapes)]
    read = [y if mask == "x" else x for (x, y), mask in zip(pairs, masks, strict=True)]
    return seqgen.Model([x for x, _ in pairs], layer(read)).graph()


@pytest.mark.parametrize(
    ("layer", "shapes", "masks", "shape"),
    [
        (layers.Add(), [(5, 4), (5, 4)], "xx", (None, 5)),
        (layers.Add(), [(5, 4), (5, 4)], "x-", None),
        (layers.Multiply(), [(5, 4), (1, 4)], "xx", (None, 5)),
        (layers.Maximum(), [(5, 4), (4,)], "x-", None),
        (layers.Concatenate(), [(5, 4), (5, 3)], "xx", (None, 5)),
        # Every step is kept.
        (layers.Concatenate(), [(5, 4), (5, 3)], "x-", None),
        (layers.Concatenate(1), [(5, 4), (3, 4)], "-x", (None, 8)),
        (layers.Concatenate(1), [(5, 4), (3, 4)], "--", None),
        (layers.Dot(2), [(5, 4), (3, 4)], "xx", None),
    ],
)
def test_joined_masks(
    layer: Layer, shapes: list[Any], masks: str, shape: tuple[int | None, ...] | None
) -> None:
    graph = joined(layer, *shapes, masks=masks)
    node = graph.by_name[graph.outputs[0]]
    assert (node.mask == node.name) == (shape is not None)
    if shape is not None:
        known = zip(shapes, masks, strict=True)
        types = [TensorType.of(of[:-1], "bool") if mask == "x" else None for of, mask in known]
        xs = tuple(source.type for source in graph.sources_of(node))
        assert layer.joined_mask(xs, tuple(types)).keras_shape == shape


WORDS = TensorType.of((5, 6, 4), "float32")
OF_WORDS = TensorType.of((5, 6), "bool")
OF_STEPS = TensorType.of((5,), "bool")


@pytest.mark.parametrize(
    ("layer", "masks"),
    [
        (layers.Add(), (OF_WORDS, OF_STEPS)),
        (layers.Multiply(), (OF_STEPS, None)),
        (layers.Maximum(), (OF_STEPS, OF_STEPS)),
        (layers.Concatenate(), (OF_WORDS, OF_STEPS)),
        (layers.Concatenate(1), (None, OF_STEPS)),
    ],
)
def test_masks_that_do_not_fit(layer: Layer, masks: Any) -> None:
    def use() -> None:
        layer.check_call((WORDS, WORDS), masks, {})
        layer.joined_mask((WORDS, WORDS), masks)

    with pytest.raises(SpecError, match="mask"):
        use()
