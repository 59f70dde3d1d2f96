"""When arrays are equal, and which layer is to blame for values that are not."""

import math

import numpy as np
import pytest

from seqgen.ir.graph import Order
from seqgen.verify.compare import difference, tolerance
from seqgen.verify.divergence import (
    Expected,
    Value,
    first_divergence,
    laid_out,
    masks_of,
    told_apart,
)
from seqgen.verify.placing import mentioned
from tests.cases import graph_of


def arrays(*values: float) -> list[np.ndarray]:
    return [np.array([value, 1.0]) for value in values]


LAYERS = [
    Expected(name, array, reads=(read,))
    for name, read, array in zip("abcd", "xabc", arrays(1, 2, 3, 4), strict=True)
]


@pytest.mark.parametrize(
    ("values", "blamed"),
    [
        ("a1 b2 c3 d4", None),
        ("a1 b2 c9 d9", 2),
        ("a9 b9 c9 d9", 0),
        ("a1 b9 c3 d9", 1),
        (".1 .2 .3 .4", None),
        (".1 .2 .9 .9", 2),
        (".1 .9 .3 .9", 3),
        (".1 .3 .4", None),
        (".1 .9", 1),
        ("a1 c9 d9", 1),
        ("a1 c3 d9", 3),
        ("a1 c3 d4", None),
        ("a9 .1 b2 c3 d4", 0),
        (".9 a1 .9 b2 .9 c3 d4", None),
        ("", 0),
    ],
)
def test_the_first_layer_that_differs_is_blamed(values: str, blamed: int | None) -> None:
    """A value is its layer's name, or a dot, and a number."""
    made = [Value(name.strip("."), *arrays(float(number))) for name, number in values.split()]
    assert first_divergence(LAYERS, made, 1e-6) == blamed


def test_a_layer_of_another_branch_excuses_none() -> None:
    left, right, both = arrays(1, 2, 3)
    layers = [
        Expected("left", left, reads=("x",)),
        Expected("right", right, reads=("x",)),
        Expected("both", both, reads=("left", "right")),
    ]
    assert first_divergence(layers, [Value("right", right), Value("both", left + 8)], 1e-6) == 0
    assert first_divergence(layers, [Value("right", right), Value("both", both)], 1e-6) is None
    assert first_divergence(layers, [Value("left", left), Value("right", left)], 1e-6) == 1


def twice(*found: float) -> list[str]:
    """The names of values of a layer that is called twice, to give 1 and then 2."""
    items = [{"Dense": {"units": 2, "name": "one"}}, {"call": {"layer": "one", "name": "two"}}]
    graph = graph_of({"name": "net", "input": [2], "graph": items})
    layers = [Expected(node.name, *arrays(i)) for i, node in enumerate(graph.layers, 1)]
    values = [Value("one", *arrays(number)) for number in found]
    return [value.name for value in told_apart(graph, layers, values, 1e-6)]


def test_the_calls_of_a_layer_are_told_apart_by_their_values() -> None:
    assert twice(1, 2) == ["one", "two"]
    assert twice(2, 1) == ["two", "one"]
    assert twice(1, 1) == ["one", "two"]
    assert twice(2, 2) == ["two", "one"]
    assert twice(9, 1) == ["one", "two"]
    assert twice(9, 8, 7) == ["one", "two", ""]


def test_a_layer_that_changes_nothing_is_blamed_by_its_name() -> None:
    layers = [Expected("dense", *arrays(2)), Expected("dropout", *arrays(2))]
    values = [Value("dense", *arrays(2)), Value("dropout", *arrays(5))]
    assert first_divergence(layers, values, 1e-6) == 1


def test_a_value_is_expected_as_the_target_lays_it_out() -> None:
    image = np.arange(24.0).reshape(1, 2, 3, 4)
    order = Order((2, 3, 4), (2, 0, 1))
    first = image.transpose(0, 3, 1, 2)
    assert np.array_equal(laid_out(image, (0, 3, 1, 2), None), first)
    assert np.array_equal(laid_out(image.reshape(1, 24), None, order), first.reshape(1, 24))


