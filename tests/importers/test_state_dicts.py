"""State dicts of modules that people wrote, onto a spec of the same layers in the same order."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import seqgen
from seqgen.cli import main
from seqgen.errors import MismatchError, SeqgenError, SpecError, UnsupportedError
from seqgen.porting import Porting
from seqgen.weights import Weights
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


class Joined(nn.Module):  # type: ignore[misc, name-defined]
    """The last states of a recurrent module that goes both ways."""

    def forward(self, x: Any) -> Any:
        """Of (outputs, (states, cells))."""
        return torch.cat(tuple(x[1][0]), -1)


def generator() -> Any:
    return nn.Sequential(
        nn.Linear(6, 40),
        nn.BatchNorm1d(40, eps=1e-3),
        nn.Unflatten(1, (5, 2, 4)),
        nn.ConvTranspose2d(5, 3, 2, 2),
    )


WORDS = {"Embedding": {"input_dim": 9, "output_dim": 4}}
IMAGES = {"Reshape": {"target_shape": [2, 4, 5]}}
UPWARDS = {"Conv2DTranspose": {"filters": 3, "kernel_size": 2, "strides": 2}}
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
    "two lstms": (
        lambda: with_names(nn.LSTM(4, 3, 2, batch_first=True)),
        spec("g", [5], WORDS, {"LSTM": {"units": 3, "return_sequences": True}}, {"LSTM": 3}),
        (5,),
    ),
    "both ways": (
        lambda: nn.Sequential(
            nn.Embedding(9, 4), nn.LSTM(4, 3, batch_first=True, bidirectional=True), Joined()
        ),
        spec("h", [5], WORDS, {"Bidirectional": {"layer": {"LSTM": 3}}}),
        (5,),
    ),
    "generator": (
        generator,
        spec("i", [6], {"Dense": 40}, "BatchNormalization", IMAGES, UPWARDS),
        (6,),
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
    ids = "Embedding" in str(given)
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


def sorted_by_name(module: Any, folder: Path) -> Path:
    """The state dict as a safetensors file."""
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    Weights(arrays).save(folder / "theirs.safetensors")
    return folder / "theirs.safetensors"


def double(given: dict[str, Any]) -> Any:
    return seqgen.Sequential.from_dict({"seqgen": 1, **given, **DOUBLE})


def ported(given: dict[str, Any], source: Path, **options: Any) -> Porting:
    """What went where, from a state dict into a file in Keras layout."""
    target = source.with_name("ours.safetensors")
    return seqgen.port_weights(double(given), source, target, **options)


def computed(given: dict[str, Any], weights: str, images: Any) -> Any:
    """What the program that takes images as the spec does makes of some, channels first here."""
    names = program(double(given), "torch", "spec", Path(weights).parent)
    made = names.build_model().eval()
    names.load_weights(made, weights)
    with torch.no_grad():
        return made(images.permute(0, 2, 3, 1))


def numbered() -> Any:
    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(11)))


SORTED: dict[str, tuple[Any, dict[str, Any]]] = {
    **{name: CASES[name][:2] for name in ("cnn", "nested", "two lstms")},
    "numbers": (numbered, spec("j", [4], *[{"Dense": 4}] * 11)),
}


@pytest.mark.parametrize("name", SORTED)
def test_a_file_sorted_by_name_gives_the_same(name: str, tmp_path: Path) -> None:
    make, given = SORTED[name]
    module = exercised(make().double())
    ours = []
    for source in (saved(module, tmp_path), sorted_by_name(module, tmp_path)):
        # What `layout` says of programs is nothing to other modules.
        layout = "spec" if source.suffix == ".pt" else None
        report = ported(given, source, force=True, layout=layout)
        ours.append(Path(report.target).read_bytes())
        assert report.matched == "order"
    assert ours[0] == ours[1]


def test_a_file_sorted_by_name_with_the_names_of_the_program(tmp_path: Path) -> None:
    _, given, _ = CASES["cnn"]
    made = exercised(program(double(given), "torch", "native", tmp_path).build_model())
    report = ported(given, sorted_by_name(made, tmp_path))
    assert (report.matched, report.rows[0].source) == ("names", ("conv2d.weight",))
    x = torch.randn((3, 3, 7, 8), dtype=torch.float64)
    with torch.no_grad():
        expected = made(x)
    assert torch.allclose(computed(given, report.target, x), expected, rtol=1e-12, atol=1e-12)


class Named(nn.Module):  # type: ignore[misc, name-defined]
    """Modules that have, all but one, the names that a spec gives."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)
        self.dense_1 = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)


NAMED = spec("k", [4], {"Dense": 4}, {"Dense": 4}, {"Dense": 2})


