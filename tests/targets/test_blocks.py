"""What a graph has several times becomes one class, in a loop where uses follow each other."""

from collections.abc import Callable

import pytest

import seqgen
from seqgen import layers
from seqgen.generator import Options, program
from seqgen.spec.tensors import Tensor
from seqgen.targets import TARGETS
from seqgen.targets.varying import Varying, varying
from seqgen.verify import Pool, Settings, verify_graph
from seqgen.verify.report import describe


def norm(x: Tensor, name: str, **more: object) -> Tensor:
    return layers.BatchNormalization(name=f"{name}_bn", **more)(x)


def bottleneck(x: Tensor, channels: int, name: str, stride: int = 1) -> Tensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != 2 * channels:
        shortcut = layers.Conv2D(2 * channels, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = norm(shortcut, f"{name}_0")
    y = layers.Conv2D(channels, 1, strides=stride, name=f"{name}_1_conv")(x)
    y = layers.ReLU(name=f"{name}_1_relu")(norm(y, f"{name}_1"))
    y = layers.Conv2D(2 * channels, 3, padding="same", name=f"{name}_2_conv")(y)
    y = layers.Add(name=f"{name}_add")([shortcut, norm(y, f"{name}_2")])
    return layers.ReLU(name=f"{name}_out")(y)


def resnet() -> seqgen.Model:
    inputs = x = seqgen.Input((16, 16, 3))
    for stage, (channels, count) in enumerate(((2, 2), (3, 3), (4, 3)), 2):
        for block in range(1, count + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            x = bottleneck(x, channels, f"conv{stage}_block{block}", stride)
    x = layers.GlobalAveragePooling2D()(x)
    return seqgen.Model(inputs, layers.Dense(2)(x), name="resnet")


def densenet() -> seqgen.Model:
    inputs = seqgen.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    for block in range(1, 6):
        name = f"block{block}"
        y = layers.ReLU(name=f"{name}_relu")(norm(x, name))
        y = layers.Conv2D(3, 3, padding="same", use_bias=False, name=f"{name}_conv")(y)
        x = layers.Concatenate(name=f"{name}_concat")([x, y])
    return seqgen.Model(inputs, layers.GlobalAveragePooling2D()(x), name="densenet")


def conv_norm(x: Tensor, channels: int, size: int) -> Tensor:
    x = layers.Conv2D(channels, size, padding="same", use_bias=False)(x)
    return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))


def inception() -> seqgen.Model:
    """Branches of parts that have no names of their own."""
    inputs = x = seqgen.Input((8, 8, 3))
    for channels in (2, 3, 4):
        branches = [conv_norm(x, channels, 1), conv_norm(conv_norm(x, 2, 1), channels, 3)]
        pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
        x = layers.Concatenate()([*branches, conv_norm(pooled, channels, 1)])
    return seqgen.Model(inputs, layers.GlobalAveragePooling2D()(x), name="inception")


def separable() -> seqgen.Model:
    """Frozen layers, two parts of one layer, and rates that differ."""
    inputs = x = seqgen.Input((8, 8, 4))
    for block in range(1, 5):
        name = f"block{block}"
        y = layers.SeparableConv2D(4, 3, padding="same", name=f"{name}_sepconv")(x)
        y = norm(y, name, trainable=False)
        y = layers.Dropout(block / 10, name=f"{name}_drop")(y)
        x = layers.Add(name=f"{name}_add")([x, y])
    return seqgen.Model(inputs, x, name="separable")


def extractor() -> seqgen.Model:
    """The features of every block are asked for, so that no stage may hide them."""
    model = resnet()
    outputs = [layer.output for layer in model.layers if str(layer.name).endswith("_out")]
    return seqgen.Model(model.inputs, outputs, name="extractor")


def nested() -> seqgen.Sequential:
    return seqgen.Sequential([seqgen.Input((16, 16, 3)), resnet(), layers.Dense(3)], name="head")


def piece(x: Tensor, name: str, size: int) -> Tensor:
    """Layers whose names end with that of the piece."""
    for step in (1, 2):
        conv = layers.Conv2D(x.shape[-1], size, padding="same", name=f"conv_{step}_{name}")
        x = conv(layers.ReLU()(x))
        x = layers.BatchNormalization(name=f"bn_{step}_{name}")(x)
    return x


def cells() -> seqgen.Model:
    """Cells that take the results of two cells and adjust the older one."""
    inputs = older = x = seqgen.Input((8, 8, 4))
    for cell in range(1, 6):
        channels = 4 if cell < 4 else 6
        p = layers.Conv2D(channels, 1, name=f"adjust_{cell}")(layers.ReLU()(older))
        h = layers.Conv2D(channels, 1, name=f"squeeze_{cell}")(layers.ReLU()(x))
        left = [piece(h, f"left1_{cell}", 3), piece(p, f"right1_{cell}", 5)]
        left = layers.Add(name=f"add_1_{cell}")(left)
        right = layers.Add(name=f"add_2_{cell}")([piece(left, f"left2_{cell}", 3), p])
        older, x = x, layers.Concatenate(name=f"concat_{cell}")([left, right, h])
    return seqgen.Model(inputs, layers.GlobalAveragePooling2D()(x), name="cells")


