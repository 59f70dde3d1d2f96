"""Modules of PyTorch with the shapes of their inputs: those that import, and those refused."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn

Shape = tuple[int | None, ...]
Make = Callable[[], Any]

IMAGE, LINE, VOLUME = (3, 9, 8), (4, 10), (2, 6, 5, 7)


def seq(*modules: Any) -> Make:
    """What makes a Sequential of fresh modules, each given as (class, arguments ...)."""

    def make() -> Any:
        return nn.Sequential(*(build(module) for module in modules))

    return make


def build(module: Any) -> Any:
    """A module of its class and arguments, the last ones by name in a dictionary."""
    kind, *arguments = module if isinstance(module, tuple) else (module,)
    named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    return kind(*arguments, **named)


def named() -> Any:
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
            body=nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(4, 6, 3, padding=(1, 0)),
                    act=nn.GELU(),
                    empty=nn.Sequential(),
                    pool=nn.AdaptiveAvgPool2d(2),
                )
            ),
            flat=nn.Flatten(),
            norm=nn.BatchNorm1d(24),
            drop=nn.Dropout(0.3),
            head=nn.Sequential(nn.ELU(), nn.Linear(24, 3), nn.LogSoftmax(-1)),
        )
    )


def partly_frozen() -> Any:
    module = named()
    for part in (module.stem, module.head):
        part.requires_grad_(False)
    return module


class Block(nn.Sequential):
    """A Sequential that builds itself."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(nn.Conv2d(before, after, 3, padding=1), nn.Hardswish(inplace=True))


class Small(nn.Linear):
    """A Linear with other defaults."""

    def __init__(self, before: int) -> None:
        super().__init__(before, 2, bias=False)


ACTIVATIONS: list[Any] = [
    nn.CELU,
    (nn.CELU, 0.5),
    nn.ELU,
    (nn.ELU, 0.4),
    nn.GELU,
    (nn.GELU, {"approximate": "tanh"}),
    nn.Hardshrink,
    (nn.Hardshrink, 0.2),
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    (nn.Hardtanh, 0, 2.5),
    nn.Identity,
    nn.LeakyReLU,
    (nn.LeakyReLU, 0.3),
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU,
    (nn.ReLU, True),
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    (nn.Softplus, 1, 40),
    nn.Softshrink,
    (nn.Softshrink, 0.2),
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    (nn.Threshold, 0.1, 0.7),
    (nn.Threshold, -0.3, -2.0),
    (nn.Dropout, 0.2),
    (nn.AlphaDropout, 0.2),
]