@pytest.mark.parametrize(
    ("received", "note"),
    [
        ([[1.0, 2.0]], "shape (1, 2) instead of (2,)"),
        ([1.0, math.nan], "NaN or infinity at other places"),
        ([1.0, math.inf], "NaN or infinity at other places"),
    ],
)
def test_what_no_number_says_is_infinitely_far(received: list[float], note: str) -> None:
    found = difference(np.array([1.0, 2.0]), np.array(received))
    assert (found.error, found.note) == (math.inf, note)


def test_infinities_of_the_same_sign_at_the_same_places_are_equal() -> None:
    a = np.array([1.0, math.inf, -math.inf, math.nan])
    assert difference(a, a.copy()).error == 0.0
    assert difference(a, a * [1, -1, 1, 1]).error == math.inf


def test_a_row_of_nan_hides_no_other() -> None:
    a = np.array([[math.nan, math.nan], [1.0, 2.0]])
    assert difference(a, a.copy()).error == 0.0
    assert difference(a, a + np.array([[0.0], [0.5]])).error == 0.25
    assert difference(a, np.nan_to_num(a)).error == math.inf


def test_an_error_is_relative_to_the_largest_value() -> None:
    assert difference(np.array([0.0, 4.0]), np.array([0.1, 4.0])).error == pytest.approx(0.025)
    assert difference(np.zeros(2), np.array([0.0, 0.5])).error == 0.5


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_tolerance_is_far_from_what_a_mistake_makes(dtype: str) -> None:
    graph = graph_of({"name": "net", "input": [100], "layers": [{"Dense": 10}, {"Dense": 10}]})
    most = {"float64": 1e-9, "float32": 2e-5, "float16": 0.2, "bfloat16": 1.0}[dtype]
    assert 0 < tolerance(graph, dtype) < most


@pytest.mark.parametrize(
    ("evidence", "blamed"),
    [
        ("size mismatch for b.weight: copying a param with shape", 1),
        ('Missing key(s) in state_dict: "c.bias", "b.bias". ', 1),
        ("c.kernel: expected (3,), received (4,)", 2),
        ("weights that the model does not have: ['d.kernel']", 3),
        ("groups must divide\n        self.c = nn.Conv2d(4, 4, 3, groups=3)", 2),
        ('no\n            layers.Dense(5, activated="relu", name="d"),', 3),
        ("a b c d: abc.d", None),
        ("self.abc(x)", None),
    ],
)
def test_an_error_speaks_of_a_layer(evidence: str, blamed: int | None) -> None:
    assert mentioned("abcd", {name: name for name in "abcd"}, evidence) == blamed


def test_masks_are_joined_as_keras_joins_them() -> None:
    items = [
        {"Masking": {"name": "a", "from": "left"}},
        {"Masking": {"name": "b", "from": "right"}},
        {"Add": {"name": "sum", "from": ["a", "b"]}},
        {"Concatenate": {"name": "features", "from": ["a", "sum"]}},
        {"Concatenate": {"name": "steps", "axis": 1, "from": ["sum", "third", "b"]}},
        {"LSTM": {"units": 2, "from": "steps", "name": "read"}},
    ]
    inputs = {"left": [3, 2], "right": [3, 2], "third": [2, 2]}
    spec = {"name": "joined", "inputs": inputs, "graph": items, "outputs": ["read", "features"]}
    graph = graph_of(spec)
    kept = {"left": [1, 1, 0], "right": [1, 0, 0], "third": [0, 1]}
    entries = [np.ones((1, len(kept[name]), 2)) * np.array(kept[name])[:, None] for name in inputs]
    masks = masks_of(graph, entries, [np.zeros((1, *node.type.sizes)) for node in graph.layers])
    assert masks["sum.mask"].astype(int).tolist() == [[1, 1, 0]]
    assert masks["features.mask"].astype(int).tolist() == [[1, 1, 0]]
    assert masks["steps.mask"].astype(int).tolist() == [[1, 1, 0, 1, 1, 1, 0, 0]]
