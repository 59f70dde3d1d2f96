"""A chain of layers whose types are known as soon as that of its input is."""

# ruff: noqa: D102 (what the methods do is said where Container declares them)

from collections import Counter
from collections.abc import Sequence

from seqgen.errors import SpecError
from seqgen.ir.build import first_data_format, input_type
from seqgen.ir.types import TensorType
from seqgen.layers.arguments import short
from seqgen.layers.within import keeps_states
from seqgen.spec.container import Container, Reading, Types
from seqgen.spec.entry import INPUT_NAME, Input
from seqgen.spec.flatten import common_dtype, flatten
from seqgen.spec.names import auto_name
from seqgen.spec.steps import Pending, place, run
from seqgen.spec.tensors import Call
from seqgen.spec.whole import Whole


class Chain(Whole):
    """Layers, and models among them, each with a name and a type, one behind the other."""

    auto_name = "sequential"

    def __init__(self, trainable: bool, name: str | None, dtype: str | None) -> None:
        super().__init__(trainable, name, dtype)
        self._entry: Input | None = None
        self._x: TensorType | None = None
        self._types: list[TensorType] = []
        self._calls: list[Call] = []
        self._implied: Input | None = None

    @property
    def built(self) -> bool:
        """Whether there are layers and their shapes are known."""
        self.refresh()
        return bool(self._layers) and len(self._types) == len(self._layers)

    @property
    def entries(self) -> list[Input]:
        return [self.entry]

    @property
    def steps(self) -> list[Reading]:
        return [Reading(layer, ((place, 0),)) for place, layer in enumerate(self._layers)]

    @property
    def results(self) -> tuple[tuple[int, int], ...]:
        return ((len(self._layers), 0),)

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

    def _run(
        self, x: TensorType, prefix: str, pending: list[Pending], start: int = 0
    ) -> list[TensorType]:
        """The types of the outputs of all layers from one on; nothing is kept of a failure."""
        chains = [inner for inner in self._inner if isinstance(inner, Chain)]
        fresh = [inner for inner in chains if inner._x is None]
        try:
            return run(self._layers, x, prefix, pending, start)
        except SpecError:
            for inner in fresh:
                inner._x, inner._types = None, []
            raise

    def _known_input(self) -> TensorType | None:
        if self._entry is None or self._entry.shape is None:
            first = self._layers[0] if self._layers else None
            return first.sole_input if isinstance(first, Container) else None
        if not self._layers:
            return None
        data_format = first_data_format(leaf.layer for leaf in flatten(self))
        dtype = self._entry.dtype or self.dtype or common_dtype(self) or "float32"
        return input_type(self._entry.shape, dtype, data_format, self._entry.batch_size)

    @property
    def entry_names(self) -> set[str]:
        return {self._entry.name} if self._entry else set()

    @property
    def sole_input(self) -> TensorType | None:
        return self._x

    def enter(self, xs: Types, path: str, pending: list[Pending]) -> Types:
        """The type of the output for an input, where the model stands inside another.

        A model that is not built yet is built for this input.

        Raises:
            SpecError: A layer does not fit, or the model was built for another input.
        """
        if not self._layers:
            raise SpecError(f"{self.label}: it has no layers; add some first")
        self.check_entered(xs, 1)
        (x,) = xs
        self.refresh()
        if self._x is not None:
            self.check_fits(x, self._x, self._entry)
        types = self._run(x, f"{path}/", pending)
        if self._x is None:
            self._x, self._types = x, types
        return (types[-1],)

    def refresh(self) -> None:
        if self._stale:
            self._stale = False
            self._types.clear()
            self._grow()

    def require_built(self, what: str) -> None:
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
            shape, dtype, name = self._x.keras_shape, self._x.dtype, self._input_name()
            known = self._implied
            if known is None or (known.batch_shape, known.name) != (shape, name):
                self._implied = Input(batch_shape=shape, dtype=dtype, name=name)
            assert self._implied is not None
            return self._implied
        return self._entry

    @property
    def declared(self) -> Input | None:
        """The input that was given for this very model, not taken from models around or within."""
        return self._entry

    @property
    def result_types(self) -> Types:
        self.require_built("outputs")
        return (self._types[-1],)

    def own_calls(self) -> list[Call]:
        self.require_built("tensors")
        # What is there already stays what it is, as long as all below it does.
        known, calls, last = iter(self._calls), [], self.entry.tensor
        for layer, y in zip(self._layers, self._types, strict=True):
            made = next(known, None)
            same = made is not None and made.item is layer and made.inputs == (last,)
            if made is None or not same or made.outputs[0].type != y:
                made, known = Call(layer, (last,)), iter(())
                made.give((y,))
            last = made.outputs[0]
            calls.append(made)
        self._calls = calls
        return list(calls)
