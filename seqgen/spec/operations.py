"""Functions of keras.ops on symbolic tensors: `seqgen.ops.add(x, 3.0)`, and Python's operators."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.layers import ALIASES, LAYERS, find_layer
from seqgen.layers.arguments import near_miss, short
from seqgen.layers.operations import Operation
from seqgen.spec.tensors import as_tensors, call

PREFIX = "ops."


def names() -> list[str]:
    """The names of all operations, second ones included."""
    known = [name for name, kind in LAYERS.items() if issubclass(kind, Operation)]
    second = [alias for alias in ALIASES if alias.startswith(PREFIX)]
    return sorted(name.removeprefix(PREFIX) for name in known + second)


def apply(kind: type[Operation], *values: Any, **given: Any) -> Any:
    """The tensor that an operation makes.

    Args:
        kind: The operation.
        values: What the function of keras.ops takes by place.
        given: The same by name, and `name`, that of the step.

    Raises:
        SpecError: An argument is wrong, or does not fit the tensors.
    """
    taken = _bound(kind, values, given)
    tensors = {key: as_tensors(taken[key]) for key in kind.tensors if key in taken}
    read = {key: found for key, found in tensors.items() if found is not None}
    if not read:
        received = ", ".join(short(value) for value in taken.values()) or "nothing"
        raise SpecError(Fault(f"expected symbolic tensors, received {received}", None, kind.kind))
    dtype = next(iter(read.values()))[0].dtype
    for key in taken.keys() - read.keys():
        _check_array(taken[key], dtype, key, kind.kind)
    try:
        made = kind.from_arguments({k: v for k, v in taken.items() if k not in read})
    except SpecError as error:
        raise error.at(layer=kind.kind) from None
    return call(made, tuple(tensor for found in read.values() for tensor in found), {})


def _check_array(value: Any, dtype: str, argument: str, label: str) -> None:
    """Refuse an array of another dtype than the tensor: Keras would go on in the wider one."""
    own = getattr(value, "dtype", dtype)
    if getattr(value, "shape", ()) and str(own) != dtype:
        message = f"expected an array of {dtype}, as the tensor has it, received one of {own}"
        raise SpecError(Fault(message, argument, label))


def _bound(
    kind: type[Operation], values: tuple[Any, ...], given: Mapping[str, Any]
) -> dict[str, Any]:
    """All arguments by name."""
    signature = list(kind.signature())
    taken = dict(zip(signature, values, strict=False))
    if len(values) > len(signature) or not taken.keys().isdisjoint(given):
        expected = f"{kind.kind}({', '.join(signature)})"
        raise SpecError(Fault("received more arguments, or one of them twice", None, expected))
    return {**taken, **given}


class Operations:
    """The functions of keras.ops as attributes."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        kind = find_layer(f"{PREFIX}{name}") if name.isidentifier() else None
        if kind is None or not issubclass(kind, Operation):
            hint = "" if name.startswith("_") else near_miss(name, names())
            raise AttributeError(f"seqgen.ops has no '{name}'{hint}")
        return partial(apply, kind)

    def __dir__(self) -> Iterable[str]:
        return names()

    def __repr__(self) -> str:
        return "<namespace seqgen.ops>"


ops = Operations()
