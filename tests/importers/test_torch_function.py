"""`seqgen import module:function`: what a Python function returns, as a spec with its weights."""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import seqgen
from seqgen.cli import main
from seqgen.importers.torch_function import from_function
from seqgen.weights import Weights
from tests.importers.test_porting import Harmful, program

torch = pytest.importorskip("torch")

NETS = """
import torch
from torch import nn

NUMBER = 3
net = nn.Sequential(nn.Linear(3, 2))


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(120, 5)
    ).double().eval()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x)


class Factory:
    @staticmethod
    def pool():
        return nn.Sequential(nn.MaxPool2d(2))


def plain():
    return {"weights": 1}


def needy(width):
    return nn.Sequential(nn.Linear(3, width))


def wrong():
    return nn.Linear(3, 2)(torch.zeros(4))


def lstm():
    return nn.Sequential(nn.LSTM(3, 2))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules, which is the current one."""
    package = tmp_path / "models_of_a_user"
    package.mkdir()
    (package / "nets.py").write_text(NETS)
    (package / "broken.py").write_text("import nothing_that_is_there\n")
    (package / "half.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("models_of_a_user")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def imported(name: str, *options: str) -> Result:
    command = ["import", f"models_of_a_user.{name}", "-o", "net.yaml", *options]
    return CliRunner().invoke(main, command)


def made(name: str) -> Any:
    """What a function returns."""
    names: dict[str, Any] = {}
    exec(NETS, names)
    return names[name]()


@pytest.mark.parametrize("suffix", ["", ".pt", ".safetensors"])
def test_the_spec_computes_what_the_module_does(suffix: str, folder: Path) -> None:
    module, options = made("cnn"), ["--input-shape", "3, 7,8"]
    if suffix:
        for tensor in module.state_dict().values():
            tensor += torch.arange(tensor.numel()).reshape(tensor.shape) % 3
        arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
        torch.save(module.state_dict(), "trained.pt")
        Weights(arrays).save("trained.safetensors")
        options += ["--weights", f"trained{suffix}"]
    done = imported("nets:cnn", *options)
    assert done.stdout.split() == ["net.yaml", "net.safetensors"], done.output
    assert str(folder) not in sys.path
    names = program(seqgen.load("net.yaml"), "torch", "native", folder)
    loaded = names.build_model().eval()
    names.load_weights(loaded, "net.safetensors")
    x = torch.randn((3, 3, 7, 8), dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(loaded(x), module(x), rtol=1e-12, atol=1e-12)
    assert "exists; choose another name, or use --force" in imported("nets:cnn", *options).stderr
    assert imported("nets:cnn", *options, "--force").exit_code == 0


def test_sizes_may_be_open_and_names_have_dots() -> None:
    assert imported("nets:Factory.pool", "--input-shape", "3,null,8").exit_code == 0
    assert seqgen.load("net.yaml").inputs[0].shape[1:] == (None, 8, 3)
    assert imported("nets:net", "--input-shape", "3", "--force").exit_code == 0
    assert seqgen.load("net.yaml").count_params() == 8


REFUSED = {
    "nets:cnn": "models_of_a_user.nets:cnn: expected the shape of the module's input without",
    "nets:cnm --input-shape 3": "module 'models_of_a_user.nets' has no 'cnm'; did you mean 'cnn'?",
    "nest:cnn --input-shape 3": "there is no module 'models_of_a_user.nest', neither in /",
    "broken:f --input-shape 3": "importing 'models_of_a_user.broken' raised ModuleNotFoundError: "
    "No module named 'nothing_that_is_there'",
    "half:f --input-shape 3": "importing 'models_of_a_user.half' raised SyntaxError",
    "nets:NUMBER --input-shape 3": "expected a function, received int",
    "nets:plain --input-shape 3": "expected a torch.nn.Sequential, received dict",
    "nets:Net --input-shape 3": "expected a torch.nn.Sequential, received Net: what the forward",
    "nets:lstm --input-shape 3": "0: LSTM: returns a tuple",
    "nets:needy --input-shape 3": "nets:needy: calling it raised TypeError: needy() missing 1",
    "nets:wrong --input-shape 3": "nets:wrong: calling it raised RuntimeError",
    "nets:cnn --input-shape 3,x": "expected sizes with commas between, such as 3,32,null; received",
    "nets:cnn --input-shape -3": "expected sizes with commas between",
    "nets:net --input-shape 3 --weights no.pt": "no.pt: cannot be read: No such file",
    "nets:net --input-shape 3 --weights w.h5": "w.h5: expected a file that ends in one of .pt, ",
    "nets:net --input-shape 3 --force --weights net.safetensors": "net.safetensors is where the",
    "nets:net --input-shape 3 --weights harm.pt": "harm.pt is not a plain state dict",
}


@pytest.mark.parametrize("command", REFUSED)
def test_refused(command: str) -> None:
    torch.save({"0.weight": Harmful()}, "harm.pt")
    done = imported(*command.split())
    assert done.exit_code == 2, done.output
    assert REFUSED[command] in done.stderr, done.stderr
    assert not Path("net.yaml").exists()
    assert not Path("harmed").exists()


def test_a_state_dict_must_be_the_module_s(folder: Path) -> None:
    state = made("cnn").state_dict()
    state["4.wieght"] = state.pop("4.weight")
    state["0.bias"] = state["0.bias"].float()
    state["1.running_mean"] = state["1.running_mean"][:3]
    torch.save(state, "w.pt")
    done = imported("nets:cnn", "--input-shape", "3,7,8", "--weights", "w.pt")
    for words in (
        "'4.weight': missing, of shape (5, 120)",
        "'4.wieght': unexpected; did you mean '4.weight'?",
        "'0.bias': expected float64, received float32",
        "'1.running_mean': expected shape (4,), received (3,)",
    ):
        assert words in done.stderr, done.stderr
    torch.save({f"module.{name}": x for name, x in made("cnn").state_dict().items()}, "w.pt")
    done = imported("nets:cnn", "--input-shape", "3,7,8", "--weights", "w.pt")
    assert "all names begin with 'module.'" in done.stderr


def test_files_take_no_shape() -> None:
    done = CliRunner().invoke(main, ["import", "m.onnx", "-o", "m.yaml", "--input-shape", "3"])
    assert "m.onnx: --input-shape and --weights are for functions" in done.stderr


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(seqgen.SeqgenError, match="is not installed: pip install torch"):
        from_function("models_of_a_user.nets:cnn", (3, 7, 8))
