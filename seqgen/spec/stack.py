"""A chain that grows and shrinks, and names what it takes in."""

from collections.abc import Iterable
from typing import Any

from seqgen.errors import SpecError
from seqgen.layers.arguments import short
from seqgen.layers.base import Layer
from seqgen.spec.chain import Chain
from seqgen.spec.container import Container, Item
from seqgen.spec.entry import Input
from seqgen.spec.names import auto_name, check_name, name_all


class Stack(Chain):
    """Layers, and models among them, each with a name and a type.

    Args:
        layers: Layers and models, an `Input` first if the shape is known.
        trainable: False if training changes no variable of the model.
        name: Name of the model.
        dtype: Of weights and computations.
    """

    def __init__(
        self, layers: Iterable[Any], trainable: bool, name: str | None, dtype: str | None
    ) -> None:
        super().__init__(trainable, name, dtype)
        check_name(self.name, type(self).__name__)
        self._take(list(layers))
        if self._auto:
            self.name = auto_name(self.auto_name, self.counts, ())
        self._grow()

    def add(self, layer: Any) -> None:
        """Put a layer, or an `Input`, on top.

        Raises:
            SpecError: The layer does not fit, or its name is taken; the model stays as it was.
        """
        self.refresh()
        before, entry = len(self._layers), self._entry
        self._take([layer])
        try:
            self._grow()
        except SpecError:
            self._cut(before)
            self._entry, self._x = entry, self._x if before else None
            raise

    def pop(self) -> Item:
        """Remove the last layer and return it. The input stays.

        Raises:
            SpecError: There is none.
        """
        if not self._layers:
            raise SpecError(f"{self.label}: there is no layer to pop")
        self.refresh()
        layer = self._layers[-1]
        self._cut(len(self._layers) - 1)
        return layer

    def _cut(self, length: int) -> None:
        """Take off all layers beyond a number of them."""
        for layer in self._layers[length:]:
            self.names.pop(layer.name or "", None)
            layer.home = None if layer.home is self else layer.home
            if isinstance(layer, Container):
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
        self.take_in(layers)
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
        if isinstance(layer, type) and issubclass(layer, (Layer, Container)):
            name = layer.__name__
            raise SpecError(f"{self.label}: expected a layer, received its class; write {name}()")
        if not isinstance(layer, (Layer, Container)):
            raise SpecError(f"{self.label}: expected a layer, received {short(layer)}")
        if isinstance(layer, Layer) and layer.is_operation:
            message = "is an operation, which only a graph holds: make a Model of its result"
            raise SpecError(f"{self.label}: {layer.label} {message}")
        if self.names.get(layer.name or "") is layer:
            raise SpecError(f"{layer.label} is in the model already; layers are not shared")
        if isinstance(layer, Container) and layer.contains(self):
            raise SpecError(f"{self.label}: a model cannot be part of itself")
