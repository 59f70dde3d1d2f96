"""The functions that arguments name, by their Keras names: `regularizers.L2(1e-4)`."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.arguments import near_miss
from seqgen.layers.objects import (
    ACTIVATION,
    ACTIVATION_ALIASES,
    ACTIVATIONS,
    CONSTRAINT,
    CONSTRAINTS,
    INITIALIZER,
    INITIALIZER_ALIASES,
    INITIALIZERS,
    REGULARIZER,
    REGULARIZERS,
    Named,
    Signature,
    to_snake_case,
)
from seqgen.training.callbacks import CALLBACK, CALLBACKS
from seqgen.training.losses import LOSS, LOSSES
from seqgen.training.metrics import METRIC, METRICS
from seqgen.training.optimizers import OPTIMIZER, OPTIMIZERS, SCHEDULE, SCHEDULES


@dataclass(frozen=True)
class Function(Named):
    """A function of a table; called with arguments, it is that function with these arguments.

    Attributes:
        module: The module of Keras that has it.
    """

    module: str = ""

    def __call__(self, *values: Any, **arguments: Any) -> Named:
        """The function with arguments, as a layer takes it.

        Raises:
            SpecError: There is no such argument, or one is wrong.
        """
        names = list(TABLES[self.module][self.name])
        if len(values) > len(names):
            raise SpecError(f"{self.name} takes {len(names)} arguments, received {len(values)}")
        given = {**dict(zip(names, values, strict=False)), **arguments}
        try:
            return KINDS[self.module].parse({self.name: given}, 0)
        except (TypeError, ValueError) as error:
            raise SpecError(Fault(str(error).removeprefix("; "), layer=self.name)) from None


KINDS = {
    "activations": ACTIVATION,
    "initializers": INITIALIZER,
    "regularizers": REGULARIZER,
    "constraints": CONSTRAINT,
    "optimizers": OPTIMIZER,
    "schedules": SCHEDULE,
    "losses": LOSS,
    "metrics": METRIC,
    "callbacks": CALLBACK,
}
TABLES: dict[str, dict[str, Signature]] = {
    "activations": ACTIVATIONS,
    "initializers": INITIALIZERS,
    "regularizers": REGULARIZERS,
    "constraints": CONSTRAINTS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "losses": LOSSES,
    "metrics": METRICS,
    "callbacks": CALLBACKS,
}
ALIASES = {
    "activations": ACTIVATION_ALIASES,
    "initializers": INITIALIZER_ALIASES,
    "regularizers": {"l1_l2": "L1L2", "orthogonal_regularizer": "OrthogonalRegularizer"},
}


@functools.cache
def names(module: str) -> dict[str, str]:
    """Every spelling of the functions of a module, and the name it stands for."""
    table = TABLES[module]
    return {
        **{to_snake_case(name): name for name in table},
        **{name: name for name in table},
        **ALIASES.get(module, {}),
    }


def find(module: str, name: str) -> Function:
    """The function of a module by any of its names.

    Raises:
        AttributeError: There is none.
    """
    known = names(module)
    if name not in known:
        hint = "" if name.startswith("_") else near_miss(name, known)
        raise AttributeError(f"seqgen.{module} has no '{name}'{hint}")
    return Function(known[name], module=module)


class Namespace:
    """The functions of a module of Keras as attributes."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Function:
        return find(self._module, name)

    def __dir__(self) -> Iterable[str]:
        return sorted(names(self._module))

    def __repr__(self) -> str:
        return f"<namespace seqgen.{self._module}>"
