"""A chain of layers whose types are known as soon as that of its input is."""

import weakref
from collections import Counter
from collections.abc import Sequence

from seqgen.errors import SpecError
from seqgen.ir.build import first_data_format, input_type
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import short
from seqgen.layers.base import Layer
from seqgen.layers.state import CLOCK, HasVariables, Variable
from seqgen.layers.within import keeps_states
from seqgen.spec.entry import INPUT_NAME, Input
from seqgen.spec.flatten import flatten
from seqgen.spec.names import auto_name
from seqgen.spec.steps import Pending, place, run

Types = list[TensorType]


class Chain(HasVariables):
    """Layers, and models among them, each with a name and a type.

    Attributes:
        name: Name of the model.
        dtype: Of weights and computations; None where it is not said.
        names: The layers by name.
        counts: How many names of each class Keras would have given so far.
        adopted: Whether the model became part of another one.
        changed: Grows with every change of the layers, those of models within included.
    """

    auto_name = "sequential"

    def __init__(self, trainable: bool, name: str | None, dtype: str | None) -> None:
        self._made = next(CLOCK)
        self._auto = name is None
        self.name: str = self.auto_name if name is None else name
        self.dtype = dtype
        self._trainable = bool(trainable)
        self.names: dict[str, Item] = {}
        self.counts: Counter[str] = Counter()
        self.adopted = False
        self._entry: Input | None = None
        self._x: TensorType | None = None
        self._layers: list[Item] = []
        self._inner: list[Chain] = []
        self._around: weakref.WeakSet[Chain] = weakref.WeakSet()
        self._stale = False
        self._types: list[TensorType] = []
        self.changed = next(CLOCK)

    @property
    def label(self) -> str:
        """How errors name the model."""
        return f"{type(self).__name__} '{self.name}'"

    @property
    def layers(self) -> "list[Item]":
        """The layers in order; the input is none of them."""
        return list(self._layers)

    @property
    def trainable(self) -> bool:
        """Whether training may change the model; setting it sets all layers within."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._layers:
            layer.trainable = bool(value)

    @property
    def built(self) -> bool:
        """Whether there are layers and their shapes are known."""
        self._refresh()
        return bool(self._layers) and len(self._types) == len(self._layers)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Fix the input shape of a model that was made without one.

        Args:
            input_shape: The shape with the batch first; None for a size left open.

        Raises:
            SpecError: A layer does not fit, or the model has another input shape already.
        """
        if not self._layers:
            raise SpecError(f"{self.label}: it has no layers to build; add some first")
        if isinstance(input_shape, (str, bytes)) or not isinstance(input_shape, Sequence):
            message = f"expected a shape with the batch first, received {short(input_shape)}"
            raise SpecError(f"{self.label}: {message}")
        entry = Input(batch_shape=tuple(input_shape), name=self._input_name())
        known = self.entry.batch_shape if self._entry or self._x else None
        if known is not None and known != entry.batch_shape:
            raise SpecError(
                f"{self.label}: it has the input shape {known} already and cannot be "
                f"built for {entry.batch_shape}; make a new model"
            )
        self._entry = self._entry or entry
        try:
            self._grow()
        except SpecError:
            self._entry = self._x = None
            self._types.clear()
            raise

    def build_on(self, shape: tuple[int, ...]) -> None:
        """Fix the input shape of a model by that of a batch of data.

        Batches of any size may follow, unless a layer keeps states of each sample.
        """
        stateful = keeps_states(leaf.layer for leaf in flatten(self))
        self.build(shape if stateful else (None, *shape[1:]))

    def _input_name(self) -> str:
        """The name that Keras gives an input, or the next one if a layer has it."""
        return auto_name(INPUT_NAME, Counter(), self.names)

    def _grow(self) -> None:
        """Find the types of all layers that have none yet."""
        if self._x is None:
            self._x = self._known_input()
        if self._x is not None:
            pending: list[Pending] = []
            x = self._types[-1] if self._types else self._x
            self._types += self._run(x, "", pending, len(self._types))
            place(pending, self.dtype or "float32")

    def _run(self, x: TensorType, prefix: str, pending: list[Pending], start: int = 0) -> Types:
        """The types of the outputs of all layers from one on; nothing is kept of a failure."""
        fresh = [inner for inner in self._inner if inner._x is None]
        try:
            return run(self._layers, x, prefix, pending, start)
        except SpecError:
            for inner in fresh:
                inner._x, inner._types = None, []
            raise

    def _known_input(self) -> TensorType | None:
        if self._entry is None or self._entry.shape is None:
            first = self._layers[0] if self._layers else None
            return first._x if isinstance(first, Chain) else None
        if not self._layers:
            return None
        data_format = first_data_format(leaf.layer for leaf in flatten(self))
        dtype = self._entry.dtype or self.dtype or self._common_dtype() or "float32"
        return input_type(self._entry.shape, dtype, data_format, self._entry.batch_size)

    def _common_dtype(self) -> str | None:
        """The dtype that all layers have."""
        own = {leaf.layer.dtype for leaf in flatten(self)}
        return own.pop() if len(own) == 1 else None

    def enter(self, x: TensorType, path: str, pending: list[Pending]) -> TensorType:
        """The type of the output for an input, where the model stands inside another.

        A model that is not built yet is built for this input.

        Raises:
            SpecError: A layer does not fit, or the model was built for another input.
        """
        if not self._layers:
            raise SpecError(f"{self.label}: it has no layers; add some first")
        self._refresh()
        if self._x is not None:
            self._check_input(x)
        types = self._run(x, f"{path}/", pending)
        if self._x is None:
            self._x, self._types = x, types
        return types[-1]

    def _check_input(self, x: TensorType) -> None:
        known = self._x
        assert known is not None
        pairs = zip(known.keras_shape, x.keras_shape, strict=False)
        fits = known.rank == x.rank and all(a == b or a is None or b is None for a, b in pairs)
        if not fits or known.dtype != x.dtype:
            raise SpecError(
                f"{self.label}: expected an input {known.keras_shape} of {known.dtype}, for which "
                f"it was built; received {x.keras_shape} of {x.dtype}"
            )

    def contains(self, model: "Chain") -> bool:
        """Whether this is the model, or has it within."""
        return self is model or any(inner.contains(model) for inner in self._inner)

    def _touch(self) -> None:
        """Note a change, here and in all models around."""
        self.changed = next(CLOCK)
        for model in self._around:
            model._stale = True
            model._touch()

    def _refresh(self) -> None:
        """Find the types again if a model within has changed."""
        if self._stale:
            self._stale = False
            self._types.clear()
            self._grow()

    def require_built(self, what: str) -> None:
        """Raise a `SpecError` that says why there is nothing to see yet, if the model is not built.

        Args:
            what: What was asked for.
        """
        if self.built:
            return
        if self._x is not None:
            self._grow()  # a layer of a model within does not fit any more: say so again
        if not self._layers:
            why = "it has no layers yet; add some"
        else:
            why = (
                "its input shape is not known yet; begin with Input(shape=...), give the first "
                "layer input_shape=..., call build((None, ...)), or call the model on data"
            )
        raise SpecError(f"{self.label} has no {what}: it is not built, since {why}")

    @property
    def entry(self) -> Input:
        """The input, as far as it is known."""
        if self._entry is None:
            if self._x is None:
                self.require_built("input")
            assert self._x is not None
            shape, dtype = self._x.keras_shape, self._x.dtype
            return Input(batch_shape=shape, dtype=dtype, name=self._input_name())
        return self._entry

    @property
    def declared(self) -> Input | None:
        """The input that was given for this very model, not taken from models around or within."""
        return self._entry

    @property
    def types(self) -> list[TensorType]:
        """The types of the outputs of all layers, as far as they are known."""
        self._refresh()
        return list(self._types)

    @property
    def variables(self) -> list[Variable]:
        """All variables, in Keras's order.

        Raises:
            SpecError: The model is not built.
        """
        self.require_built("weights")
        return [variable for leaf in flatten(self) for variable in leaf.layer.variables]


Item = Layer | Chain
