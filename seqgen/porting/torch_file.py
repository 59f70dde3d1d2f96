"""State dicts of the generated PyTorch program, or of another module, as `torch.save` writes them.

They are read with `weights_only=True`, so that nothing within a pickle is ever run, and the arrays
of the archive must be stored as they are, so that no more memory is taken than the file has bytes.
"""

import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import SeqgenError, UnsupportedError
from seqgen.layers.arguments import short
from seqgen.layers.base import Weight
from seqgen.porting.content import Content, Search, checked, refused
from seqgen.porting.programs import NATIVE, Placing, placing, placing_of
from seqgen.porting.torch_axes import in_order_of_spec, undecided
from seqgen.porting.torch_order import by_order, is_chain, paths_of
from seqgen.tensor_file import CODES, Lazy
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

SAVE = "save a plain one with torch.save(model.state_dict(), path)"
# What a BatchNormalization of PyTorch counts besides, and does not use where momentum is a number.
COUNTER, COUNTED = "num_batches_tracked", "running_mean"
# What wraps a model and its names.
PREFIXES = ("module.", "_orig_mod.")


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise SeqgenError(
            "PyTorch is needed for .pt files and is not installed: pip install torch"
        ) from None
    return torch


def _check_stored(path: Path) -> None:
    """Refuse an archive that would unpack to more than it has bytes."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise SeqgenError(f"{path} is broken: {error}") from None
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise UnsupportedError(f"{path}: it is compressed, as torch.save does not do; {SAVE}")


def _loaded(path: Path) -> Any:
    torch = _torch()
    _check_stored(path)
    try:
        with warnings.catch_warnings():
            # What torch thinks of a file is said in one error, or not at all.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise SeqgenError(f"{path}: cannot be read: {error.strerror or error}") from None
    # What is no plain file of tensors fails in as many ways as there are bytes.
    except Exception as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise SeqgenError(
            f"{path} is not a plain state dict of tensors, or it is broken; a pickle is never run; "
            f"{SAVE} ({type(error).__name__}: {reason[:120]})"
        ) from None


def _entry(tensor: Any) -> Lazy | str:
    """A tensor as an entry of a store, or what is wrong with it."""
    torch = _torch()
    if not isinstance(tensor, torch.Tensor):
        return f"expected a tensor, received {type(tensor).__name__}"
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return f"expected a dense tensor with values, received {tensor.layout} {tensor.device}"
    if dtype not in CODES:
        return f"expected one of {', '.join(CODES)}; received {dtype}"
    return Lazy(tuple(tensor.shape), dtype, lambda: _array(tensor))


def _array(tensor: Any) -> np.ndarray:
    torch = _torch()
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype is torch.bfloat16:
        import ml_dtypes

        bits: np.ndarray = tensor.contiguous().view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    return np.asarray(tensor.numpy())


def tensor_of(array: np.ndarray) -> Any:
    """A tensor with values of its own."""
    torch = _torch()
    own = array.copy(order="C")
    if own.dtype.name == "bfloat16":
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def _stored(path: Path) -> dict[str, Lazy]:
    loaded = _loaded(path)
    if not isinstance(loaded, dict):
        name = type(loaded).__name__
        raise SeqgenError(f"{path}: expected a state dict, received {name}; {SAVE}")
    inner = [key for key, value in loaded.items() if isinstance(value, dict)]
    if inner:
        raise SeqgenError(
            f"{path}: expected a state dict, received a checkpoint with {short(inner[0])} within; "
            f"save that one by itself: torch.save(checkpoint[{short(inner[0])}], path)"
        )
    entries = {key: _entry(tensor) for key, tensor in loaded.items()}
    faults = [f"{short(key)}: expected a name" for key in loaded if not isinstance(key, str)]
    faults += [f"'{key}': {entry}" for key, entry in entries.items() if isinstance(entry, str)]
    refused(path, "it is not a plain state dict of tensors", faults)
    return {key: entry for key, entry in entries.items() if isinstance(entry, Lazy)}


def _counters(entries: dict[str, Lazy]) -> list[str]:
    """The counts of batches of BatchNormalization layers."""
    return [
        key
        for key, entry in entries.items()
        if key.rpartition(".")[2] == COUNTER
        and f"{key.removesuffix(COUNTER)}{COUNTED}" in entries
        and (entry.shape, entry.dtype) == ((), "int64")
    ]


def wrapped(entries: dict[str, Lazy]) -> str:
    """What to do about names that all begin with that of a wrapper; empty if they do not."""
    for prefix in PREFIXES:
        if entries and all(key.startswith(prefix) for key in entries):
            return f"all names begin with '{prefix}': save the state dict of the model inside"
    return ""


def _hint(entries: dict[str, Lazy], places: Placing, model: "Sequential") -> str:
    """What to do about a state dict with other names than those of the program."""
    if wrapped(entries):
        return wrapped(entries)
    if is_chain(model) and entries.keys() != {name for name, _ in places.placed}:
        return "if it is that of another module, --match order takes its modules in their order"
    return ""


def _sum(entries: list[Lazy]) -> Lazy:
    """The sum of arrays of one shape and dtype."""
    first, *more = entries
    if not more:
        return first
    return Lazy(first.shape, first.dtype, lambda: sum((e.load() for e in more), first.load()))


def _is_foreign(entries: dict[str, Lazy], places: Placing) -> bool:
    """Whether a state dict has no module of the program, and its names are not just wrapped."""
    own = paths_of(name for name, _ in places.placed)
    return bool(own and entries) and not wrapped(entries) and own.isdisjoint(paths_of(entries))


def is_state_dict(weights: Weights, specs: Iterable[Weight]) -> bool:
    """Whether weights have names of PyTorch, such as `weight`, which no layer of Keras has."""
    own = {spec.key for spec in specs}
    return any(name.rpartition(".")[2].startswith("weight") for name in weights if name not in own)


def state_dict(path: Path) -> dict[str, Lazy]:
    """The tensors of a state dict by their names, from a `.pt`, `.pth` or `.safetensors` file.

    Raises:
        SeqgenError: It is not a plain state dict of tensors.
    """
    if not _is_sorted(path):
        return _stored(path)
    weights = Weights.open(path)
    return {
        name: Lazy(weights.shape(name), weights.dtype(name), partial(weights.__getitem__, name))
        for name in weights
    }


def _is_sorted(path: Path) -> bool:
    """Whether a file has names in an order of its own: safetensors files are sorted by them."""
    return path.name.lower().endswith(".safetensors")


def read(path: Path, model: "Sequential", layout: str, search: Search) -> Content:
    """The weights of a state dict: of the generated PyTorch program, or of another module.

    Raises:
        SeqgenError: It is not a plain state dict of tensors.
        MismatchError: Names, shapes or dtypes are not those of the program, or the modules are not
            the layers of the model in their order.
    """
    places, entries = placing(model, "torch", layout), state_dict(path)
    counters = tuple(_counters(entries))
    stored = {key: entry for key, entry in entries.items() if key not in counters}
    if search.match == "order" or (search.match is None and _is_foreign(stored, places)):
        if layout != NATIVE:
            places = placing(model, "torch", NATIVE)
        return replace(_by_order(path, model, places, stored, search.spec_order), left_out=counters)
    hint = _hint(stored, places, model)
    weights = checked(path, Weights(stored), places.specs, places.lowered.dtype, hint)
    return Content(places.restored(weights), counters, places.names)


def _by_order(
    path: Path, model: "Sequential", places: Placing, stored: dict[str, Lazy], spec_order: bool
) -> Content:
    """The weights of another module, which lie as in the program with PyTorch's own layout."""
    sources = by_order(path, model, places, stored, ordered=not _is_sorted(path))
    _check_dtypes(path, stored, places.lowered.dtype)
    if spec_order:
        places = placing_of("torch", in_order_of_spec(places.lowered))
    else:
        _check_axes(path, undecided(places.lowered))
    parts = {name: _sum([stored[part] for part in found]) for name, found in sources.items()}
    weights = checked(path, Weights(parts), places.specs, places.lowered.dtype)
    names = {
        key: tuple(part for own in found for part in sources[own])
        for key, found in places.names.items()
    }
    return Content(places.restored(weights), names=names, matched="order")


