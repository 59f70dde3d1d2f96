"""What PyTorch users do with the program: compile it, export it, train it, freeze parts of it."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import seqgen
from tests.renew import EXAMPLES

torch = pytest.importorskip("torch")
SPECS = sorted(EXAMPLES.glob("*.yaml"))


def load(path: Path) -> ModuleType:
    """Import a file under the name of its folder."""
    spec = importlib.util.spec_from_file_location(path.parent.name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batch(manifest: dict[str, Any], size: int) -> tuple[Any, ...]:
    """A batch as the manifest describes the inputs; open sizes are 16, that of the batch `size`."""
    return tuple(made(entry, size) for entry in manifest["targets"]["torch"]["inputs"])


def made(entry: dict[str, Any], size: int) -> Any:
    known = [16 if i else size for i in range(len(entry["shape"]))]
    sizes = [
        n if isinstance(n, int) else other for n, other in zip(entry["shape"], known, strict=True)
    ]
    generator = torch.Generator().manual_seed(0)
    if entry["dtype"].startswith("int"):
        return torch.randint(0, 5, sizes, generator=generator, dtype=getattr(torch, entry["dtype"]))
    return torch.randn(sizes, generator=generator)


def results(made: Any) -> tuple[Any, ...]:
    return made if isinstance(made, tuple) else (made,)


def call(model: Any, x: tuple[Any, ...]) -> tuple[Any, ...]:
    """The results for a batch, from states that are zeros if the model keeps some."""
    if hasattr(model, "reset_states"):
        model.reset_states()
    with torch.no_grad():
        return results(model(*x))


@pytest.fixture(scope="module", params=SPECS, ids=lambda spec: spec.stem)
def example(request: Any, tmp_path_factory: Any) -> tuple[Any, dict[str, Any]]:
    """The model of an example's program, and its manifest."""
    out = tmp_path_factory.mktemp("out") / request.param.stem
    manifest = seqgen.generate(seqgen.load(request.param), out).to_dict()
    return load(out / "torch_model.py").build_model().eval(), manifest


def test_compiles_as_one_graph(example: tuple[Any, dict[str, Any]]) -> None:
    model, manifest = example
    x = batch(manifest, 3)
    expected = call(model, x)
    # torch.compile leaves recurrent modules out of its graphs unless it is told otherwise.
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for a, b in zip(call(compiled, x), expected, strict=True):
            assert torch.equal(a, b)


def test_exports_with_an_open_batch(example: tuple[Any, dict[str, Any]]) -> None:
    model, manifest = example
    shapes = [entry["shape"] for entry in manifest["targets"]["torch"]["inputs"]]
    opened = tuple(
        {axis: torch.export.Dim.AUTO for axis, n in enumerate(shape) if not isinstance(n, int)}
        for shape in shapes
    )
    x = batch(manifest, 5)
    expected = call(model, x)
    if hasattr(model, "reset_states"):
        model.reset_states()
    exported = torch.export.export(model, batch(manifest, 3), dynamic_shapes=opened)
    for a, b in zip(call(exported.module(), x), expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_every_parameter_gets_a_gradient(example: tuple[Any, dict[str, Any]]) -> None:
    model, manifest = example
    model.train()
    sum(y.square().sum() for y in results(model(*batch(manifest, 4)))).backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad()
    model.eval()
    assert missing == []


def test_models_do_not_share_state(example: tuple[Any, dict[str, Any]]) -> None:
    model, _ = example
    first, second = type(model)(), type(model)()
    with torch.no_grad():
        next(first.parameters()).fill_(7.0)
    assert not torch.equal(next(first.parameters()), next(second.parameters()))
