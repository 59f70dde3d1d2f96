"""A stack of layers that finds names and types as it grows."""

import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from seqgen.errors import SpecError
from seqgen.ir.build import first_data_format, input_type
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import short
from seqgen.layers.base import Layer
from seqgen.layers.state import CLOCK, HasVariables, Variable
from seqgen.spec.entry import INPUT_NAME, Input
from seqgen.spec.flatten import flatten
from seqgen.spec.names import auto_name, check_name, name_all
from seqgen.spec.steps import Pending, place, run

Types = list[TensorType]


class Stack(HasVariables):
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

    def __init__(
        self, layers: Iterable[Any], trainable: bool, name: str | None, dtype: str | None
    ) -> None:
        self._made = next(CLOCK)
        self._auto = name is None
        self.name: str = self.auto_name if name is None else name
        check_name(self.name, type(self).__name__)
        self.dtype = dtype
        self._trainable = bool(trainable)
        self.names: dict[str, Item] = {}
        self.counts: Counter[str] = Counter()
        self.adopted = False
        self._entry: Input | None = None
        self._x: TensorType | None = None
        self._layers: list[Item] = []
        self._inner: list[Stack] = []
        self._around: weakref.WeakSet[Stack] = weakref.WeakSet()
        self._stale = False
        self._types: list[TensorType] = []
        self.changed = next(CLOCK)
        self._take(list(layers))
        if self._auto:
            self.name = auto_name(self.auto_name, self.counts, ())
        self._grow()

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

    # Growing and shrinking

    def add(self, layer: Any) -> None:
        """Put a layer, or an `Input`, on top.

        Raises:
            SpecError: The layer does not fit, or its name is taken; the model stays as it was.
        """
        self._refresh()
        before, entry = len(self._layers), self._entry
        self._take([layer])
        try:
            self._grow()
        except SpecError:
            self._cut(before)
            self._entry, self._x = entry, self._x if before else None
            raise

    def pop(self) -> "Item":
        """Remove the last layer and return it. The input stays.

        Raises:
            SpecError: There is none.
        """
        if not self._layers:
            raise SpecError(f"{self.label}: there is no layer to pop")
        self._refresh()
        layer = self._layers[-1]
        self._cut(len(self._layers) - 1)
        return layer

    def _cut(self, length: int) -> None:
        """Take off all layers beyond a number of them."""
        for layer in self._layers[length:]:
            self.names.pop(layer.name or "", None)
            if isinstance(layer, Stack):
                self._inner = [inner for inner in self._inner if inner is not layer]
                layer._around.discard(self)
        if not length and self._x is not None:
            self._entry = self.entry  # it may have been that of the first layer
        del self._layers[length:], self._types[length:]
        self._touch()

    def _take(self, items: list[Any]) -> None:
        """Put layers in place, with names, without a look at their shapes."""
        entry, first = self._entry, not self._layers
        try:
            layers: list[Any] = []
            for item in items:
                if isinstance(item, Input):
                    self._enter(item, layers)
                else:
                    self._check_new(item)
                    layers.append(item)
            if len({id(layer) for layer in layers}) < len(layers):
                raise SpecError(f"{self.label}: one layer is given twice; layers are not shared")
            name_all(layers, self)
        except SpecError:
            self._entry = entry
            raise
        self._layers += layers
        for layer in layers:
            if isinstance(layer, Stack):
                self._inner.append(layer)
                layer._around.add(self)
        if first and layers and isinstance(layers[0], Layer) and self._entry is None:
            shape = layers[0].input_shape
            self._entry = None if shape is None else Input(shape)
        self._touch()

    def _enter(self, entry: Input, before: list[Any]) -> None:
        """Take an input, which stands before all layers."""
        if self._entry is not None or self._layers or self._x is not None or before:
            received = self._entry or "other layers"
            raise SpecError(f"{self.label}: expected one Input, first of all; received {received}")
        self._entry = entry

    def _check_new(self, layer: Any) -> None:
        if isinstance(layer, type) and issubclass(layer, (Layer, Stack)):
            name = layer.__name__
            raise SpecError(f"{self.label}: expected a layer, received its class; write {name}()")
        if not isinstance(layer, (Layer, Stack)):
            raise SpecError(f"{self.label}: expected a layer, received {short(layer)}")
        if self.names.get(layer.name or "") is layer:
            raise SpecError(f"{layer.label} is in the model already; layers are not shared")
        if isinstance(layer, Stack) and layer.contains(self):
            raise SpecError(f"{self.label}: a model cannot be part of itself")

    def contains(self, model: "Stack") -> bool:
        """Whether this is the model, or has it within."""
        return self is model or any(inner.contains(model) for inner in self._inner)

    # Types

    @property
    def built(self) -> bool:
        """Whether there are layers and their shapes are known."""
        self._refresh()
        return bool(self._layers) and len(self._types) == len(self._layers)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Fix the input shape of a model that was made without one.

        Args:
            input_shape: The shape with the batch first, which stays open whatever it is.

        Raises:
            SpecError: A layer does not fit, or the model has another input shape already.
        """
        if not self._layers:
            raise SpecError(f"{self.label}: it has no layers to build; add some first")
        if isinstance(input_shape, (str, bytes)) or not isinstance(input_shape, Sequence):
            message = f"expected a shape with the batch first, received {short(input_shape)}"
            raise SpecError(f"{self.label}: {message}")
        entry = Input(tuple(input_shape)[1:], name=self._input_name())
        known = self.entry.shape if self._entry or self._x else None
        if known is not None and known != entry.shape:
            raise SpecError(
                f"{self.label}: it has the input shape {(None, *known)} already and cannot be "
                f"built for {(None, *entry.shape)}; make a new model"
            )
        self._entry = self._entry or entry
        try:
            self._grow()
        except SpecError:
            self._entry = self._x = None
            self._types.clear()
            raise

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
            return first._x if isinstance(first, Stack) else None
        if not self._layers:
            return None
        data_format = first_data_format(leaf.layer for leaf in flatten(self))
        dtype = self._entry.dtype or self.dtype or self._common_dtype() or "float32"
        return input_type(self._entry.shape, dtype, data_format)

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

    # What is known of a model that is built

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
            shape, dtype = self._x.keras_shape[1:], self._x.dtype
            return Input(shape, dtype=dtype, name=self._input_name())
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


Item = Layer | Stack
