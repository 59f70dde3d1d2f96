"""How many transposes stand in a program: none between layers that agree, one for a real change."""

from typing import Any

import pytest

from seqgen.ir.graph import Model, Transpose
from seqgen.targets import TARGETS
from tests.cases import graph_of

CONV: dict[str, Any] = {"Conv2D": {"filters": 4, "kernel_size": 2}}
UP: dict[str, Any] = {"Conv2DTranspose": {"filters": 2, "kernel_size": 2}}
TO_IMAGE: dict[str, Any] = {"Reshape": [2, 3, 4]}

NATIVE = [
    # Flatten and what may stand between it and the Dense whose rows are reordered
    ([CONV, "Flatten", {"Dense": 3}], 0),
    ([CONV, "Flatten", "BatchNormalization", "ReLU", {"Dropout": 0.5}, {"Dense": 3}], 0),
    ([CONV, "Flatten", "LayerNormalization", "UnitNormalization", {"Dense": 3}], 0),
    ([CONV, "Flatten", "RMSNormalization", "Flatten", {"Dense": 3}], 0),
    ([CONV, {"Reshape": [-1]}, {"Dense": 3}], 0),
    ([CONV, {"Flatten": "channels_first"}, {"Dense": 3}], 0),
    ([CONV, {"Permute": [3, 1, 2]}, "Flatten", {"Dense": 3}], 0),
    ([CONV, "Flatten", {"SpectralNormalization": {"layer": {"Dense": 3}}}], 0),
    # where the order of the features matters
    ([CONV, "Flatten"], 1),
    ([CONV, "Flatten", {"GroupNormalization": 4}, {"Dense": 3}], 1),
    # decoders, whose Dense makes its features in the order of the image
    ([CONV, "Flatten", {"Dense": 24}, TO_IMAGE, UP], 0),
    ([CONV, "Flatten", {"Dense": 24}, "BatchNormalization", "LeakyReLU", TO_IMAGE, UP], 0),
    ([CONV, "GlobalAveragePooling2D", {"Reshape": [1, 1, 4]}, UP], 0),
    # images all the way
    ([CONV, "BatchNormalization", {"SpatialDropout2D": 0.5}, "UnitNormalization", CONV], 0),
    ([CONV, {"GroupNormalization": 2}, {"ZeroPadding2D": 1}, "UpSampling2D", CONV], 0),
    (
        [
            CONV,
            {"Cropping2D": 1},
            {"GaussianNoise": 0.5},
            {"SpectralNormalization": {"layer": CONV}},
        ],
        0,
    ),
    # real changes of layout
    ([CONV, "LayerNormalization", CONV], 2),
    ([CONV, {"Permute": [2, 3, 1]}, CONV], 1),
]


def transposes(graph: Model, target: str, layout: str) -> int:
    """Number of transposes in a target's program."""
    lowered = TARGETS[target].lower(graph, layout)
    return sum(isinstance(node.layer, Transpose) for node in lowered.nodes)


@pytest.mark.parametrize("target", ["torch", "onnx"])
@pytest.mark.parametrize(("layers", "count"), NATIVE, ids=range(len(NATIVE)))
def test_native_layout(layers: list[Any], count: int, target: str) -> None:
    graph = graph_of({"name": "model", "input": [6, 7, 3], "layers": layers})
    assert transposes(graph, target, "native") == count


@pytest.mark.parametrize("target", ["torch", "onnx"])
def test_layout_of_the_spec_costs_one_at_each_end(target: str) -> None:
    layers = [CONV, "BatchNormalization", {"ZeroPadding2D": 1}, CONV]
    graph = graph_of({"name": "model", "input": [6, 7, 3], "layers": layers})
    assert transposes(graph, target, "spec") == 2
