"""Modules of PyTorch that a Python function returns, named as `module:function`."""

import importlib
import operator
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seqgen.errors import SeqgenError, SpecError, UnsupportedError
from seqgen.importers.torch import from_torch
from seqgen.layers.arguments import near_miss
from seqgen.layers.base import Weight
from seqgen.porting.content import checked
from seqgen.porting.programs import NOTHING
from seqgen.porting.torch_file import state_dict, tensor_of, wrapped
from seqgen.spec.sequential import Sequential
from seqgen.weights import FLOATS, Weights

SUFFIXES = (".pt", ".pth", ".safetensors")


def from_function(
    source: str,
    input_shape: Sequence[int | None],
    weights: str | os.PathLike[str] | None = None,
) -> Sequential:
    """The spec of the `nn.Sequential` that a Python function returns, with its weights.

    The module is imported and the function called without arguments: what they do is done. The
    current folder is where modules are looked for first.

    Args:
        source: The function, as `package.module:function`.
        input_shape: Shape of the module's input without the batch, channels first; None for an open
            size.
        weights: A state dict (`.pt`, `.pth` or `.safetensors`) that the module takes before; it
            must have exactly the names, shapes and dtypes of the module's own.

    Raises:
        SpecError: There is no such module or function.
        UnsupportedError: It returns no `nn.Sequential`, or one with parts that Keras has no exact
            layer for.
        MismatchError: The state dict does not fit the module.
        SeqgenError: PyTorch is not installed, the code of the user raises, or the state dict cannot
            be read.
    """
    torch = _torch(source)
    with _current_folder_first():
        module = _module_of(source, torch)
    model = from_torch(module, input_shape)
    if weights is not None:
        # The spec reads the tensors of the module when it is asked for its weights.
        _load(module, Path(weights))
    return model


def _torch(source: str) -> Any:
    try:
        import torch
    except ImportError:
        raise SeqgenError(
            f"PyTorch is needed for {source} and is not installed: pip install torch"
        ) from None
    return torch


@contextmanager
def _current_folder_first() -> Iterator[None]:
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        # Unless the user's code has taken it out itself.
        with suppress(ValueError):
            sys.path.remove(folder)


@contextmanager
def _user_code(doing: str) -> Iterator[None]:
    """Say what the user's code raises, and where, in one error."""
    try:
        yield
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({place.filename}:{place.lineno})" if place.filename != __file__ else ""
        raise SeqgenError(f"{doing} raised {type(error).__name__}: {error}{where}") from None


def _module_of(source: str, torch: Any) -> Any:
    """The module that a function returns; a name may also stand for a module itself."""
    found = _found(source)
    if isinstance(found, torch.nn.Module):
        return found
    if not callable(found):
        message = f"expected a function, received {type(found).__name__}"
        raise UnsupportedError(f"{source}: {message}; name one that returns the module")
    with _user_code(f"{source}: calling it"):
        return found()


def _found(source: str) -> Any:
    """What a function's name stands for."""
    place, _, name = source.partition(":")
    module = _imported(place)
    try:
        return operator.attrgetter(name)(module)
    except AttributeError:
        known = (other for other in dir(module) if not other.startswith("_"))
        hint = near_miss(name, known)
        raise SpecError(f"module '{place}' has no '{name}'{hint}") from None


def _imported(name: str) -> Any:
    with _user_code(f"importing '{name}'"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):
                raise
    raise SpecError(
        f"there is no module '{name}', neither in {os.getcwd()} nor among what is installed; "
        "expected package.module:function"
    )


def _load(module: Any, path: Path) -> None:
    """Have a module take a state dict, which must be exactly its own but for the values."""
    if not path.name.lower().endswith(SUFFIXES):
        raise UnsupportedError(f"{path}: expected a file that ends in one of {', '.join(SUFFIXES)}")
    given, own = state_dict(path), module.state_dict()
    dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in own.items()}
    specs = [
        Weight(name, tuple(tensor.shape), NOTHING, key=name, dtype=dtypes[name])
        for name, tensor in own.items()
    ]
    floats = next((dtype for dtype in dtypes.values() if dtype in FLOATS), None)
    checked(path, Weights(given), specs, floats, wrapped(given))
    module.load_state_dict({name: tensor_of(entry.load()) for name, entry in given.items()})
