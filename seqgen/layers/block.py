"""A Sequential inside a layer."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

from seqgen.errors import SpecError
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import Kind, arg, open_sizes, optional
from seqgen.layers.base import LAYER, LAYER_SCHEMA, Layer, Weight, numbered, placed_by_class
from seqgen.layers.objects import NAME
from seqgen.layers.state import HasVariables


def _block(value: Any, rank: int) -> "_Block":
    """A Sequential inside a layer, of `{Sequential: arguments}` or of a model."""
    if isinstance(value, HasVariables):
        return _Block.of_model(value)
    if not isinstance(value, Mapping):
        value = {"layers": value}
    try:
        return _Block.from_arguments(dict(value))
    except SpecError as error:
        raise ValueError(f"; {'; '.join(map(str, error.faults))}") from None


def _wrapped(value: Any, rank: int) -> Layer:
    if isinstance(value, HasVariables) and not isinstance(value, Layer):
        return _block(value, rank)
    if isinstance(value, Mapping) and set(value) == {"Sequential"}:
        return _block(value["Sequential"], rank)
    return LAYER.parse(value, rank)


def _layers(value: Any, rank: int) -> tuple[Layer, ...]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise TypeError
    layers = tuple(WRAPPED.parse(item, rank) for item in value)
    names = Counter(layer.name for layer in layers if layer.name)
    if not layers:
        raise ValueError
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError("; layers are not shared")
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError(f"; the name '{twice[0]}' is taken")
    return layers


def _input(value: Any, rank: int) -> tuple[int | None, ...]:
    if isinstance(value, Mapping) and set(value) == {"shape"}:
        value = value["shape"]
    return SIZES.parse(value, rank)


SIZES = open_sizes(1, "a shape of positive integers, null for a size left open")
WRAPPED = Kind("a layer or a Sequential", _wrapped, LAYER.schema, of_layers=True)
LAYERS_WITHIN = Kind(
    "a list of at least one layer",
    _layers,
    lambda rank: {"type": "array", "items": LAYER_SCHEMA, "minItems": 1},
    of_layers=True,
)
INPUT = Kind(SIZES.expected, _input, SIZES.schema)


class _Block(Layer):
    """A Sequential inside another layer."""

    keras_path = "keras:Sequential"
    layout = "spec"
    # What is made with trainable=False is frozen, in Keras, only if it is the outermost model.
    trainable: ClassVar[bool] = True
    dtype: ClassVar[None] = None
    activity_regularizer: ClassVar[None] = None
    input_shape: ClassVar[None] = None

    layers: tuple[Layer, ...] = arg(LAYERS_WITHIN)
    name: str | None = arg(optional(NAME), None, kw_only=True)
    input: tuple[int | None, ...] | None = arg(optional(INPUT), None, kw_only=True)

    @classmethod
    def of_model(cls, model: Any) -> Self:
        """The model as it is now; names that were not given are left open."""
        if not hasattr(model, "add"):
            raise ValueError(f"; {model.label} is a graph, which wrappers do not take")
        if model.built and any(variable.given for variable in model.variables):
            raise ValueError(f"; {model.label} has weights; give them to the model around it")
        if model.dtype is not None:
            raise ValueError("; give its dtype to the model around it")
        entry = model.declared
        if entry is not None and entry.dtype is not None:
            raise ValueError("; leave the dtype of its Input to the model around it")
        layers = []
        for item in model.items:
            copy = item.snapshot() if isinstance(item, Layer) else cls.of_model(item)
            copy.name, copy._made = None if item._auto else item.name, item._made
            layers.append(copy)
        name = None if model._auto else model.name
        return cls(tuple(layers), name=name, input=entry.shape if entry else None)

    def with_names(self, counts: Counter[str]) -> Self:
        layers = numbered(self.layers, counts)
        if all(new is old for new, old in zip(layers, self.layers, strict=True)):
            return self
        made = replace(self, layers=layers)
        made._auto, made._local, made._made = self._auto, self._local, self._made
        return made

    def snapshot(self) -> Self:
        made = super().snapshot()
        # It is checked by then, and changes nothing else.
        made.input = None
        return made

    def flow(
        self, x: TensorType, mask: TensorType | None = None
    ) -> Iterator[tuple[Layer, TensorType, TensorType | None, TensorType]]:
        """Each layer with the types of its input, of the mask of that, and of its output.

        Raises:
            SpecError: A layer does not fit its input, or the mask of that.
        """
        self._check_input(x)
        for layer in self.layers:
            if mask is not None:
                layer.check_mask(x, mask)
            y = layer.output_type(x)
            sizes = (
                f"{layer.name}.{axis}" if size is None else size
                for size, axis in zip(y.shape, y.axes, strict=True)
            )
            y = replace(y, shape=tuple(sizes))
            yield layer, x, mask, y
            mask = layer.made_mask(x) or (mask if layer.passes_mask else None)
            x = y

    def _check_input(self, x: TensorType) -> None:
        given = self.input
        if given is None:
            return
        pairs = zip(given, x.keras_shape[1:], strict=False)
        fits = len(given) == x.rank - 1 and all(a == b or None in (a, b) for a, b in pairs)
        if not fits:
            message = f"it was made for an input {(None, *given)}, received {x.keras_shape}"
            raise self.fault(message, "input")

    @property
    def uses_mask(self) -> bool:
        """Whether a layer inside computes with the mask of the input."""
        return any(layer.uses_mask for layer in self.layers)

    def check_mask(self, x: TensorType, mask: TensorType) -> None:
        for _ in self.flow(x, mask):
            pass

    def output_type(self, x: TensorType) -> TensorType:
        *_, (_, _, _, y) = self.flow(x)
        return y

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        steps = [(layer, x) for layer, x, _, _ in self.flow(x)]
        found = [layer.weights_within(x, "layers") for layer, x in steps]
        return placed_by_class([layer for layer, _ in steps], found)