def test_what_has_some_of_the_names_is_matched_as_asked(tmp_path: Path) -> None:
    source = saved(Named().double(), tmp_path)
    for match in (None, "names"):
        with pytest.raises(MismatchError) as caught:
            ported(NAMED, source, match=match)
        assert "'head.weight': unexpected" in str(caught.value)
        assert "--match order takes its modules in their order" in str(caught.value)
    report = ported(NAMED, source, match="order")
    assert [row.source for row in report.rows[::2]] == [
        ("dense.weight",),
        ("dense_1.weight",),
        ("head.weight",),
    ]
    assert report.to_dict()["matched"] == "order"
    console = Console(force_terminal=True, width=200, record=True)
    report.print(console)
    assert "6 variables, matched by order: " in console.export_text()
    double(NAMED).save(tmp_path / "spec.yaml")
    command = ["port-weights", str(tmp_path / "spec.yaml"), "--from", str(source)]
    command += ["--to", str(tmp_path / "again.safetensors"), "--match", "order"]
    done = CliRunner().invoke(main, command)
    assert done.stdout.endswith("matched by\torder\n"), done.output


def test_names_have_no_order_in_a_file_sorted_by_them(tmp_path: Path) -> None:
    with pytest.raises(MismatchError) as caught:
        ported(NAMED, sorted_by_name(Named().double(), tmp_path), match="order")
    message = str(caught.value)
    assert "'dense' may be 'dense' or 'dense_1'; a .safetensors file does not keep" in message
    assert "torch.save(module.state_dict(), 'weights.pt')" in message
    assert "  * dense: expected weight (4, 4), bias (4,) | (no module): received -" in message
    assert "  * (no layer): expected - | head: received bias (2,), weight (2, 4)" in message
    apart = spec("l", [4], {"Dense": 5}, {"Dense": 6}, {"Dense": 2})
    shapes = OrderedDict(z=nn.Linear(4, 5), y=nn.Linear(5, 6), x=nn.Linear(6, 2))
    report = ported(apart, sorted_by_name(nn.Sequential(shapes).double(), tmp_path))
    assert [row.source[0] for row in report.rows[::2]] == ["z.weight", "y.weight", "x.weight"]
    del shapes["y"]
    with pytest.raises(MismatchError, match=r"\n  \* dense_1: .* \(no module\)(.|\n)*\| x: rec"):
        ported(apart, sorted_by_name(nn.Sequential(shapes).double(), tmp_path), force=True)


class ChannelsLast(nn.Module):  # type: ignore[misc, name-defined]
    """(N, C, H, W) to (N, H, W, C)."""

    def forward(self, x: Any) -> Any:
        """Of a batch of images."""
        return x.permute(0, 2, 3, 1)


def last() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        ChannelsLast(),
        nn.LayerNorm(4, eps=1e-3),
        nn.Flatten(),
        nn.Linear(120, 5),
    )


def flat() -> Any:
    return nn.Sequential(nn.Flatten(), nn.Linear(168, 5))


NORM, FIRST = "LayerNormalization", {"Permute": {"dims": [3, 1, 2]}}
AXES: dict[str, tuple[Any, list[Any], str, bool]] = {
    "norm": (last, [{"Conv2D": CONV}, NORM, "Flatten", {"Dense": 5}], "flatten", True),
    "input": (flat, ["Flatten", {"Dense": 5}], "flatten", False),
    "permute": (flat, [FIRST, "Flatten", {"Dense": 5}], "flatten", True),
    "swap": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(120, 5)),
        [{"Conv2D": CONV}, {"Permute": {"dims": [2, 1, 3]}}, "Flatten", {"Dense": 5}],
        "dense",
        False,
    ),
    "merge": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(24, 5)),
        [{"Conv2D": CONV}, {"Reshape": {"target_shape": [5, 24]}}, {"Dense": 5}],
        "reshape",
        False,
    ),
    "split": (
        lambda: nn.Sequential(nn.Linear(168, 40), nn.LayerNorm(5), nn.ConvTranspose2d(5, 3, 2)),
        [FIRST, "Flatten", {"Dense": 40}, IMAGES, NORM, UPWARDS],
        "reshape",
        False,
    ),
    "cubes": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, (2, 3)), nn.LayerNorm((6, 6, 6))),
        [{"Conv2D": {"filters": 6, "kernel_size": [2, 3]}}, {NORM: {"axis": [1, 2, 3]}}],
        "layer_normalization",
        False,
    ),
    "steps": (
        lambda: nn.Sequential(nn.Conv1d(24, 4, 3), nn.Linear(20, 5)),
        [{"Reshape": {"target_shape": [7, 24]}}, {"Conv1D": CONV}, "Flatten", {"Dense": 5}],
        "reshape",
        False,
    ),
}


