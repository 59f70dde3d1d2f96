"""The models of keras.applications as people use them: without their top, below another head.

Every architecture is verified in a small size, and every model is imported.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen.generator import Options, generate_programs
from seqgen.importers.config import spec_of
from seqgen.spec.files import from_plain
from seqgen.verify import Pool

keras = pytest.importorskip("keras")

from keras import applications, layers  # noqa: E402
from keras.src.applications import (  # noqa: E402
    convnext,
    densenet,
    efficientnet,
    efficientnet_v2,
    nasnet,
    resnet,
)

from tests.importers.test_functional import assert_same  # noqa: E402

NAMES = [name for name in dir(applications) if inspect.isfunction(getattr(applications, name))]
BARE = {"include_top": False, "pooling": "avg", "weights": None}
SMALL = {**BARE, "input_shape": (32, 32, 3)}
# Where single pixels were left, training mode would make much of the smallest differences.
WIDER = {**BARE, "input_shape": (64, 64, 3)}
# Between a smaller and a larger sibling of the same kind, which are generated.
BETWEEN = (
    *("ConvNeXtBase", "ConvNeXtLarge", "DenseNet169", "ResNet101", "ResNet101V2"),
    *("EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4", "EfficientNetB5"),
    *("EfficientNetB6", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2M"),
)
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}


def stack_v1(x: Any) -> Any:
    x = resnet.stack_residual_blocks_v1(x, 8, 2, stride1=1, name="conv2")
    return resnet.stack_residual_blocks_v1(x, 12, 2, name="conv3")


def stack_v2(x: Any) -> Any:
    x = resnet.stack_residual_blocks_v2(x, 8, 2, name="conv2")
    return resnet.stack_residual_blocks_v2(x, 12, 2, stride1=1, name="conv3")


# Fewer and narrower blocks than in any model with a name, but those of each architecture.
ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "vgg": lambda: applications.VGG16(**SMALL),
    "mobilenet": lambda: applications.MobileNet(alpha=0.25, **SMALL),
    "mobilenet_v2": lambda: applications.MobileNetV2(alpha=0.35, **SMALL),
    "mobilenet_v3": lambda: applications.MobileNetV3Small(alpha=0.75, **WIDER),
    "resnet": lambda: resnet.ResNet(stack_v1, False, True, **SMALL),
    "resnet_v2": lambda: resnet.ResNet(stack_v2, True, True, **SMALL),
    "densenet": lambda: densenet.DenseNet([2, 2, 2, 2], **SMALL),
    "efficientnet": lambda: efficientnet.EfficientNet(0.2, 0.1, 64, **WIDER),
    "efficientnet_v2": lambda: efficientnet_v2.EfficientNetV2(
        0.2, 0.1, 64, name="efficientnetv2-b0", **WIDER
    ),
    "convnext": lambda: convnext.ConvNeXt((1, 1, 1, 1), (8, 12, 16, 20), **SMALL),
    "nasnet": lambda: nasnet.NASNet((32, 32, 3), 192, 1, 8, False, include_top=False, weights=None),
}


def with_other_weights(model: Any) -> Any:
    """Kernels as they were drawn, and everything else not as it is in a fresh model."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if variable.name not in ("kernel", "depthwise_kernel", "pointwise_kernel", "count"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    for layer in model.layers[0].layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


def headed(base: Any) -> Any:
    last = [] if len(base.output_shape) == 2 else [layers.GlobalAveragePooling2D()]
    return keras.Sequential([base, *last, layers.Dropout(0.2), layers.Dense(5)], name="head")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture(name: str, pool: Pool, tmp_path: Path) -> None:
    model = with_other_weights(headed(ARCHITECTURES[name]()))
    imported = seqgen.from_keras(model)
    assert_same(imported, model)
    model.save(tmp_path / "model.keras")
    again = seqgen.from_keras(tmp_path / "model.keras")
    assert again.to_dict() == imported.to_dict()
    assert_same(again, model)
    report = seqgen.verify(imported, seeds=1, exporters=False, pool=pool)
    assert report.ok, report.to_json()


@pytest.mark.parametrize("name", NAMES)
def test_every_model(name: str) -> None:
    size = SIZES.get(name, 32)
    # Nobody asks for values, which take most of the time that Keras needs.
    with keras.StatelessScope(initialize_variables=False):
        model = headed(getattr(applications, name)(input_shape=(size, size, 3), **BARE))
    imported = from_plain(spec_of(json.loads(model.to_json())))
    assert imported.count_params() == model.count_params()
    shapes = [tuple(variable.shape) for variable in model.weights]
    assert [variable.shape for variable in imported.variables] == shapes
    if name not in BETWEEN:
        # Without black, which takes longer than all the rest and is run for the architectures.
        made = generate_programs(imported.graph(), Options(formatted=False), imported.to_json())
        for file, text in made.files.items():
            compile(text, file, "exec")
    keras.backend.clear_session()
