"""The Keras program runs unchanged on other back ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import seqgen
from seqgen.verify import Pool
from tests.renew import EXAMPLES

SPECS = sorted(EXAMPLES.glob("*.yaml"))


@pytest.fixture(scope="module")
def pool_on_torch() -> Iterator[Pool]:
    """Workers of which Keras computes with torch."""
    with pytest.MonkeyPatch.context() as patch, Pool() as pool:
        patch.setenv("KERAS_BACKEND", "torch")
        yield pool


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_runs_on_the_torch_back_end(spec: Path, pool_on_torch: Pool) -> None:
    options = {"targets": ("keras",), "exporters": False, "seeds": 1}
    report = seqgen.verify(seqgen.load(spec), pool=pool_on_torch, **options)
    assert "torch" in pool_on_torch.ask("keras", "hello")["devices"]
    assert report.ok, report.to_json()
