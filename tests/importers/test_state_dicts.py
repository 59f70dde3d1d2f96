"""State dicts of modules that people wrote, onto a spec of the same layers in the same order."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqgen
from seqgen.errors import MismatchError
from tests.importers.test_porting import program, spec
from tests.importers.test_torch import exercised

torch = pytest.importorskip("torch")
nn = torch.nn

DOUBLE = {"dtype": "float64"}
CONV = {"filters": 4, "kernel_size": 3}


class Last(nn.Module):  # type: ignore[misc, name-defined]
    """The last output of a recurrent module, without its states."""

    def forward(self, x: Any) -> Any:
        """Of (outputs, states)."""
        return x[0][:, -1]


def cnn() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(), nn.Flatten(), nn.Linear(120, 5)
    )


def nested() -> Any:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4)),
        nn.Sequential(nn.ConvTranspose2d(4, 2, 2, 2), nn.Conv2d(2, 4, 3, groups=2)),
        nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(320, 5)),
    )


def with_names(layer: Any) -> Any:
    return nn.Sequential(OrderedDict(words=nn.Embedding(9, 4), cells=layer, last=Last()))


SEPARATE = {"DepthwiseConv2D": {"kernel_size": 3, "depth_multiplier": 2}}
CASES: dict[str, tuple[Any, dict[str, Any], tuple[int, ...]]] = {
    "cnn": (
        cnn,
        spec(
            "a", [7, 8, 3], {"Conv2D": CONV}, "BatchNormalization", "ReLU", "Flatten", {"Dense": 5}
        ),
        (3, 7, 8),
    ),
    "nested": (
        nested,
        spec(
            "b",
            [7, 8, 3],
            {"Conv2D": CONV},
            {"PReLU": {"shared_axes": [1, 2]}},
            {"Conv2DTranspose": {"filters": 2, "kernel_size": 2, "strides": 2}},
            SEPARATE,
            "Flatten",
            {"Dense": 5},
        ),
        (3, 7, 8),
    ),
    "norms": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4, 1e-3), nn.Linear(4, 3, bias=False)),
        spec(
            "c", [6], {"Dense": 4}, "LayerNormalization", {"Dense": {"units": 3, "use_bias": False}}
        ),
        (6,),
    ),
    "lstm": (
        lambda: with_names(nn.LSTM(4, 3, batch_first=True)),
        spec("d", [5], {"Embedding": {"input_dim": 9, "output_dim": 4}}, {"LSTM": 3}),
        (5,),
    ),
    "gru": (
        lambda: with_names(nn.GRU(4, 3, batch_first=True)),
        spec("e", [5], {"Embedding": {"input_dim": 9, "output_dim": 4}}, {"GRU": 3}),
        (5,),
    ),
    "rnn": (
        lambda: with_names(nn.RNN(4, 3, batch_first=True)),
        spec("f", [5], {"Embedding": {"input_dim": 9, "output_dim": 4}}, {"SimpleRNN": 3}),
        (5,),
    ),
}


def saved(module: Any, folder: Path) -> Path:
    torch.save(module.state_dict(), folder / "theirs.pt")
    return folder / "theirs.pt"


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_modules_says_what_is_what(name: str, tmp_path: Path) -> None:
    make, given, shape = CASES[name]
    module = exercised(make().double())
    model = seqgen.Sequential.from_dict({"seqgen": 1, **given, **DOUBLE})
    state = saved(module, tmp_path)
    report = seqgen.port_weights(model, state, tmp_path / "ours.pt")
    assert {part for row in report.rows for part in row.source} | set(report.left_out) == set(
        module.state_dict()
    )
    made = program(model, "torch", "native", tmp_path).build_model().eval()
    made.load_state_dict(torch.load(tmp_path / "ours.pt", weights_only=True))
    ids = name in ("lstm", "gru", "rnn")
    x = torch.randint(0, 9, (3, *shape)) if ids else torch.randn((3, *shape), dtype=torch.float64)
    with torch.no_grad():
        expected, received = module(x), made(x)
    assert torch.allclose(received, expected, rtol=1e-12, atol=1e-12)


def test_two_biases_are_one_in_the_report(tmp_path: Path) -> None:
    make, given, _ = CASES["lstm"]
    module = make()
    model = seqgen.Sequential.from_dict({"seqgen": 1, **given})
    report = seqgen.port_weights(model, saved(module, tmp_path), tmp_path / "w.safetensors")
    bias = next(row for row in report.rows if row.key.endswith("bias"))
    assert bias.source == ("cells.bias_ih_l0", "cells.bias_hh_l0")


REFUSED: dict[str, tuple[Any, list[str]]] = {
    "fewer": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(120, 5)),
        ["* dense: expected weight (5, 120), bias (5,) | (no module): received -"],
    ),
    "shape": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(119, 5)),
        ["* dense: expected weight (5, 120)", "| 2: received weight (5, 119), bias (5,)"],
    ),
    "kind": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(120, 5), nn.BatchNorm2d(4)),
        ["  conv2d: expected weight (4, 3, 3, 3)", "* batch_normalization: expected", "* dense:"],
    ),
    "no bias": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Linear(120, 5)),
        ["* conv2d: expected weight (4, 3, 3, 3), bias (4,) | 0: received weight (4, 3, 3, 3)"],
    ),
    "dtype": (lambda: cnn().double(), ["'0.weight': expected float32, received float64"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_listed_side_by_side(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    model = seqgen.Sequential.from_dict({"seqgen": 1, **CASES["cnn"][1]})
    with pytest.raises(MismatchError) as caught:
        seqgen.port_weights(model, saved(make(), tmp_path), tmp_path / "w.safetensors")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_graph_has_no_one_order(tmp_path: Path) -> None:
    entry = seqgen.Input((4,))
    one, two = seqgen.layers.Dense(3)(entry), seqgen.layers.Dense(3)(entry)
    model = seqgen.Model(entry, seqgen.layers.Add()([one, two]))
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3))
    with pytest.raises(MismatchError, match="only where the model is a Sequential"):
        seqgen.port_weights(model, saved(module, tmp_path), tmp_path / "w.safetensors")


def test_keras_computes_it_too(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    make, given, shape = CASES["cnn"]
    module = exercised(make().double())
    model = seqgen.Sequential.from_dict({"seqgen": 1, **given, **DOUBLE})
    seqgen.port_weights(model, saved(module, tmp_path), tmp_path / "w.safetensors")
    names = program(model, "keras", "native", tmp_path)
    made = names.build_model()
    names.load_weights(made, str(tmp_path / "w.safetensors"))
    x = torch.randn((3, *shape), dtype=torch.float64)
    with torch.no_grad():
        expected = module(x).numpy()
    assert np.allclose(np.asarray(made(x.numpy().transpose(0, 2, 3, 1))), expected, rtol=1e-10)
