"""Every layer has a macro in every target, or the target says why not."""

import pytest

from seqgen.layers import all_layers
from seqgen.layers.objects import ACTIVATIONS
from seqgen.layers.within import within
from seqgen.matrix import macros_of, matrix
from seqgen.targets import TARGETS
from tests.cases import layer_of, load_cases

MATRIX = matrix()
USED = {
    type(part).__name__
    for case in load_cases()
    for item in case["layers"]
    for part in within(layer_of(item))
}


@pytest.mark.parametrize("layer", sorted(MATRIX))
def test_layer_is_spelled_or_refused_with_a_reason(layer: str) -> None:
    for target, reason in MATRIX[layer].items():
        refused = TARGETS[target].refuses.get(layer)
        assert reason is None or reason == refused, f"{target} {reason}"


@pytest.mark.parametrize("layer", sorted(all_layers()))
def test_layer_has_a_case(layer: str) -> None:
    assert layer in USED


@pytest.mark.parametrize("target", ["torch", "onnx"])
def test_every_activation_has_a_macro(target: str) -> None:
    macros = macros_of(TARGETS[target], [])
    # A pass takes `linear` away.
    names = [name for name in ACTIVATIONS if name != "linear"]
    missing = [name for name in names if macros.find("functions", name) is None]
    assert missing == []
