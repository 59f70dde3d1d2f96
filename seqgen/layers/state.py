"""What a layer has once its input is known: variables with values."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from seqgen.errors import MismatchError, SpecError

if TYPE_CHECKING:
    from seqgen.layers.base import Layer, Weight
    from seqgen.weights import Lazy, Weights

# Numbers what is made and what is changed, in order.
CLOCK = itertools.count(1)


class Variable:
    """A variable of a layer. Its value is drawn, or read from a file, when it is asked for.

    Attributes:
        name: As Keras has it, such as `kernel`.
        path: The names of the models within, the layer and the variable, joined by slashes.
        shape: Its shape, in Keras layout.
        dtype: Name of its dtype.
        weight: What the layer says of it.
        changed: Grows with every change of the value.
    """

    def __init__(self, layer: "Layer", path: str, weight: "Weight", dtype: str) -> None:
        self._layer = layer
        self._source: tuple[Weights, str] | None = None
        self.changed = 0
        self.dtype = weight.dtype or dtype
        self.place(path, weight)

    def place(self, path: str, weight: "Weight") -> None:
        """Say where in a model the variable stands."""
        self.weight = weight
        self.path = f"{path}/{weight.name}"

    @property
    def name(self) -> str:
        """Its name below the layer."""
        return self.weight.name.rpartition("/")[2]

    @property
    def key(self) -> str:
        """The name under which its value travels."""
        return self.weight.key

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the layers within and of the variable, below the layer."""
        return tuple(self.weight.name.split("/"))

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, in Keras layout."""
        return self.weight.shape

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.weight.size

    @property
    def trainable(self) -> bool:
        """Whether training changes it by gradients."""
        return self.weight.trainable and bool(self._layer.trainable)

    @property
    def given(self) -> bool:
        """Whether it has a value already, be it given or drawn."""
        return self._source is not None

    def numpy(self) -> np.ndarray:
        """The value, as an array of its own."""
        weights, key = self._drawn(self.key)
        return weights.own(key)

    @property
    def value(self) -> np.ndarray:
        """The value, as an array of its own."""
        return self.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def assign(self, value: Any) -> None:
        """Replace the value.

        Raises:
            MismatchError: It has another shape.
        """
        from seqgen.initializers import array_dtype
        from seqgen.weights import Weights

        array = np.array(value).astype(array_dtype(self.dtype))
        if array.shape != self.shape:
            raise MismatchError(
                f"weight '{self.path}': expected shape {self.shape}, received {array.shape}"
            )
        self.read_from(Weights({self.key: array}), self.key)

    def read_from(self, weights: "Weights", key: str) -> None:
        """Take the value from a store, which must hold it in the right shape and dtype."""
        self._source = (weights, key)
        self.changed = next(CLOCK)

    def lazy(self, key: str) -> "Lazy":
        """The value for a store, made or read each time it is asked for.

        Args:
            key: Under which it travels; a value that is not there yet is drawn for this key.
        """
        weights, stored = self._drawn(key)
        return weights.entry(stored)

    def _drawn(self, key: str) -> tuple["Weights", str]:
        """Where the value is, and under which key."""
        from seqgen.weights import Weights

        if self._source is None:
            fresh = replace(self.weight, key=key, dtype=self.dtype)
            self._source = (Weights.initialize([fresh]), key)
        return self._source

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


class HasVariables:
    """What layers and models have in common: variables, some of them trainable."""

    name: str | None

    @property
    def variables(self) -> list[Variable]:
        """All variables, in Keras's order."""
        raise NotImplementedError

    @property
    def weights(self) -> list[Variable]:
        """All variables, in Keras's order."""
        return self.variables

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes by gradients."""
        return [variable for variable in self.variables if variable.trainable]

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that training changes by gradients."""
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The variables that training changes by other means, or not at all."""
        trainable = {id(variable) for variable in self.trainable_variables}
        return [variable for variable in self.variables if id(variable) not in trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables that training changes by other means, or not at all."""
        return self.non_trainable_variables

    def get_weights(self) -> list[np.ndarray]:
        """The values of all variables, in Keras's order."""
        return [variable.numpy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the values of all variables.

        Raises:
            MismatchError: There are more or fewer values, or one has another shape.
        """
        values, variables = [np.asarray(value) for value in weights], self.variables
        expected = [variable.shape for variable in variables]
        received = [value.shape for value in values]
        if expected != received:
            raise MismatchError(
                f"'{self.name}': expected {len(expected)} weights of shapes {expected}; "
                f"received {len(received)} of shapes {received}"
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Number of parameters."""
        return sum(variable.size for variable in self.variables)


def _snapshot(value: Any) -> Any:
    """An argument as a graph holds it."""
    if isinstance(value, tuple):
        return tuple(_snapshot(item) for item in value)
    return value.snapshot() if isinstance(value, Stateful) else value


class Stateful(HasVariables):
    """What a layer keeps beside its arguments; copies of it for the graph do not have it."""

    _auto = False  # whether its name was chosen here, not by the user
    _local = False  # whether that was without a look at the model around
    _built: list[Variable] | None = None
    _alone: Any = None
    home: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        made = super().__new__(cls)
        made._made = next(CLOCK)
        made.calls = []
        return made

    _made: int
    calls: list[Any]

    @property
    def built(self) -> bool:
        """Whether the layer knows its input, and so its variables."""
        return self._built is not None

    @property
    def variables(self) -> list[Variable]:
        """All variables, in Keras's order; none before the layer is built."""
        return list(self._built or ())

    def count_params(self) -> int:
        """Number of parameters.

        Raises:
            SpecError: The layer is not built.
        """
        if self._built is None:
            raise SpecError(f"layer '{self.name}' is not built: add it to a model with an input")
        return super().count_params()

    def snapshot(self: Any) -> Any:
        """A copy with the arguments only, as a graph holds it."""
        made = object.__new__(type(self))
        made._made = self._made
        for name in self.kinds:
            setattr(made, name, _snapshot(getattr(self, name)))
        return made

    def fits(self: Any, weights: "Sequence[Weight]") -> None:
        """Raise a `SpecError` if the layer was built for other shapes than these."""
        if self._built is None:
            return
        built, needed = [v.shape for v in self._built], [weight.shape for weight in weights]
        if built != needed:
            raise self.fault(f"it was built with weights of shapes {built}; here it needs {needed}")

    def attach(self: Any, path: str, weights: "Sequence[Weight]", dtype: str) -> None:
        """Make the variables, or move those that there are to another place."""
        if self._built is None:
            self._built = [Variable(self, path, weight, dtype) for weight in weights]
            return
        for variable, weight in zip(self._built, weights, strict=True):
            variable.place(path, weight)
            if not variable.given:
                variable.dtype = weight.dtype or dtype

    def __call__(self: Any, *inputs: Any, **arguments: Any) -> Any:
        """The layer's result for an array in the spec's layout; the layer is built for it.

        Called on symbolic tensors, it gives the one that it makes, for a `Model` of them.
        """
        from seqgen.spec.tensors import call, is_symbolic

        if is_symbolic(inputs):
            as_list = len(inputs) == 1 and isinstance(inputs[0], (list, tuple))
            if self.takes_list and not as_list:
                received = ", ".join(map(repr, inputs))
                raise self.fault(f"expected a list of tensors, received {received}")
            return call(self, inputs, arguments)
        return self._evaluated(inputs, arguments)

    def _evaluated(self: Any, inputs: tuple[Any, ...], arguments: dict[str, Any]) -> np.ndarray:
        from seqgen.spec.sequential import Sequential

        if len(inputs) != 1 or arguments or self.inputs != (1, 1):
            raise self.fault("expected one array; call it on symbolic tensors, and make a Model")
        x = np.asarray(inputs[0])
        if self._alone is None or self._alone.input_shape[1:] != x.shape[1:]:
            alone = Sequential([self])
            alone.build_on(x.shape)
            self._alone = alone
        result: np.ndarray = self._alone(x)
        return result

    @property
    def output(self: Any) -> Any:
        """The symbolic tensor that the layer makes where it was called, to make other models of.

        Raises:
            SpecError: It was called nowhere, or several times.
        """
        return self._port("output")

    @property
    def input(self: Any) -> Any:
        """The symbolic tensor that the layer takes where it was called, or a list of several.

        Raises:
            SpecError: It was called nowhere, or several times.
        """
        return self._port("input")

    def _port(self: Any, which: str) -> Any:
        from seqgen.spec.tensors import port

        return port(self, which)
