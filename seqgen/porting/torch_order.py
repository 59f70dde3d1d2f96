"""State dicts of other PyTorch modules onto a model: the order of the modules says what is what."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
# A parameter of a recurrent module, which holds layers upon layers: the number stands in the name.
RECURRENT = re.compile(r"((?:weight|bias)_(?:ih|hh)_l)(\d+)(_reverse)?")
IN_ORDER = "its modules are not the layers of the model with weights, in their order"
UNSORTED = (
    "a .safetensors file does not keep the order of modules with names; write the state dict with "
    "torch.save(module.state_dict(), 'weights.pt'), which does"
)


@dataclass(frozen=True)
class Module:
    """What is a layer by itself in a state dict.

    Attributes:
        path: The names of its parameters begin with it.
        level: Which layer of a recurrent module it is.
        shapes: The shapes of its parameters, called as in a module with one layer.
    """

    path: str
    level: int
    shapes: Shapes

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"{self.path} (layer {self.level})" if self.level else self.path

    @property
    def said(self) -> str:
        """Its parameters as errors list them."""
        return ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())

    def full(self, parameter: str) -> str:
        """The name of a parameter in the state dict."""
        if self.level:
            parameter = RECURRENT.sub(rf"\g<1>{self.level}\g<3>", parameter)
        return f"{self.path}.{parameter}" if self.path else parameter


def paths_of(names: Iterable[str]) -> set[str]:
    """Where the modules of a state dict stand."""
    return {name.rpartition(".")[0] for name in names}


def modules_of(shapes: Mapping[str, tuple[int, ...]]) -> list[Module]:
    """The modules of a state dict, in the order of their first names."""
    found: dict[tuple[str, int], Shapes] = {}
    for name, shape in shapes.items():
        path, _, parameter = name.rpartition(".")
        recurrent = RECURRENT.fullmatch(parameter)
        level = int(recurrent[2]) if recurrent else 0
        if recurrent:
            parameter = f"{recurrent[1]}0{recurrent[3] or ''}"
        found.setdefault((path, level), {})[parameter] = shape
    return [Module(*place, own) for place, own in found.items()]


def is_chain(model: Container) -> bool:
    """Whether a model is layers one after the other, so that their order is theirs alone."""
    inner = (item for item in model.items if isinstance(item, Container))
    return hasattr(model, "add") and all(map(is_chain, inner))


def _fits(own: Shapes, theirs: Shapes) -> bool:
    """Whether a module holds the weights of a layer, besides a second bias at most."""
    added = {name: shape for name, shape in theirs.items() if name not in own}
    kept = {name: shape for name, shape in theirs.items() if name in own}
    return kept == own and all(
        name.startswith(SECOND) and own.get(name.replace(SECOND, FIRST)) == shape
        for name, shape in added.items()
    )


def _precedes(one: Module, other: Module) -> bool:
    """Whether the numbers in their names put a module before another; names put none."""
    parts = [(*module.path.split("."), str(module.level)) for module in (one, other)]
    for here, there in zip(*parts, strict=False):
        if here != there:
            return here.isdecimal() and there.isdecimal() and int(here) < int(there)
    return False


def _next(layer: Module, left: list[Module], ordered: bool) -> list[Module]:
    """The modules that may be the next layer."""
    fitting = [m for m in (left[:1] if ordered else left) if _fits(layer.shapes, m.shapes)]
    return [m for m in fitting if ordered or not any(_precedes(other, m) for other in left)]


def _matched(path: object, own: list[Module], theirs: list[Module], ordered: bool) -> list[Module]:
    """The module of each layer.

    Raises:
        MismatchError: A layer has none or may have several, or modules are left over.
    """
    left, taken, what = list(theirs), list[Module](), IN_ORDER
    for layer in own:
        found = _next(layer, left, ordered)
        if len(found) > 1:
            listed = " or ".join(f"'{module.label}'" for module in found)
            what = f"'{layer.label}' may be {listed}; {UNSORTED}"
        if len(found) != 1:
            break
        taken += found
        left.remove(found[0])
    if left or len(taken) < len(own):
        # Without an order, nothing that is left stands beside anything.
        rest = left if ordered else [*[None] * (len(own) - len(taken)), *left]
        rows = _listed(own, [*taken, *rest])
        raise MismatchError(
            "\n  ".join((f"{path}: {what}; those that do not fit are marked:", *rows))
        )
    return taken


def _listed(own: list[Module], theirs: Sequence[Module | None]) -> Iterator[str]:
    """Layers and modules side by side, those marked that have no counterpart."""
    for layer, module in zip_longest(own, theirs):
        fits = layer is not None and module is not None and _fits(layer.shapes, module.shapes)
        mine = f"{layer.label}: expected {layer.said}" if layer else "(no layer): expected -"
        other = f"{module.label}: received {module.said}" if module else "(no module): received -"
        yield f"{' ' if fits else '*'} {mine} | {other}"


def by_order(
    path: object,
    model: "Sequential",
    places: Placing,
    entries: Mapping[str, Lazy],
    ordered: bool = True,
) -> Names:
    """For each name in the generated program, the names in a state dict that it is the sum of.

    The modules of the state dict are taken in their order, and must be those of the layers with
    weights, one by one, by the names and shapes of their parameters.

    Args:
        path: The file, for errors.
        model: The model.
        places: Where the program, which takes and gives what the module does, has its variables.
        entries: The state dict without counters.
        ordered: Whether it has the order of the module. Otherwise numbers in names say what comes
            first, and at each layer exactly one of the modules that may come next must fit.

    Raises:
        MismatchError: They are not, or the model is no chain. Both are listed side by side.
    """
    own = modules_of({name: move.shapes[-1] for name, move in places.placed})
    theirs = modules_of({name: entry.shape for name, entry in entries.items()})
    if not is_chain(model):
        raise MismatchError(
            f"{path}: expected the names of torch_model.py, such as '{places.placed[0][0]}', "
            f"received '{next(iter(entries), '')}'; modules are matched by their order only where "
            "the model is a Sequential, of layers or of other ones"
        )
    pairs = zip(own, _matched(path, own, theirs, ordered), strict=True)
    return {
        layer.full(parameter): tuple(map(module.full, _parts(parameter, layer, module)))
        for layer, module in pairs
        for parameter in layer.shapes
    }


def _parts(parameter: str, layer: Module, module: Module) -> list[str]:
    """The parameters of a module that make up one of a layer."""
    second = parameter.replace(FIRST, SECOND)
    added = second in module.shapes and second not in layer.shapes
    return [parameter, second] if added else [parameter]