def preactivated() -> seqgen.Model:
    """Blocks that normalize what they take, or a branch of that alone."""
    inputs = x = seqgen.Input((16, 16, 4))
    for stage, count in enumerate((3, 4, 5), 2):
        for block in range(1, count + 1):
            name = f"conv{stage}_block{block}"
            stride = 2 if block == count else 1
            y = layers.ReLU(name=f"{name}_preact_relu")(norm(x, f"{name}_preact"))
            if block == 1:
                x = layers.Conv2D(8, 1, name=f"{name}_0_conv")(y)
            elif stride == 2:
                x = layers.MaxPooling2D(1, strides=2)(x)
            y = layers.Conv2D(4, 1, use_bias=False, name=f"{name}_1_conv")(y)
            y = layers.ReLU(name=f"{name}_1_relu")(norm(y, f"{name}_1"))
            window = {"padding": "same", "strides": stride, "use_bias": False}
            y = layers.Conv2D(4, 3, name=f"{name}_2_conv", **window)(y)
            y = layers.ReLU(name=f"{name}_2_relu")(norm(y, f"{name}_2"))
            y = layers.Conv2D(8, 1, name=f"{name}_3_conv")(y)
            x = layers.Add(name=f"{name}_out")([x, y])
    return seqgen.Model(inputs, layers.GlobalAveragePooling2D()(x), name="preactivated")


def skipping() -> seqgen.Model:
    """Stages whose first block takes what the stage before was given, too."""
    inputs = older = x = seqgen.Input((8, 8, 4))
    for stage in range(1, 5):
        given = x
        for block in range(1, 4):
            name = f"stage{stage}_block{block}"
            y = layers.Conv2D(4, 3, padding="same", name=f"{name}_conv")(x)
            y = layers.ReLU(name=f"{name}_relu")(norm(y, name))
            y = layers.Conv2D(4, 1, name=f"{name}_project")(y)
            x = layers.Add(name=f"{name}_add")([older if block == 1 else x, y])
        older = given
    return seqgen.Model(inputs, layers.GlobalAveragePooling2D()(x), name="skipping")


MODELS: dict[Callable[[], seqgen.Model], list[str]] = {
    resnet: [
        "def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:",
        "class ResidualConvBlock(nn.Module):",
        "self.conv3_blocks = nn.Sequential(",
        "ConvBlock(4, 3, stride=2), *(ResidualConvBlock(3) for _ in range(2))",
        'load(f"{module}.conv_1", f"{layer}_1_conv", CONV2D)',
    ],
    densenet: ["*(Block(channels) for channels in range(4, 19, 3))"],
    inception: [
        "class ConvNorm(nn.Module):",
        "for module, number in (",
        "conv2d_{number}",
    ],
    separable: ["nn.Dropout(rate)", "self.bn.eval()", "DEPTHWISE = {"],
    cells: [
        "class Concat(nn.Module):",
        "self.right1 = Bn(channels, kernel_size=5, padding=2)",
        "right1 = self.right1(x)  # (N, channels, 8, 8)",
        'load(f"{module}.right1.bn_1", f"bn_1_right1_{number}", BATCH_NORMALIZATION)',
    ],
    preactivated: ["*(ResidualConvBlock() for _ in range(3)), ConvBlock2()"],
    skipping: ["self.stage2_block1 = ", "x = self.stage2_block1(y, x)"],
    extractor: ["class ConvBlock(nn.Module):"],
    nested: ["class HeadResnet(nn.Module):", '("resnet.conv2_blocks.0", "resnet.conv2_block1"),'],
}


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_repeated_parts_are_classes_that_compute_the_same(
    make: Callable[[], seqgen.Model], pool: Pool
) -> None:
    graph = make().graph()
    (text,) = program(graph, TARGETS["torch"], Options()).texts.values()
    assert [line for line in MODELS[make] if line not in text] == []
    report = verify_graph(graph, Settings(Options(), seeds=1, exporters=False), pool)
    for row in report.rows:
        assert row.status == "equal", f"{row.route} {row.check} {row.dtype}: {describe(row)}"


def test_a_small_model_has_no_classes_within() -> None:
    inputs = x = seqgen.Input((8, 8, 4))
    for _ in range(2):
        x = layers.ReLU()(layers.Conv2D(4, 3)(x))
    graph = seqgen.Model(inputs, x).graph()
    (text,) = program(graph, TARGETS["torch"], Options()).texts.values()
    assert text.count("(nn.Module)") == 1


def test_numbers_that_differ_are_counted_with_all_at_once() -> None:
    channels = varying((2, 3), "channels")
    assert isinstance(channels, Varying)
    assert str(channels * 4) == "channels * 4"
    assert (channels * 4).values == (8, 12)
    assert varying((5, 5), "channels") == 5
    assert channels != 2
    assert channels != 3
    assert channels - channels == 0