def _check_axes(path: Path, layers: list[str]) -> None:
    """Refuse layers at which the module may have features in another order."""
    if layers:
        listed = ", ".join(f"'{layer}'" for layer in layers)
        raise UnsupportedError(
            f"{path}: the order of features at {listed} hangs on whether the module has the "
            "channels last there, as the spec, or first, which a state dict does not say; "
            "--spec-order takes them in the order of the spec, and a Permute in front of a Flatten "
            "(behind a Reshape) of the spec makes that the order of PyTorch"
        )


def _check_dtypes(path: Path, stored: dict[str, Lazy], dtype: str) -> None:
    """Refuse tensors of another dtype than the model's by their own names."""
    wrong = [
        f"'{key}': expected {dtype}, received {entry.dtype}"
        for key, entry in stored.items()
        if entry.dtype != dtype
    ]
    refused(path, "it holds weights of another dtype than the model", wrong)


def write(path: Path, weights: Weights, model: "Sequential", layout: str) -> None:
    """Write a state dict, which `load_state_dict` of the program takes. It is held in memory."""
    torch = _torch()
    laid_out = placing(model, "torch", layout).laid_out(weights)
    tensors = {name: tensor_of(array) for name, array in laid_out.items()}
    # Into an open file: by itself, torch writes the name of the path into the archive.
    with path.open("xb") as file:
        torch.save(tensors, file)
