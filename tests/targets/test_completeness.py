"""Every layer has a macro in every target, or the target says why not."""

import pytest

from seqgen.layers import all_layers
from seqgen.layers.objects import ACTIVATIONS
from seqgen.matrix import macros_of, matrix
from seqgen.targets import TARGETS
from tests.cases import load_cases

MATRIX = matrix()


def names(part: object) -> set[str]:
    """Every word of a part of a case: names of layers stand at any depth."""
    if isinstance(part, str):
        return {part}
    inner = [*part, *part.values()] if isinstance(part, dict) else part
    return set().union(*map(names, inner)) if isinstance(inner, list) else set()


USED = {name for case in load_cases() for name in names(case.get("layers") or case["graph"])}


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
