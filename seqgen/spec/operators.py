"""Python's operators on symbolic tensors."""

from collections.abc import Iterator
from typing import Any


def _make(name: str, *values: Any) -> Any:
    from seqgen.spec.operations import ops

    return getattr(ops, name)(*values)


class Operators:
    """What has the operators of a symbolic tensor: each makes an operation, as in Keras."""

    # NumPy leaves an operator between an array and a tensor to the tensor, which says no.
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Any:
        return _make("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return _make("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return _make("subtract", self, other)

    def __rsub__(self, other: Any) -> Any:
        return _make("subtract", other, self)

    def __mul__(self, other: Any) -> Any:
        return _make("multiply", self, other)

    def __rmul__(self, other: Any) -> Any:
        return _make("multiply", other, self)

    def __truediv__(self, other: Any) -> Any:
        return _make("true_divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _make("true_divide", other, self)

    def __pow__(self, other: Any) -> Any:
        return _make("power", self, other)

    def __rpow__(self, other: Any) -> Any:
        return _make("power", other, self)

    def __matmul__(self, other: Any) -> Any:
        return _make("matmul", self, other)

    def __neg__(self) -> Any:
        return _make("negative", self)

    def __abs__(self) -> Any:
        return _make("absolute", self)

    def __getitem__(self, key: Any) -> Any:
        return _make("get_item", self, key)

    def __iter__(self) -> Iterator[Any]:
        # Else Python would index until there is an error, which never comes.
        raise TypeError(f"{self!r} has no values to go through; use slices of it")