@pytest.mark.parametrize("name", AXES)
def test_an_order_that_hangs_on_the_module_is_asked_for(name: str, tmp_path: Path) -> None:
    make, layers, where, runs = AXES[name]
    module, given = exercised(make().double()), spec("m", [7, 8, 3], *layers)
    source = saved(module, tmp_path)
    with pytest.raises(UnsupportedError, match=f"order of features at.* '{where}'.* --spec-order"):
        ported(given, source)
    if runs:
        report = ported(given, source, spec_order=True)
        x = torch.randn((3, 3, 7, 8), dtype=torch.float64)
        with torch.no_grad():
            expected = module(x)
        assert torch.allclose(computed(given, report.target, x), expected, rtol=1e-12, atol=1e-12)


TURN = {"Permute": {"dims": [2, 1]}}
PERMUTED: list[list[Any]] = [
    [[5, 3], {"LSTM": {"units": 4, "return_sequences": True}}, TURN, "Flatten", {"Dense": 5}],
    [[7], {"Dense": 12}, {"Reshape": {"target_shape": [3, 4]}}, TURN, {"LSTM": 2}],
]


def renamed(layers: list[Any], folder: Path) -> tuple[Any, Path]:
    """A spec, and a state dict of its program with other names."""
    shape, *rest = layers
    model = seqgen.Sequential.from_dict({"seqgen": 1, **spec("n", shape, *rest)})
    made = program(model, "torch", "native", folder).build_model()
    torch.save({f"own.{name}": x for name, x in made.state_dict().items()}, folder / "a.pt")
    return model, folder / "a.pt"


@pytest.mark.parametrize("layers", PERMUTED, ids=str)
def test_a_permute_that_is_no_step_of_the_program(layers: list[Any], tmp_path: Path) -> None:
    model, source = renamed(layers, tmp_path)
    with pytest.raises(UnsupportedError, match=r"order of features at '(flatten|reshape)'"):
        seqgen.port_weights(model, source, tmp_path / "b.safetensors")


PLAIN: list[list[Any]] = [
    [[28, 28], "Flatten", {"Dense": 5}],
    [[28, 28, 1], "Flatten", {"Dense": 5}],
    [[7, 8, 3], {"Conv2D": CONV}, {"Reshape": {"target_shape": [30, 4]}}, {"Dense": 5}],
    [[7, 8, 3], {"Conv2D": CONV}, NORM, {"Conv2D": CONV}, "Flatten", {"Dense": 5}],
    [[168], {"Reshape": {"target_shape": [7, 8, 3]}}, {"Conv2D": CONV}, "Flatten", {"Dense": 5}],
    [[7, 8, 3], {"Conv2D": CONV}, {"Permute": {"dims": [3, 1, 2]}}, "Flatten", {"Dense": 5}],
    [[9, 3], {"Conv1D": CONV}, "Flatten", "LayerNormalization", {"Dense": 5}],
    [[9, 3], {"Conv1D": CONV}, {"LSTM": {"units": 4, "return_sequences": True}}, "Flatten"],
]


@pytest.mark.parametrize("layers", PLAIN, ids=str)
def test_an_order_that_does_not_hang_on_it_is_not(layers: list[Any], tmp_path: Path) -> None:
    model, source = renamed(layers, tmp_path)
    report = seqgen.port_weights(model, source, tmp_path / "b.safetensors")
    assert report.matched == "order"


@pytest.mark.parametrize(
    ("suffix", "options", "words"),
    [
        (".weights.h5", {"match": "order"}, "only state dicts of PyTorch are matched by order"),
        (".safetensors", {"match": "order"}, "expected the names of a PyTorch module"),
        (".pt", {"spec_order": True}, "leave out --spec-order"),
        (".pt", {"match": "shape"}, "expected match 'names' or 'order', received 'shape'"),
    ],
)
def test_what_does_not_go_together(
    suffix: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    model = seqgen.Sequential.from_dict({"seqgen": 1, **NAMED})
    Weights.initialize(model.graph().weights).save(tmp_path / "a.safetensors")
    source = tmp_path / f"b{suffix}"
    seqgen.port_weights(model, tmp_path / "a.safetensors", source)
    with pytest.raises(SeqgenError, match=words) as caught:
        seqgen.port_weights(model, source, tmp_path / "c.safetensors", **options)
    assert suffix != ".pt" or isinstance(caught.value, SpecError)
    assert not (tmp_path / "c.safetensors").exists()
