"""State dicts of other PyTorch modules onto a model: the order of the modules says what is what."""

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING

from seqgen.errors import MismatchError
from seqgen.porting.content import Names
from seqgen.porting.programs import Placing
from seqgen.spec.container import Container
from seqgen.tensor_file import Lazy

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

Shapes = dict[str, tuple[int, ...]]
# PyTorch adds two biases where Keras has one: which one is added to which.
SECOND, FIRST = "bias_hh_l", "bias_ih_l"


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def modules_of(names: Iterable[str]) -> dict[str, list[str]]:
    """The names of a state dict by the path of their module, in their order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_module(name), []).append(name)
    return found


def is_chain(model: Container) -> bool:
    """Whether a model is layers one after the other, so that their order is theirs alone."""
    inner = (item for item in model.items if isinstance(item, Container))
    return hasattr(model, "add") and all(map(is_chain, inner))


def _parameters(names: list[str], shapes: Mapping[str, tuple[int, ...]]) -> Shapes:
    return {name.rpartition(".")[2]: shapes[name] for name in names}


def _said(shapes: Shapes) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _fits(own: Shapes, theirs: Shapes) -> bool:
    """Whether a module holds the weights of a layer, besides a second bias at most."""
    added = {name: shape for name, shape in theirs.items() if name not in own}
    kept = {name: shape for name, shape in theirs.items() if name in own}
    return kept == own and all(
        name.startswith(SECOND) and own.get(name.replace(SECOND, FIRST)) == shape
        for name, shape in added.items()
    )


def by_order(
    path: object, model: "Sequential", places: Placing, entries: Mapping[str, Lazy]
) -> Names:
    """For each name in the generated program, the names in a state dict that it is the sum of.

    The modules of the state dict are taken in their order, and must be those of the layers with
    weights, one by one, by the names and shapes of their parameters.

    Raises:
        MismatchError: They are not, or the model is no chain. Both are listed side by side.
    """
    own_shapes = {name: move.shapes[-1] for name, move in places.placed}
    their_shapes = {name: entry.shape for name, entry in entries.items()}
    own, theirs = modules_of(own_shapes), modules_of(their_shapes)
    if not is_chain(model):
        raise MismatchError(
            f"{path}: expected the names of torch_model.py, such as '{next(iter(own_shapes))}', "
            f"received '{next(iter(entries))}'; modules are matched by their order only where the "
            "model is a Sequential, of layers or of other ones"
        )
    rows = list(zip_longest(own, theirs))
    left = [_parameters(own.get(mine) or [], own_shapes) for mine, _ in rows]
    right = [_parameters(theirs.get(other) or [], their_shapes) for _, other in rows]
    if len(own) != len(theirs) or not all(map(_fits, left, right)):
        raise MismatchError(_listed(path, rows, left, right))
    return {
        name: _sources(name, other, right[i], left[i])
        for i, (mine, other) in enumerate(rows)
        for name in own[mine]
    }


def _sources(name: str, module: str, theirs: Shapes, own: Shapes) -> tuple[str, ...]:
    """The names in the state dict that make up one of the program."""
    parameter = name.rpartition(".")[2]
    second = parameter.replace(FIRST, SECOND)
    parts = [parameter]
    if second != parameter and second in theirs and second not in own:
        parts.append(second)
    return tuple(f"{module}.{part}" if module else part for part in parts)


def _listed(
    path: object, rows: list[tuple[str, str]], left: list[Shapes], right: list[Shapes]
) -> str:
    """Both sides, line by line, with those marked that differ."""
    lines = [
        f"{' ' if _fits(own, theirs) else '*'} {mine or '(no layer)'}: expected {_said(own) or '-'}"
        f" | {other if other is not None else '(no module)'}: received {_said(theirs) or '-'}"
        for (mine, other), own, theirs in zip(rows, left, right, strict=True)
    ]
    return "\n  ".join(
        (
            f"{path}: its modules are not the layers of the model with weights, in their order; "
            "those that do not fit are marked:",
            *lines,
        )
    )
