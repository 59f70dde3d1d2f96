"""The way through an ONNX graph: what is known of its tensors, and the layers made so far."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqgen.errors import SpecError, UnsupportedError
from seqgen.importers.objects import Refusals
from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Network, Operator
from seqgen.importers.onnx_names import good_name, input_name, unique
from seqgen.importers.onnx_values import (
    Axes,
    Made,
    Sizes,
    Stack,
    Value,
    Zeros,
    plain,
    product,
    rejoined,
    unsplit,
)
from seqgen.importers.torch_walk import KEEPING, POSITIVE, POSITIVE_FUNCTIONS
from seqgen.ir.types import Dim
from seqgen.layers import LAYERS
from seqgen.layers.base import Layer
from seqgen.spec.entry import INPUT_NAME
from seqgen.spec.tensors import call

Result = Value | Array | Sizes | Zeros | Stack | tuple[Value | None, ...]
Converter = Callable[["Walk", Operator], Result]
# The sum of such tensors has no values below 0 either, nor have their product and the others.
JOINING = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply")


class Unknown(Exception):
    """An operator reads something that was refused before."""


class Walk:
    """The tensors of a graph by name.

    Args:
        network: The graph.
        batch: Its first size of all inputs: a number, or a name.
        dtype: That of all weights.

    Attributes:
        operator: The one at hand.
        weights: The variables of the layers made, by the identity of the layer.
    """

    def __init__(self, network: Network, batch: Dim, dtype: str) -> None:
        self.network = network
        self.batch = batch
        self.dtype = dtype
        self.refusals = Refusals()
        self.weights: dict[int, tuple[Array, ...]] = {}
        self.values: dict[str, Result | None] = dict(network.constants)
        self._counts: Counter[str] = Counter()
        self._taken: set[str] = set()
        # Layers with weights by what they are, and tensors by what they were arranged from.
        self._shared: dict[Any, Layer] = {}
        self._arranged: dict[Any, Value] = {}
        self._again: set[str] = set()
        self._opened = 0
        self._named: str | None = None

    def run(self, convert: Converter) -> None:
        """Go through all operators.

        Raises:
            UnsupportedError: Some have no exact layer; all are named.
        """
        for operator in self.network.operators:
            self.operator, self._named = operator, None
            try:
                made = convert(self, operator)
            except Unknown:
                made = None
            except UnsupportedError as error:
                named = str(error).startswith(operator.label)
                said = str(error) if named else f"{operator.label}: {error}"
                self.refusals.add(said)
                made = None
            self._keep(made)
        self.refusals.check()

    def _keep(self, made: Result | None) -> None:
        several = made if isinstance(made, tuple) else (made,)
        for at, name in enumerate(self.operator.outputs):
            self.values[name] = self._unread(several[at] if at < len(several) else None, name)
            asked = bool(name and self.network.readers[name])
            if made is not None and asked and self.values[name] is None:
                self.refusals.add(f"{self.operator.label}: its output '{name}' is no layer's")

    def _unread(self, made: Result | None, name: str) -> Result | None:
        """A tensor whose last layer may still be changed only if nothing else reads it."""
        readers = [r for r in self.network.readers[name] if r is None or r.kind != "Shape"]
        if isinstance(made, Value) and made.made and len(readers) != 1:
            return replace(made, made=None)
        return made

    def port_name(self, name: str) -> str:
        """The name of an input, as specs may have it."""
        return unique(input_name(name) or INPUT_NAME, self._counts, self._taken)

    # What the operator reads

    def read(self, operator: Operator, place: int) -> Result:
        """Whatever it reads at a place, which must be there."""
        name = operator.reads(place)
        if not name:
            operator.refuse(f"expected an input at place {place}, and there is none")
        found = self.values[name]
        if found is None:
            raise Unknown
        return found

    def value(self, operator: Operator, place: int = 0) -> Value:
        """The tensor that it reads at a place."""
        found = self.read(operator, place)
        if isinstance(found, Stack):
            operator.refuse(Stack.advice)
        if not isinstance(found, Value):
            operator.refuse(f"expected a tensor that hangs on an input at place {place}")
        return found

    def array(self, operator: Operator, place: int) -> Array | None:
        """The constant that it reads at a place; None if nothing is there."""
        if not operator.reads(place):
            return None
        found = self.read(operator, place)
        if not isinstance(found, Array):
            message = f"expected a constant at place {place}, and it is computed"
            operator.refuse(f"{message}; Keras's layers take no such input")
        return found

    def weight(self, operator: Operator, place: int, rank: int | None = None) -> Array:
        """The constant of numbers that it needs at a place."""
        found = self.array(operator, place)
        if found is None:
            operator.refuse(f"expected a constant at place {place}, and there is none")
        if rank is not None and len(found.shape) != rank:
            operator.refuse(f"expected a constant with {rank} axes, received {found.shape}")
        return found

    def integers(self, operator: Operator, place: int, attribute: str) -> tuple[int, ...] | None:
        """Whole numbers from an input, or from the attribute of older versions."""
        given = self.array(operator, place)
        if given is None:
            found: tuple[int, ...] | None = operator.integers(attribute)
            return found
        return tuple(int(number) for number in np.ravel(given.values()))

    def scalar(self, operator: Operator, place: int, attribute: str) -> float | None:
        """A number from an input, or from the attribute of older versions; None if not given."""
        given = self.array(operator, place)
        if given is None:
            value = operator.real(attribute, None)
            return None if value is None else self.number(value)
        if given.size != 1:
            operator.refuse(f"expected one number at place {place}, received {given.shape}")
        return self.number(given.values().item())

    def number(self, value: float) -> float:
        """A float32 of the file in the fewest digits that say it, where the model has float32."""
        short = float(str(np.float32(value)))
        return value if self.dtype == "float64" or not np.isfinite(value) else short

    def followers(self, name: str) -> list[str]:
        """What reads a tensor: kinds of operators, and an empty one if it is a result."""
        readers = self.network.readers[name]
        return ["" if operator is None else operator.kind for operator in readers]

    def axis(self, operator: Operator, x: Value, axis: int, attribute: str = "axis") -> int:
        """An axis of a tensor counted from the first, the batch."""
        if not -x.rank <= axis < x.rank:
            operator.refuse(f"expected an axis of an input {x.shown}, received {axis}", attribute)
        return axis % x.rank

    # Layers

    def layer(
        self,
        kind: str,
        *xs: Value,
        weights: Sequence[Array] = (),
        axes: Axes | None = None,
        name: str | None = None,
        label: str = "",
        **arguments: Any,
    ) -> Value:
        """Call a layer.

        Args:
            kind: Its class.
            xs: The tensors that it takes, just as the spec has them.
            weights: Its variables in Keras's order.
            axes: How the axes of the file stand for those of the result; by itself as for the
                first tensor.
            name: Its name, empty for none; by itself that of the operator for the first layer.
            label: What a layer beside the one of the operator's name is called behind it.
            arguments: Its arguments.
        """
        own = tuple(weights)
        key = (kind, tuple(array.key for array in own), repr(sorted(arguments.items())))
        made = self._shared.get(key) if own else None
        if made is None:
            name = self._name(own, label) if name is None else name
            made = self._fresh(kind, {**arguments, "name": name or None}, xs, own)
            self._shared[key] = made
        try:
            tensor = call(made, tuple(x.tensor for x in xs), {})
        except SpecError as error:
            self._misfit(kind, error)
        x = xs[0]
        dims = self._dims(tensor, xs)
        positive = _is_positive(made, xs)
        how = None if label else Made(kind, xs, own, arguments, made.name)
        return Value(tensor, dims, x.axes if axes is None else axes, positive, how)

    def _fresh(
        self, kind: str, arguments: dict[str, Any], xs: Sequence[Value], weights: tuple[Array, ...]
    ) -> Layer:
        """A new layer, whose variables must have the shapes of those of the file."""
        try:
            made = LAYERS[kind].from_arguments(arguments)
            types = [x.tensor.type for x in xs]
            made.check_count(len(types))
            made.output_type(*types)
            expected = [weight.shape for weight in made.weight_types(*types)]
        except SpecError as error:
            self._misfit(kind, error)
        received = [array.shape for array in weights]
        if expected != received:
            self.operator.refuse(f"as {kind}: expected weights {expected}, received {received}")
        strange = [array.dtype for array in weights if array.dtype != self.dtype]
        if strange:
            message = f"expected weights of {self.dtype} as in the whole model"
            self.operator.refuse(f"{message}, received {strange[0]}")
        self.weights[id(made)] = weights
        return made

    def _misfit(self, kind: str, error: SpecError) -> Any:
        faults = (f"{fault.argument or ''} {fault.message}".strip() for fault in error.faults)
        self.operator.refuse(f"as {kind}: {'; '.join(faults)}")

    def _name(self, weights: tuple[Array, ...], label: str) -> str | None:
        """The name of the operator for the first layer of it; another one has the label behind."""
        name = good_name(self.operator, weights)
        if not name or (self._named and not label) or (name in self._taken and not weights):
            return None
        self._named = self._named or name
        return unique(f"{name}_{label}" if label else name, self._counts, self._taken)

    def _dims(self, tensor: Any, xs: Sequence[Value]) -> tuple[Dim, ...]:
        """The sizes of a result: open ones are those of an input, or new."""
        known = {
            name: dim
            for x in xs[::-1]
            for name, dim in zip(x.tensor.type.shape, x.dims, strict=True)
            if isinstance(name, str)
        }
        dims: list[Dim] = [self.batch]
        for size in tensor.type.shape[1:]:
            self._opened += 1
            dims.append(size if isinstance(size, int) else known.get(size, f"?{self._opened}"))
        return tuple(dims)

    def again(self, x: Value, weights: Sequence[Array], arguments: dict[str, Any]) -> Value:
        """A tensor by its last layer with other weights and arguments, in the place of that one."""
        made = x.made
        assert made is not None
        name = made.name if made.name not in self._again else ""
        self._again.add(made.name or "")
        y = self.layer(
            made.kind, *made.inputs, weights=weights, name=name or "", axes=x.axes, **arguments
        )
        return replace(y, dims=x.dims)

    # Order of axes

    def arranged(self, x: Value, order: Sequence[int]) -> Value:
        """A tensor whose axes are those of the file in some order, each of them one.

        Args:
            x: The tensor.
            order: For each axis of the result the axis of the file, the batch first.
        """
        groups = tuple(x.axes[place] for place in order)
        if groups == plain(len(groups)):
            return x
        key = (id(x.tensor), groups, tuple(order))
        if key not in self._arranged:
            self._arranged[key] = self._arrange(x, groups, order)
        return self._arranged[key]

    def _arrange(self, x: Value, groups: Axes, order: Sequence[int]) -> Value:
        atoms = tuple(axis for group in groups for axis in group)
        if groups[0] != (0,):
            message = f"the batch is no axis of its own in {x.shown}, so that samples would mix"
            self.operator.refuse(f"{message}; layers treat each sample alike")
        axes = tuple((order.index(place),) for place in range(x.rank))
        if atoms != tuple(range(len(atoms))):
            x = self.layer("Permute", x, dims=atoms[1:], name="", axes=plain(len(atoms)))
        before = unsplit(x, groups)
        if before is not None:
            x = before
        elif groups == ((0,), atoms[1:]):
            x = self.layer("Flatten", x, name="", axes=axes)
        elif any(len(group) != 1 for group in groups):
            sizes = [product(x.dims[atoms.index(axis)] for axis in group) for group in groups]
            x = self.reshaped(x, sizes[1:], axes, name="")
        return replace(x, axes=axes, made=None)

    def cut(self, x: Value, items: dict[int, slice | int]) -> Value:
        """What stands at some places of axes of the file; an index takes its axis away."""
        if all(x.axes[at] == () and item in (0, -1) for at, item in items.items()):
            return replace(x, axes=tuple(g for at, g in enumerate(x.axes) if at not in items))
        x = rejoined(x)
        if any(len(x.axes[at]) != 1 or x.axes[at] == (0,) for at in items):
            x = self.in_order(x)
        key: list[slice | int] = [slice(None)] * len(x.dims)
        for at, item in items.items():
            key[x.axes[at][0]] = item
        left = [axis for axis, item in enumerate(key) if isinstance(item, slice)]
        kept = [at for at in range(x.rank) if isinstance(items.get(at, slice(None)), slice)]
        axes = tuple(tuple(left.index(axis) for axis in x.axes[at]) for at in kept)
        return self.layer("ops.get_item", x, key=tuple(key), axes=axes)

    def in_order(self, x: Value) -> Value:
        """A tensor whose axes stand as in the file."""
        return self.arranged(x, range(x.rank))

    def channels_last(self, x: Value) -> Value:
        """A tensor with the axis behind the batch as its last one."""
        return self.arranged(x, (0, *range(2, x.rank), 1))

    def reshaped(
        self, x: Value, sizes: Sequence[Dim], axes: Axes, name: str | None = None
    ) -> Value:
        """A tensor in another shape, one of whose sizes may be open."""
        target = tuple(size if isinstance(size, int) else -1 for size in sizes)
        if target.count(-1) > 1:
            message = f"Keras can leave one size of {target} open"
            self.operator.refuse(f"{message}; fix the others of {x.shown}")
        made = self.layer("Reshape", x, target_shape=target, axes=axes, name=name)
        dims = (self.batch, *sizes) if -1 not in sizes else made.dims
        return replace(made, dims=dims)


def _is_positive(layer: Layer, xs: Sequence[Value]) -> bool:
    """Whether no value of a result is below 0."""
    kind, before = type(layer).__name__, all(x.positive for x in xs)
    if kind == "Activation":
        return getattr(layer, "activation").name in POSITIVE_FUNCTIONS  # noqa: B009
    return kind in POSITIVE or (before and kind.startswith((*KEEPING, *JOINING)))
