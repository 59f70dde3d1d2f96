"""The way of a variable into a target, and back: for every case of tests/specs."""

import numpy as np
import pytest

from seqgen.layers.base import Weight
from seqgen.render import Rendering
from seqgen.targets import TARGETS
from seqgen.targets.base import Move, restored
from tests.cases import graph_of, load_cases


def ways(target: str, layout: str) -> list[tuple[str, Weight, list[Move]]]:
    """Every variable of every case with its moves."""
    found = []
    for case in load_cases():
        if target in case.get("refused", {}):
            continue
        graph = graph_of(case)
        lowered = TARGETS[target].lower(graph, layout)
        moves = Rendering(TARGETS[target], lowered, opset=21).page["moves"]
        moves = [move[1] if isinstance(move, tuple) else move for move in moves]
        found += [
            (
                f"{case['id']}: {weight.key}",
                weight,
                [m for m in moves if m.weight.key == weight.key],
            )
            for weight in graph.weights
        ]
    return found


@pytest.mark.parametrize("layout", ["native", "spec"])
@pytest.mark.parametrize("target", ["torch", "onnx"])
def test_back_again_is_where_it_began(target: str, layout: str) -> None:
    steps = set()
    for label, weight, moves in ways(target, layout):
        array = np.arange(weight.size).reshape(weight.shape)
        parts = [move.apply(array) for move in moves]
        assert [part.shape for part in parts] == [move.shapes[-1] for move in moves], label
        np.testing.assert_array_equal(restored(moves, parts), array, label, strict=True)
        steps |= {step for move in moves for step, _ in move.steps}
    assert steps >= {"reshape", "transpose", "take"}
    assert ("row" in steps) == (target == "torch")
