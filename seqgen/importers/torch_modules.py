"""What a PyTorch module consists of; everything that none of its parts may have is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.importers.objects import Refusals
from seqgen.importers.torch_layers import CONVERTERS, REASONS
from seqgen.layers.arguments import DTYPES

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PARAMETERS = ("weight", "bias")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
# What a subclass may have of its own without computing anything else.
HARMLESS = {"extra_repr", "reset_parameters", "_get_name", "_version", "state_dict", "_abc_impl"}
CALLING = {"__call__", "__getattr__", "__getattribute__"}


@dataclass(frozen=True)
class Part:
    """A module without modules inside.

    Attributes:
        path: Where it stands, as in a state dict.
        kind: The class of `torch.nn` that says what it computes.
        module: The module.
        name: Its name; None if it only has a number.
        siblings: The names of all modules beside it.
    """

    path: str
    kind: str
    module: Any
    name: str | None
    siblings: tuple[str, ...]

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"{self.path}: {type(self.module).__name__}"


@dataclass(frozen=True)
class Nest:
    """An `nn.Sequential` inside another."""

    name: str | None
    items: "tuple[Part | Nest, ...]"


def tree_of(module: Any) -> list[Part | Nest]:
    """The modules of an `nn.Sequential`.

    Raises:
        UnsupportedError: It is none, or parts of it are not known or changed; all are named.
    """
    if _known(module) != "Sequential":
        raise UnsupportedError(
            f"expected a torch.nn.Sequential, received {type(module).__name__}: what the forward "
            "of another class does is not read; give nn.Sequential(...) of its layers"
        )
    refusals = Refusals()
    _refuse(refusals, "", module, "Sequential")
    tree = _children(module, "", refusals)
    for reason in _shared(leaves_of(tree)):
        refusals.add(reason)
    refusals.check()
    return tree or [Part("", "Identity", module, None, ())]


def leaves_of(tree: Sequence[Part | Nest]) -> list[Part]:
    """The modules without modules inside, in the order in which they run."""
    nested = (leaves_of(item.items) if isinstance(item, Nest) else [item] for item in tree)
    return [part for parts in nested for part in parts]


def weights_dtype(leaves: list[Part]) -> str:
    """The dtype of all weights; float32 if there are none.

    Raises:
        UnsupportedError: There are several, or a spec does not know it.
    """
    found = {
        str(tensor.dtype).removeprefix("torch."): f"{part.path}.{name}"
        for part in leaves
        for name, tensor in _tensors(part.module)
        if name != "num_batches_tracked"
    }
    if len(found) > 1 or not found.keys() <= set(DTYPES):
        listed = ", ".join(f"{dtype} ({place})" for dtype, place in found.items())
        expected = f"expected weights of one dtype, one of {', '.join(DTYPES)}"
        raise UnsupportedError(f"{expected}; received {listed}")
    return next(iter(found), "float32")


def _children(module: Any, prefix: str, refusals: Refusals) -> list[Part | Nest]:
    found: list[Part | Nest] = []
    # A module that is there twice counts twice, which `named_children` would hide.
    children = {name: child for name, child in module._modules.items() if child is not None}
    for name, child in children.items():
        path, kind = f"{prefix}{name}", _known(child)
        own = None if name.isdigit() else name
        _refuse(refusals, path, child, kind)
        if kind == "Sequential" and child._modules:
            found.append(Nest(own, tuple(_children(child, f"{path}.", refusals))))
        else:
            kind = "Identity" if kind == "Sequential" else kind or ""
            found.append(Part(path, kind, child, own, tuple(children)))
    return found


def _known(module: Any) -> str | None:
    """The class of `torch.nn` that says what a module computes; None if there is none."""
    own: set[str] = set()
    for cls in type(module).__mro__:
        known = cls.__name__ in CONVERTERS or cls.__name__ in ("Sequential", *REASONS)
        if known and cls.__module__.startswith("torch.nn.modules."):
            changed = (own & set(dir(cls))) - HARMLESS
            plain = all(name.startswith("__") and name not in CALLING for name in changed)
            return cls.__name__ if plain else None
        own |= set(vars(cls))
    return None


def _refuse(refusals: Refusals, path: str, module: Any, kind: str | None) -> None:
    """Note what is wrong with a module, whatever its arguments are."""
    for reason in _faults(module, kind):
        refusals.add(": ".join(part for part in (path, type(module).__name__, reason) if part))


def _faults(module: Any, kind: str | None) -> Iterator[str]:
    if hasattr(module, "parametrizations"):
        name = next(iter(module.parametrizations))
        call = f"torch.nn.utils.parametrize.remove_parametrizations(module, '{name}')"
        yield f"its {name} is parametrized; call {call} first"
    elif hasattr(module, "has_uninitialized_params") and module.has_uninitialized_params():
        yield "its weights have no shape yet; run the module once"
    elif kind is None:
        yield "a class whose forward is not read; only the layers of torch.nn are known"
    elif kind in REASONS:
        yield REASONS[kind]
    else:
        yield from _changes(module)
        yield from _strange_tensors(module, kind)


def _changes(module: Any) -> Iterator[str]:
    """What makes a module of a known class compute something else."""
    hooks = [name.strip("_") for name in HOOKS if getattr(module, name, None)]
    if hooks:
        yield f"it has {' and '.join(hooks)}, which the spec would lose; remove them"
    if "forward" in vars(module):
        yield "it has a forward of its own, which is not read"


def _tensors(module: Any) -> list[tuple[str, Any]]:
    held = {**module._parameters, **module._buffers}
    return [(name, tensor) for name, tensor in held.items() if tensor is not None]


def _strange_tensors(module: Any, kind: str) -> Iterator[str]:
    chain = kind == "Sequential"
    expected = () if chain else (*PARAMETERS, *BUFFERS)
    extra = [name for name, _ in _tensors(module) if name not in expected]
    extra += [] if chain else module._modules
    if extra:
        yield f"{kind} has nothing of the name {', '.join(extra)}, which is not read"
    frozen = {
        name: not tensor.requires_grad
        for name, tensor in module._parameters.items()
        if tensor is not None
    }
    if len(set(frozen.values())) > 1:
        listed = ", ".join(name for name in frozen if frozen[name])
        yield f"only its {listed} is frozen (requires_grad); Keras freezes whole layers"
    empty = [name for name, tensor in _tensors(module) if tensor.is_meta]
    if empty:
        yield f"its {', '.join(empty)} is on the meta device and has no values"


def _shared(leaves: list[Part]) -> Iterator[str]:
    owners: dict[int, str] = {}
    for part in leaves:
        for name, tensor in _tensors(part.module):
            owner = owners.setdefault(id(tensor), part.path)
            if owner != part.path:
                yield f"{part.label}: its {name} is that of {owner}; layers of a spec share nothing"