CASES: list[tuple[Make, Shape]] = [
    # Activations, between images and vectors
    *[(seq(activation), (3, 4)) for activation in ACTIVATIONS],
    (seq((nn.Softmax, 1)), (5,)),
    (seq((nn.Softmax, -1)), (3, 4)),
    (seq((nn.Softmax, 1)), (3, 4)),
    (seq((nn.Softmax, 1), (nn.Conv2d, 3, 2, 1)), IMAGE),
    (seq((nn.Conv2d, 3, 2, 1), (nn.Softmax, 2)), IMAGE),
    (seq((nn.Conv2d, 3, 2, 1), (nn.Softmax, -1)), IMAGE),
    (seq((nn.Conv2d, 3, 2, 1), nn.Softmax2d), IMAGE),
    (seq((nn.Conv2d, 3, 2, 1), (nn.LogSoftmax, 1)), IMAGE),
    (seq((nn.Conv2d, 3, 2, 1), (nn.LogSoftmax, 3)), IMAGE),
    (seq(nn.Softmax), (5,)),
    (seq((nn.Linear, 6, 8), nn.GLU), (6,)),
    (seq((nn.Conv2d, 3, 4, 1), (nn.GLU, 1)), IMAGE),
    (seq((nn.Conv2d, 3, 4, 1), (nn.GLU, 3)), IMAGE),
    (seq(nn.PReLU), (3, 4)),
    (seq(nn.PReLU), (6,)),
    (seq((nn.PReLU, 6)), (6,)),
    (seq((nn.PReLU, 3)), (3, 4)),
    (seq((nn.PReLU, 3), (nn.Conv2d, 3, 2, 2), nn.PReLU, (nn.PReLU, 2)), IMAGE),
    # Dense layers
    (seq((nn.Linear, 5, 3)), (5,)),
    (seq((nn.Linear, 5, 3, False), nn.ReLU, (nn.Linear, 3, 2)), (5,)),
    (seq((nn.Linear, 5, 3), nn.Tanh), (4, 5)),
    (seq((nn.Linear, 5, 3)), (2, 4, 5)),
    (seq((nn.Linear, 5, 3)), (None, 5)),
    (seq((Small, 5)), (5,)),
    (seq((nn.Conv1d, 4, 3, 3), (nn.Linear, 8, 2)), LINE),
    (seq((nn.Linear, 10, 6), (nn.Conv1d, 4, 3, 3)), LINE),
    (seq((nn.Embedding, 9, 4)), (6,)),
    (seq((nn.Embedding, 9, 4, {"padding_idx": 0}), (nn.Linear, 4, 2)), (6,)),
    (seq((nn.Embedding, 9, 10), (nn.Conv1d, 4, 2, 3), nn.Flatten, (nn.Linear, 16, 2)), (4,)),
    (seq((nn.Embedding, 9, 3)), (2, 5)),
    # Convolutions
    (seq((nn.Conv1d, 4, 3, 3)), LINE),
    (seq((nn.Conv1d, 4, 3, 3, {"padding": 1})), LINE),
    (seq((nn.Conv1d, 4, 3, 4, {"padding": "same"})), LINE),
    (seq((nn.Conv1d, 4, 3, 3, {"padding": 2, "dilation": 2})), LINE),
    (seq((nn.Conv1d, 4, 4, 3, {"padding": 1, "groups": 4})), LINE),
    (seq((nn.Conv1d, 4, 6, 3, {"groups": 2})), LINE),
    (seq((nn.Conv2d, 3, 4, 3)), IMAGE),
    (seq((nn.Conv2d, 3, 4, (3, 2), {"bias": False})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 3, {"padding": 1})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 3, {"padding": "valid"})), IMAGE),
    (seq((nn.Conv2d, 3, 4, (4, 3), {"padding": "same", "dilation": (1, 2)})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 3, {"stride": 2})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 3, {"stride": 2, "padding": 1})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 3, {"stride": 2, "padding": 1})), (3, 9, 9)),
    (seq((nn.Conv2d, 3, 4, 4, {"padding": 1})), IMAGE),
    (seq((nn.Conv2d, 3, 4, (3, 5), {"stride": (2, 1), "padding": (0, 2)})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 3, {"padding": 3, "dilation": 2})), IMAGE),
    (seq((nn.Conv2d, 3, 6, 3, {"groups": 3})), IMAGE),
    (seq((nn.Conv2d, 3, 3, 3, {"groups": 3, "stride": 2, "padding": 1})), IMAGE),
    (seq((nn.Conv2d, 3, 6, 3, {"groups": 3, "stride": (2, 1)})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 1, {"stride": 2, "dilation": 3})), IMAGE),
    (seq((nn.Conv2d, 3, 4, 3, {"padding_mode": "reflect"})), IMAGE),
    (seq((nn.Conv2d, 1, 4, 3)), (1, 5, 5)),
    (seq((nn.Conv2d, 3, 4, 3, {"stride": 2, "padding": 1})), (3, None, None)),
    (seq((nn.Conv2d, 3, 4, 3, {"padding": 1}), nn.ReLU), (3, None, 8)),
    (seq((nn.Conv3d, 2, 3, 2)), VOLUME),
    (seq((nn.Conv3d, 2, 3, (1, 3, 3), {"padding": (0, 1, 1)})), VOLUME),
    (seq((nn.Conv3d, 2, 3, 3, {"padding": 1, "stride": 2})), VOLUME),
    # Transposed convolutions
    (seq((nn.ConvTranspose1d, 4, 3, 3)), LINE),
    (seq((nn.ConvTranspose1d, 4, 3, 4, 2, 1)), LINE),
    (seq((nn.ConvTranspose2d, 3, 4, 2, 2)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 3, 2)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 4, 2, 1)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 3, 2, 1)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 3, 2, 1, 1)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 3, 2, 0, 1)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, (3, 4), (2, 3), (0, 2), (1, 2))), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 3, 1, 1)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 3, 1, 2, {"bias": False})), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 2, 3)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 2, 3, 0, 1)), IMAGE),
    (seq((nn.ConvTranspose2d, 3, 4, 3, 2, 1, 1)), (3, None, None)),
    (seq((nn.ConvTranspose3d, 2, 3, 2, 2)), VOLUME),
    (seq((nn.ConvTranspose3d, 2, 3, 3, 2, 1, 1)), VOLUME),
    # Pooling
    (seq((nn.MaxPool1d, 2)), LINE),
    (seq((nn.MaxPool1d, 3, 2, {"ceil_mode": True})), LINE),
    (seq((nn.MaxPool2d, 2)), IMAGE),
    (seq((nn.MaxPool2d, 2, {"ceil_mode": True})), IMAGE),
    (seq((nn.MaxPool2d, 2, {"ceil_mode": True})), (3, None, None)),
    (seq((nn.MaxPool2d, 3, 1, 1)), IMAGE),
    (seq((nn.MaxPool2d, 3, 2, 1)), (3, 9, 9)),
    (seq(nn.ReLU, (nn.MaxPool2d, 3, 2, 1)), IMAGE),
    (seq(nn.Sigmoid, (nn.Dropout, 0.1), (nn.MaxPool2d, 3, 2, 1)), (3, None, None)),
    (seq(nn.ReLU, (nn.MaxPool2d, 3, 2, 1, {"ceil_mode": True})), IMAGE),
    (seq(nn.ReLU, (nn.MaxPool2d, (2, 3), (2, 3), (1, 0), {"ceil_mode": True})), IMAGE),
    (seq(nn.ReLU, (nn.MaxPool2d, 3, 5, 1, {"ceil_mode": True})), IMAGE),
    (seq((nn.MaxPool3d, 2)), VOLUME),
    (seq((nn.AvgPool1d, 3)), LINE),
    (seq((nn.AvgPool1d, 3, 2, 1)), LINE),
    (seq((nn.AvgPool2d, 2)), IMAGE),
    (seq((nn.AvgPool2d, 3, 2, 1)), IMAGE),
    (seq((nn.AvgPool2d, 3, 2, 1)), (3, None, None)),
    (seq((nn.AvgPool2d, 3, 1, 1, {"count_include_pad": False})), IMAGE),
    (seq((nn.AvgPool2d, 2, {"ceil_mode": True})), IMAGE),
    (seq((nn.AvgPool2d, (3, 2), {"ceil_mode": True, "padding": (1, 0)})), IMAGE),
    (seq((nn.AvgPool2d, 2, {"divisor_override": 4})), IMAGE),
    (seq((nn.AvgPool3d, 2, 1)), VOLUME),
    (seq((nn.AdaptiveAvgPool1d, 1)), LINE),
    (seq((nn.AdaptiveAvgPool2d, 1)), IMAGE),
    (seq((nn.AdaptiveAvgPool2d, (1, 1))), (3, None, None)),
    (seq((nn.AdaptiveAvgPool2d, (4, 3))), IMAGE),
    (seq((nn.AdaptiveAvgPool2d, (None, 3))), IMAGE),
    (seq((nn.AdaptiveAvgPool3d, (2, 5, 3))), VOLUME),
    (seq((nn.Linear, 8, 2), nn.Sigmoid, (nn.AdaptiveAvgPool2d, 1)), IMAGE),
    (seq((nn.LayerNorm, IMAGE), (nn.AdaptiveAvgPool2d, (2, 1)), nn.Flatten), IMAGE),
    (seq((nn.AdaptiveMaxPool1d, 4)), LINE),
    (seq((nn.AdaptiveMaxPool2d, 1)), IMAGE),
    (seq((nn.AdaptiveMaxPool2d, 5)), IMAGE),
    # Normalization
    (seq((nn.BatchNorm1d, 5)), (5,)),
    (seq((nn.BatchNorm1d, 4)), LINE),
    (seq((nn.BatchNorm1d, 4), (nn.Linear, 10, 3), (nn.BatchNorm1d, 4)), LINE),
    (seq((nn.BatchNorm2d, 3, 0.01, 0.3)), IMAGE),
    (seq((nn.BatchNorm2d, 3, {"affine": False})), IMAGE),
    (seq((nn.BatchNorm3d, 2)), VOLUME),
    (seq((nn.LayerNorm, 6)), (6,)),
    (seq((nn.LayerNorm, 10)), LINE),
    (seq((nn.LayerNorm, LINE)), LINE),
    (seq((nn.LayerNorm, 6, {"elementwise_affine": False})), (6,)),
    (seq((nn.LayerNorm, 6, {"bias": False, "eps": 0.1})), (6,)),
    (seq((nn.Conv2d, 3, 4, 2), (nn.LayerNorm, (4, 8, 7))), IMAGE),
    (seq((nn.Conv2d, 3, 4, 2), (nn.LayerNorm, (8, 7)), (nn.Conv2d, 4, 2, 2)), IMAGE),
    (seq((nn.Conv2d, 3, 4, 2), (nn.LayerNorm, 7)), IMAGE),
    (seq((nn.RMSNorm, 6)), (6,)),
    (seq((nn.RMSNorm, 10, {"eps": 1e-4})), LINE),
    (seq((nn.Conv2d, 3, 4, 2), (nn.RMSNorm, (4, 8, 7))), IMAGE),
    (seq((nn.Conv2d, 3, 4, 2), (nn.RMSNorm, 7), (nn.Conv2d, 4, 2, 2)), IMAGE),
    (seq((nn.GroupNorm, 2, 6)), (6,)),
    (seq((nn.GroupNorm, 2, 4)), LINE),
    (seq((nn.GroupNorm, 3, 3, {"eps": 0.1, "affine": False})), IMAGE),
    (seq((nn.InstanceNorm1d, 4)), LINE),
    (seq((nn.InstanceNorm2d, 3, {"affine": True})), IMAGE),
    (seq((nn.InstanceNorm3d, 2)), VOLUME),
    (seq((nn.Dropout1d, 0.1)), LINE),
    (seq((nn.Dropout2d, 0.1)), IMAGE),
    (seq((nn.Dropout3d, 0.1)), VOLUME),
    (seq((nn.Conv2d, 3, 2, 2), (nn.Dropout2d, 0.1), nn.ReLU), IMAGE),
    (seq((nn.Dropout1d, 0.1), (nn.Linear, 10, 2)), LINE),
    # Shapes
    (seq(nn.Flatten, (nn.Linear, 216, 3)), IMAGE),
    (seq((nn.Conv2d, 3, 2, 2), nn.Flatten), IMAGE),
    (seq((nn.Conv2d, 3, 2, 2), nn.Flatten, (nn.Linear, 112, 3)), IMAGE),
    (seq((nn.Conv1d, 4, 2, 3), nn.Flatten, nn.ReLU, (nn.Linear, 16, 3)), LINE),
    (seq((nn.Conv3d, 2, 3, 2), nn.Flatten, (nn.Linear, 360, 3)), VOLUME),
    (
        seq(
            (nn.Conv2d, 3, 2, 2),
            nn.Flatten,
            (nn.BatchNorm1d, 112),
            (nn.PReLU, 112),
            (nn.LayerNorm, 112),
            (nn.RMSNorm, 112),
            (nn.Dropout, 0.5),
            (nn.Softmax, 1),
            (nn.Linear, 112, 3),
            (nn.BatchNorm1d, 3),
        ),
        IMAGE,
    ),
    (seq((nn.Conv2d, 3, 2, 2), nn.Flatten, (nn.BatchNorm1d, 112)), IMAGE),
    (seq((nn.Conv2d, 3, 2, 2), nn.Flatten, (nn.GroupNorm, 4, 112), (nn.Linear, 112, 2)), IMAGE),
    (seq((nn.Conv2d, 3, 2, 2), nn.Flatten, nn.GLU, nn.Tanh), IMAGE),
    (seq((nn.AdaptiveAvgPool2d, 1), nn.Flatten, (nn.Linear, 3, 2)), IMAGE),
    (seq((nn.AdaptiveAvgPool2d, 1), nn.Flatten), IMAGE),
    (seq((nn.Conv2d, 3, 1, 2), nn.Flatten), IMAGE),
    (seq((nn.Conv2d, 3, 2, 1), nn.Flatten), (3, None, None)),
    (seq((nn.Conv2d, 3, 4, 2), (nn.Flatten, 2)), IMAGE),
    (seq((nn.Conv2d, 3, 4, 2), (nn.Flatten, 2), (nn.Conv1d, 4, 2, 3)), IMAGE),
    (seq((nn.Conv2d, 3, 4, 2), (nn.Flatten, 2), (nn.Linear, 56, 2)), IMAGE),
    (seq((nn.Conv2d, 3, 4, 2), (nn.Flatten, 1, 2)), IMAGE),
    (seq((nn.Conv2d, 3, 4, 1), (nn.Flatten, 2)), (3, None, 8)),
    (seq((nn.Flatten, 2, 2)), IMAGE),
    (seq((nn.Linear, 6, 48), (nn.Unflatten, 1, (3, 4, 4)), (nn.Conv2d, 3, 2, 2)), (6,)),
    (seq((nn.Unflatten, 1, (2, -1)), (nn.Conv2d, 2, 2, 2)), (6, 5)),
    (seq((nn.Conv1d, 4, 3, 3), (nn.Unflatten, 2, (4, 2)), nn.ReLU), LINE),
    (seq((nn.ZeroPad1d, (1, 2))), LINE),
    (seq((nn.ZeroPad2d, (1, 2, 3, 0))), IMAGE),
    (seq((nn.ZeroPad2d, 1), (nn.Conv2d, 3, 2, 3)), IMAGE),
    (seq((nn.ZeroPad3d, (1, 2, 3, 0, 0, 1))), VOLUME),
    (seq((nn.ConstantPad2d, 1, 0.0)), IMAGE),
    (seq((nn.ConstantPad2d, 0, 0.5), (nn.LayerNorm, (9, 8)), (nn.Conv2d, 3, 2, 1)), IMAGE),
    (seq((nn.Upsample, {"scale_factor": 1}), (nn.Linear, 8, 2)), IMAGE),
    (seq((nn.Upsample, {"size": (9, 8)}), nn.ReLU), IMAGE),
    (seq((nn.Upsample, {"scale_factor": 2})), LINE),
    (seq((nn.Upsample, {"scale_factor": (2, 3)})), IMAGE),
    (seq((nn.Upsample, {"scale_factor": 3, "mode": "nearest-exact"})), IMAGE),
    (seq((nn.Upsample, {"size": (18, 24)})), IMAGE),
    (seq((nn.Upsample, {"scale_factor": 2, "mode": "bilinear"})), IMAGE),
    (seq((nn.Upsample, {"scale_factor": (3, 2), "mode": "bilinear"})), IMAGE),
    (seq((nn.Upsample, {"scale_factor": 2})), VOLUME),
    (seq((nn.UpsamplingNearest2d, {"scale_factor": 2})), IMAGE),
    # Chains in chains
    (named, (3, 12, 11)),
    (partly_frozen, (3, 12, 11)),
    (seq((Block, 3, 4), (Block, 4, 2), nn.Flatten, (nn.Linear, 144, 2)), IMAGE),
    (nn.Sequential, (3, 4)),
]


