"""One Keras-style spec in; Keras, PyTorch and ONNX programs out, proven equal.

Everything here is imported when it is first used, and no framework before it has to run.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqgen import initializers, layers
    from seqgen.errors import MismatchError, SeqgenError, SpecError, UnsupportedError
    from seqgen.generator import generate
    from seqgen.importers.keras import from_keras
    from seqgen.importers.onnx import from_onnx
    from seqgen.importers.torch import from_torch
    from seqgen.porting import port_weights
    from seqgen.spec.entry import Input
    from seqgen.spec.files import load
    from seqgen.spec.functional import Model
    from seqgen.spec.functions import Namespace
    from seqgen.spec.operations import ops
    from seqgen.spec.sequential import Sequential
    from seqgen.verify import verify

    activations: Namespace
    constraints: Namespace
    regularizers: Namespace
    __version__: str

_PLACES = {
    "Input": "seqgen.spec.entry",
    "MismatchError": "seqgen.errors",
    "Model": "seqgen.spec.functional",
    "SeqgenError": "seqgen.errors",
    "Sequential": "seqgen.spec.sequential",
    "SpecError": "seqgen.errors",
    "UnsupportedError": "seqgen.errors",
    "from_keras": "seqgen.importers.keras",
    "from_onnx": "seqgen.importers.onnx",
    "from_torch": "seqgen.importers.torch",
    "generate": "seqgen.generator",
    "load": "seqgen.spec.files",
    "ops": "seqgen.spec.operations",
    "port_weights": "seqgen.porting",
}
_MODULES = ("initializers", "layers", "verify")
_NAMESPACES = (
    "activations",
    "callbacks",
    "constraints",
    "losses",
    "metrics",
    "optimizers",
    "regularizers",
    "schedules",
)

__all__ = [
    "Input",
    "MismatchError",
    "Model",
    "SeqgenError",
    "Sequential",
    "SpecError",
    "UnsupportedError",
    "__version__",
    "activations",
    "constraints",
    "from_keras",
    "from_onnx",
    "from_torch",
    "generate",
    "initializers",
    "layers",
    "load",
    "ops",
    "port_weights",
    "regularizers",
    "verify",
]


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("seqgen")
    except metadata.PackageNotFoundError:
        # A checkout that is not installed.
        import tomllib
        from pathlib import Path

        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        value = getattr(importlib.import_module(_PLACES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"seqgen.{name}")
    elif name in _NAMESPACES:
        value = importlib.import_module("seqgen.spec.functions").Namespace(name)
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module 'seqgen' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Verify(ModuleType):
    """The package `seqgen.verify`, which is its main function too."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.verify(*args, **options)


class _Package(ModuleType):
    """This package. Importing `seqgen.verify` binds the module where the function is expected."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "verify" and isinstance(value, ModuleType):
            value.__class__ = _Verify
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
