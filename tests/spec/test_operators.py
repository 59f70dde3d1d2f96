"""Python's operators on symbolic tensors: the operations that Keras makes of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen import layers, ops
from seqgen.errors import SpecError

keras = pytest.importorskip("keras")

EXPRESSIONS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x + 1,
    lambda x, y: 1.5 + x,
    lambda x, y: x - y,
    lambda x, y: 1 - x,
    lambda x, y: x * 0.5,
    lambda x, y: 2 * x,
    lambda x, y: x / y,
    lambda x, y: 1 / x,
    lambda x, y: x**2,
    lambda x, y: 2.0**x,
    lambda x, y: -x,
    lambda x, y: abs(x),
    lambda x, y: x @ y,
    lambda x, y: x[:, 0],
    lambda x, y: x[:, 1:, ::-1],
    lambda x, y: x[..., None, -1],
]


@pytest.mark.parametrize("number", range(len(EXPRESSIONS)))
def test_the_operation_that_keras_makes(number: int) -> None:
    express = EXPRESSIONS[number]
    keras.utils.clear_session()
    mine = express(seqgen.Input((4, 4)), seqgen.Input((4, 4)))
    theirs = express(keras.Input((4, 4)), keras.Input((4, 4)))
    step = theirs._keras_history.operation
    assert type(mine.maker).__name__ == type(step).__name__
    assert mine.shape == theirs.shape
    numbers = [v for v in step._inbound_nodes[0].arguments.args if isinstance(v, (int, float))]
    assert [v for k, v in mine.maker.arguments().items() if k in ("x1", "x2")] == numbers


def test_operands_stay_in_order() -> None:
    x = seqgen.Input((4,))
    assert (1 - x).maker.arguments() == {"x1": 1}
    assert (x - 1).maker.arguments() == {"x2": 1}
    assert (np.float32(2) * x).maker.arguments() == {"x1": 2.0}
    assert x[:, ::2].maker.arguments() == {"key": (slice(None), slice(None, None, 2))}


def test_names_are_counted_with_those_of_layers() -> None:
    def make(package: Any) -> Any:
        x = package.Input((4,))
        y = package.layers.Add()([x + 1, x])
        return package.Model(x, package.ops.add(y, 2) * 2)

    keras.utils.clear_session()
    known = [step.name for step in make(keras).operations[1:]]
    assert [step.item.name for step in make(seqgen).steps] == known


def test_one_operation_of_everything() -> None:
    x, y = entries = seqgen.Input((4, 6)), seqgen.Input((4, 6), name="y")
    x = x * np.float32([1, 2, 3, -1, 0.1, 0.7])
    z = 2 ** ((x + y) * 0.5 - 1) / (1 + abs(-y)) + ops.relu(x)
    z = ops.mean(z @ ops.transpose(y, (0, 2, 1)), axis=-1, keepdims=True) + x[:, ::-1, 1:2]
    z = ops.concatenate([z, ops.softmax(x, axis=1), ops.multiply(x1=2.0, x2=x)], axis=-1)
    model = seqgen.Model(entries, layers.Dense(3)(z))
    assert seqgen.verify(model, seeds=1, exporters=False).ok
    assert seqgen.Model.from_dict(model.to_dict()).to_dict() == model.to_dict()


@pytest.mark.parametrize(
    ("express", "words"),
    [
        (lambda x: x * np.ones(4), "x2.*an array of float32.*one of float64"),
        (lambda x: np.arange(4) - x, "x1.*an array of float32.*one of int64"),
        (lambda x: x / np.ones(4, "float32"), "x2.*expected a number"),
        (lambda x: x + "1", "x2.*expected a number"),
        (lambda x: x @ 2, "matmul"),
        (lambda x: x[0], "slices"),
        (lambda x: x[:], "slices"),
        (lambda x: x[:, [1, 2]], "slices"),
        (lambda x: x[:, x], "slices"),
        (lambda x: ops.relu(1.0), "expected symbolic tensors, received 1.0"),
        (lambda x: ops.relu(), "expected symbolic tensors, received nothing"),
        (lambda x: ops.relu(x, 1), r"ops.relu\(x\)"),
        (lambda x: ops.add(x, x1=1), r"ops.add\(x1, x2\)"),
        (lambda x: ops.softmax(x, axes=1), "no such argument; did you mean 'axis'"),
        (lambda x: ops.reshape(x), "newshape.*missing"),
    ],
)
def test_refused(express: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        express(seqgen.Input((4,)))


@pytest.mark.parametrize("go_through", [list, tuple, iter])
def test_there_are_no_values_to_go_through(go_through: Any) -> None:
    for x in (seqgen.Input((4,)), seqgen.Input((4,)).tensor):
        with pytest.raises(TypeError, match="use slices of it"):
            go_through(x)