# Modules that are refused


def changed(change: Callable[[Any], Any]) -> Make:
    """What makes a Sequential whose second module was changed."""

    def make() -> Any:
        module = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
        change(module[1])
        return module

    return make


class Own(nn.Linear):
    """A Linear with a forward of its own."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) * 2


class OwnConv(nn.Conv2d):
    """A convolution with a part of its own."""

    def _conv_forward(self, x: Any, weight: Any, bias: Any) -> Any:
        return super()._conv_forward(x, weight * 2, bias)


class Skip(nn.Sequential):
    """A chain with a way around it."""

    def forward(self, x: Any) -> Any:
        return x + super().forward(x)


class Net(nn.Module):
    """A module as most are written."""

    def forward(self, x: Any) -> Any:
        return x


def tied() -> Any:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    return module


def twice() -> Any:
    linear = nn.Linear(4, 4)
    return nn.Sequential(linear, nn.ReLU(), linear)


def freeze_bias(module: Any) -> None:
    module.bias.requires_grad = False


def own_forward(module: Any) -> None:
    module.forward = lambda x: x


def by_name() -> Any:
    module = nn.Sequential(nn.Unflatten(1, (2, 3)))
    module[0].dim = "c"
    return module


def mixed() -> Any:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).double())


REFUSED: list[tuple[Make, Shape, list[str]]] = [
    (Net, (4,), ["expected a torch.nn.Sequential", "Net"]),
    (seq((nn.Linear, 4, 4), Net), (4,), ["1: Net", "forward is not read"]),
    (lambda: nn.Linear(4, 4), (4,), ["expected a torch.nn.Sequential", "Linear"]),
    (Skip, (4,), ["expected a torch.nn.Sequential", "Skip"]),
    (seq((Skip, nn.ReLU())), (4,), ["0: Skip", "forward is not read"]),
    (seq((Own, 4, 4)), (4,), ["0: Own", "forward is not read"]),
    (seq((OwnConv, 3, 4, 3)), IMAGE, ["0: OwnConv", "forward is not read"]),
    (seq((nn.LSTM, 4, 4), Net, (nn.GRU, 4, 4)), LINE, ["0: LSTM", "tuple", "1: Net", "2: GRU"]),
    (seq((nn.RNN, 4, 4)), LINE, ["0: RNN", "tuple"]),
    (seq((nn.LSTMCell, 4, 4)), (4,), ["LSTMCell", "one step"]),
    (seq((nn.MultiheadAttention, 4, 2)), LINE, ["MultiheadAttention", "several inputs"]),
    (seq((nn.ReflectionPad2d, 1)), IMAGE, ["ReflectionPad2d", "zeros only"]),
    (seq((nn.PixelShuffle, 2)), IMAGE, ["PixelShuffle", "no layer"]),
    (seq(nn.RReLU), (4,), ["RReLU", "training"]),
    (seq((nn.SyncBatchNorm, 3)), IMAGE, ["SyncBatchNorm", "BatchNorm"]),
    (seq((nn.LocalResponseNorm, 2)), IMAGE, ["LocalResponseNorm"]),
    (seq((nn.LazyLinear, 4)), (4,), ["no shape yet", "run the module once"]),
    (seq((nn.Linear, 4, 4, {"device": "meta"})), (4,), ["meta device"]),
    (
        changed(lambda m: m.register_forward_hook(lambda *_: None)),
        (4,),
        ["1: Linear", "forward_hooks"],
    ),
    (
        changed(lambda m: m.register_forward_pre_hook(lambda *_: None)),
        (4,),
        ["forward_pre_hooks"],
    ),
    (
        changed(lambda m: m.register_full_backward_hook(lambda *_: None)),
        (4,),
        ["backward_hooks"],
    ),
    (changed(nn.utils.parametrizations.weight_norm), (4,), ["weight is parametrized", "remove"]),
    (changed(nn.utils.parametrizations.spectral_norm), (4,), ["weight is parametrized", "remove"]),
    (changed(nn.utils.spectral_norm), (4,), ["1: Linear", "forward_pre_hooks", "weight_orig"]),
    (changed(own_forward), (4,), ["forward of its own"]),
    (changed(freeze_bias), (4,), ["1: Linear", "only its bias is frozen"]),
    (changed(lambda m: m.register_buffer("scale", m.bias * 2)), (4,), ["scale"]),
    (changed(lambda m: m.add_module("more", nn.ReLU())), (4,), ["more"]),
    (tied, (4,), ["1: Linear", "weight is that of 0", "share nothing"]),
    (twice, (4,), ["2: Linear", "weight is that of 0"]),
    (mixed, (4,), ["one dtype", "float64 (1"]),
    (
        lambda: nn.Sequential(OrderedDict({"a/b": nn.Linear(4, 4)})),
        (4,),
        ["a/b: Linear", "its name", "without a slash"],
    ),
    (seq((nn.Linear, 5, 4)), (4,), ["0: Linear: argument 'in_features'", "size 5", "(None, 4)"]),
    (seq((nn.Conv2d, 4, 4, 3)), IMAGE, ["in_channels", "4 channels", "(None, 3, 9, 8)"]),
    (seq((nn.Conv2d, 3, 4, 3)), LINE, ["expected an input with 4 axes"]),
    (seq((nn.Conv2d, 3, 4, 12)), IMAGE, ["as Conv2D", "larger than the input"]),
    (
        seq((nn.Conv2d, 3, 4, 3, {"padding": 1, "padding_mode": "circular"})),
        IMAGE,
        ["padding_mode", "circular"],
    ),
    (
        seq((nn.Conv2d, 3, 4, 3, {"stride": 2, "dilation": 2})),
        IMAGE,
        ["as Conv2D", "dilation_rate", "strides"],
    ),
    (seq((nn.ConvTranspose2d, 4, 4, 3, {"groups": 2})), (4, 5, 5), ["groups"]),
    (
        seq((nn.ConvTranspose2d, 3, 4, 3, {"output_padding": 1, "dilation": 2})),
        IMAGE,
        ["output_padding"],
    ),
    (seq((nn.MaxPool2d, 3, 2, 1)), IMAGE, ["argument 'padding'", "ReLU"]),
    (seq(nn.Tanh, (nn.MaxPool2d, 3, 2, 1)), IMAGE, ["1: MaxPool2d", "argument 'padding'"]),
    (seq((nn.MaxPool2d, 3, {"ceil_mode": True})), (3, 10, 9), ["ceil_mode"]),
    (seq((nn.MaxPool2d, 3, {"ceil_mode": True})), (3, None, 9), ["ceil_mode", "open sizes"]),
    (seq((nn.MaxPool2d, 2, {"dilation": 2})), IMAGE, ["dilation"]),
    (seq((nn.MaxPool2d, 2, {"return_indices": True})), IMAGE, ["return_indices"]),
    (seq((nn.AvgPool2d, 2, {"divisor_override": 3})), IMAGE, ["divisor_override", "4"]),
    (
        seq((nn.AvgPool2d, 3, 2, 1, {"count_include_pad": False})),
        IMAGE,
        ["count_include_pad"],
    ),
    (seq((nn.AvgPool2d, 3, {"ceil_mode": True})), (3, 10, 10), ["ceil_mode"]),
    (seq((nn.AdaptiveAvgPool2d, (None, 2))), (3, None, 4), ["output_size", "open size"]),
    (seq((nn.AdaptiveMaxPool2d, 2, {"return_indices": True})), IMAGE, ["return_indices"]),
    (seq((nn.BatchNorm2d, 3, {"momentum": None})), IMAGE, ["momentum"]),
    (seq((nn.BatchNorm2d, 3, {"track_running_stats": False})), IMAGE, ["track_running_stats"]),
    (seq((nn.BatchNorm2d, 4)), IMAGE, ["num_features"]),
    (seq((nn.BatchNorm1d, 3)), IMAGE, ["expected an input with 2 or 3 axes"]),
    (seq((nn.InstanceNorm2d, 3, {"track_running_stats": True})), IMAGE, ["track_running_stats"]),
    (seq((nn.LayerNorm, 7)), (6,), ["normalized_shape", "(7,)"]),
    (seq((nn.RMSNorm, 6, {"elementwise_affine": False})), (6,), ["elementwise_affine"]),
    (lambda: seq((nn.RMSNorm, 6))().half(), (6,), ["argument 'eps'", "float16"]),
    (seq((nn.GroupNorm, 2, 4)), IMAGE, ["num_channels"]),
    (seq((nn.Embedding, 9, 4, {"max_norm": 1.0})), (6,), ["max_norm"]),
    (seq((nn.Embedding, 9, 4, {"scale_grad_by_freq": True})), (6,), ["scale_grad_by_freq"]),
    (seq((nn.Softmax, 0)), (6,), ["dim", "behind the batch"]),
    (seq(nn.Softmax), LINE, ["dim", "behind the batch"]),
    (seq((nn.Softmax, 3)), LINE, ["dim", "received 3"]),
    (seq((nn.Hardtanh, -2, 2)), (6,), ["min_val", "(-2, 2)"]),
    (seq((nn.Softplus, 2)), (6,), ["beta"]),
    (lambda: seq((nn.Linear, 6, 6), nn.Softplus)().double(), (6,), ["threshold", "float64"]),
    (seq((nn.Softplus, 1, 5)), (6,), ["threshold", "float32"]),
    (seq((nn.CELU, -1.0)), (6,), ["alpha"]),
    (seq((nn.LeakyReLU, -0.1)), (6,), ["as LeakyReLU", "negative_slope"]),
    (seq((nn.GLU, 1)), (5,), ["as Activation", "even size"]),
    (seq(nn.GLU, (nn.Linear, 3, 2)), (6,), ["0: GLU", "Linear follows"]),
    (seq((nn.Dropout2d, 0.5)), LINE, ["expected an input with 4 axes"]),
    (seq((nn.Flatten, 0)), IMAGE, ["start_dim", "behind the batch"]),
    (seq((nn.Flatten, 3, 2)), IMAGE, ["start_dim"]),
    (seq((nn.Flatten, 2)), (None, None, 8), ["start_dim", "open"]),
    (seq((nn.Unflatten, 1, (2, 2))), (6,), ["unflattened_size"]),
    (by_name, (6,), ["dim", "'c'"]),
    (seq((nn.ZeroPad2d, (-1, 0, 0, 0))), IMAGE, ["padding", "negative"]),
    (seq((nn.ConstantPad2d, 1, 0.5)), IMAGE, ["value", "0.5"]),
    (seq((nn.Upsample, {"scale_factor": 1.5})), IMAGE, ["scale_factor", "whole"]),
    (seq((nn.Upsample, {"size": (10, 8)})), IMAGE, ["size", "whole"]),
    (seq((nn.Upsample, {"scale_factor": 2, "mode": "bicubic"})), IMAGE, ["mode", "bicubic"]),
    (seq((nn.UpsamplingBilinear2d, {"scale_factor": 2})), IMAGE, ["align_corners"]),
]
