"""What all models have in common: a name, layers, and what becomes of a change."""

import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from seqgen.errors import Fault, SpecError
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import DTYPES, near_miss, short
from seqgen.layers.base import Layer
from seqgen.layers.state import CLOCK, HasVariables, Variable
from seqgen.spec.flatten import flatten

if TYPE_CHECKING:
    from seqgen.spec.entry import Input
    from seqgen.spec.steps import Pending
    from seqgen.spec.tensors import Call, Tensor

Types = tuple[TensorType, ...]


class Reading(NamedTuple):
    """A layer or model within and what it reads.

    Attributes:
        item: The layer or model.
        reads: What it takes, each as the number of a step before and of one of its tensors; the
            inputs of the model are step 0.
        arguments: What it is called with besides tensors.
        name: Of the result in a spec, if it was given.
    """

    item: "Item"
    reads: tuple[tuple[int, int], ...]
    arguments: tuple[tuple[str, Any], ...] = ()
    name: str | None = None


class Container(HasVariables):
    """Layers, and models among them, each with a name.

    Attributes:
        name: Name of the model.
        dtype: Of weights and computations; None where it is not said.
        names: The layers by name.
        counts: How many names of each class Keras would have given so far.
        adopted: Whether the model became part of another one.
        changed: Grows with every change of the layers, those of models within included.
        calls: The calls of the model on symbolic tensors.
        home: The model that it became part of first.
    """

    auto_name = ""
    name: str

    def __init__(self, trainable: bool, name: str | None, dtype: str | None) -> None:
        self._made = next(CLOCK)
        self._auto = name is None
        self.name = self.auto_name if name is None else name
        self.dtype = dtype
        self._trainable = bool(trainable)
        self.names: dict[str, Item] = {}
        self.counts: Counter[str] = Counter()
        self.adopted = False
        self.calls: list[Call] = []
        self.home: Container | None = None
        self._layers: list[Item] = []
        self._inner: list[Container] = []
        self._around: weakref.WeakSet[Container] = weakref.WeakSet()
        self._stale = False
        self._session: Any = None
        self.changed = next(CLOCK)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    @property
    def label(self) -> str:
        """How errors name the model."""
        return f"{type(self).__name__} '{self.name}'"

    @property
    def items(self) -> "list[Item]":
        """The layers in order, inputs not among them."""
        return list(self._layers)

    @property
    def entries(self) -> "list[Input]":
        """The inputs, as far as they are known."""
        raise NotImplementedError

    @property
    def entry_names(self) -> set[str]:
        """Names of the inputs that were given."""
        raise NotImplementedError

    @property
    def sole_input(self) -> TensorType | None:
        """The type of the input, if it is known and there is just one."""
        raise NotImplementedError

    @property
    def steps(self) -> list[Reading]:
        """The layers and models within as they are called, each behind those that it reads."""
        raise NotImplementedError

    @property
    def results(self) -> tuple[tuple[int, int], ...]:
        """The outputs, each as the number of a step and of one of its tensors."""
        raise NotImplementedError

    @property
    def result_types(self) -> Types:
        """The types of the outputs.

        Raises:
            SpecError: The model is not built.
        """
        raise NotImplementedError

    def own_calls(self) -> "list[Call]":
        """The layers and models within as calls on symbolic tensors, in the order of the steps."""
        raise NotImplementedError

    def symbolic(self) -> "list[tuple[Tensor, ...]]":
        """The symbolic tensors of each step; those of step 0 are the inputs."""
        return [tuple(e.tensor for e in self.entries), *(c.outputs for c in self.own_calls())]

    def enter(self, xs: Types, path: str, pending: "list[Pending]") -> Types:
        """The types of the outputs for inputs, where the model stands inside another.

        Raises:
            SpecError: A layer does not fit, or the model was built for other inputs.
        """
        raise NotImplementedError

    def refresh(self) -> None:
        """Find out again what hangs on the models within, if one has changed."""
        raise NotImplementedError

    def require_built(self, what: str) -> None:
        """Raise a `SpecError` that says why there is nothing to see yet, if the model is not built.

        Args:
            what: What was asked for.
        """
        raise NotImplementedError

    def check_entered(self, xs: Types, count: int) -> None:
        """Raise a `SpecError` if the model takes another number of tensors."""
        if len(xs) != count:
            expected = "one input tensor" if count == 1 else f"{count} input tensors"
            message = f"expected {expected}, received {len(xs)}"
            raise SpecError(Fault(message, None, self.label))

    def check_fits(self, x: TensorType, known: TensorType, entry: "Input | None") -> None:
        """Raise a `SpecError` if an input is not of the type that the model was built for.

        Args:
            x: The type of what comes.
            known: The type of the input.
            entry: The input if it was declared; without a dtype, it has that of the model around.
        """
        pairs = zip(known.keras_shape, x.keras_shape, strict=False)
        fits = known.rank == x.rank and all(a == b or a is None or b is None for a, b in pairs)
        is_open = entry is not None and entry.dtype is None and self.dtype is None
        same = known.dtype == x.dtype or (is_open and {known.dtype, x.dtype} <= set(DTYPES))
        if not fits or not same:
            message = (
                f"expected an input {known.keras_shape} of {known.dtype}, for which it was built; "
                f"received {x.keras_shape} of {x.dtype}"
            )
            raise SpecError(Fault(message, None, self.label))

    @property
    def trainable(self) -> bool:
        """Whether training may change the model; setting it sets all layers within."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._layers:
            layer.trainable = bool(value)

    def contains(self, model: "Container") -> bool:
        """Whether this is the model, or has it within."""
        return self is model or any(inner.contains(model) for inner in self._inner)

    def take_in(self, layers: "list[Item]") -> None:
        """Note that layers are part of the model, each once."""
        self._layers += layers
        for layer in layers:
            layer.home = layer.home or self
            if isinstance(layer, Container):
                self._inner.append(layer)
                layer._around.add(self)

    def _touch(self) -> None:
        """Note a change, here and in all models around."""
        self.changed = next(CLOCK)
        for model in self._around:
            model._stale = True
            model._touch()

    @property
    def variables(self) -> list[Variable]:
        """All variables, each once, in Keras's order.

        Raises:
            SpecError: The model is not built.
        """
        self.require_built("weights")
        return [variable for leaf in flatten(self) for variable in leaf.layer.variables]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes by gradients."""
        self.require_built("weights")
        return super().trainable_variables if self.trainable else []

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """A layer by its name or by its place.

        Raises:
            SpecError: There is none, or not exactly one of the two was given.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise SpecError(f"{self.label}: expected either a name or an index of a layer")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise SpecError(f"{self.label}: there is no layer {index}; it has {len(layers)}")
            return layers[index]
        known = {layer.name or "": layer for layer in layers}
        if name not in known:
            hint = near_miss(str(name), known)
            raise SpecError(f"{self.label}: there is no layer {short(name)}{hint}")
        return known[name]

    @property
    def layers(self) -> list[Any]:
        """The layers in order."""
        return list(self._layers)


Item = Layer | Container
