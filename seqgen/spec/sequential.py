"""The Sequential model, as Keras has it."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqgen.errors import Fault, SpecError
from seqgen.ir.graph import Model
from seqgen.layers.arguments import DTYPE, near_miss, short
from seqgen.layers.state import Variable
from seqgen.spec.chain import Item
from seqgen.spec.flatten import graph_of
from seqgen.spec.stack import Stack

if TYPE_CHECKING:
    from seqgen.weights import Weights


class Tensor(NamedTuple):
    """A symbolic input or output: what is known of it before there is data."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def _dtype(value: Any) -> str | None:
    try:
        return None if value is None else DTYPE.parse(value, 0)
    except (TypeError, ValueError):
        message = f"expected {DTYPE.expected}, received {short(value)}"
        raise SpecError(Fault(message, "dtype", "Sequential")) from None


def _require_safetensors(path: str | os.PathLike[str], others: str = "") -> None:
    if not os.fspath(path).endswith(".safetensors"):
        raise SpecError(f"expected a path that ends in .safetensors{others}, received '{path}'")


class Sequential(Stack):
    """A stack of layers, each with one input and one output.

    Args:
        layers: Layers and models, an `Input` first if the shape is known.
        trainable: False if training changes no variable of the model.
        name: Name of the model.
        dtype: Of weights and computations; float32 by itself.

    Raises:
        SpecError: A layer does not fit its input, or two have the same name.
    """

    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str | None = None,
    ) -> None:
        self._session: Any = None
        super().__init__(layers or (), trainable, name, _dtype(dtype))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    def __len__(self) -> int:
        return len(self._layers)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, built={self.built}, layers={len(self)}>"

    def get_layer(self, name: str | None = None, index: int | None = None) -> Item:
        """A layer by its name or by its place.

        Raises:
            SpecError: There is none, or not exactly one of the two was given.
        """
        if (name is None) == (index is None):
            raise SpecError(f"{self.label}: expected either a name or an index of a layer")
        if index is not None:
            if not -len(self) <= index < len(self):
                raise SpecError(f"{self.label}: there is no layer {index}; it has {len(self)}")
            return self._layers[index]
        known = {layer.name or "": layer for layer in self._layers}
        if name not in known:
            hint = near_miss(str(name), known)
            raise SpecError(f"{self.label}: there is no layer {short(name)}{hint}")
        return known[name]

    # Shapes

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input, the batch included."""
        return self.entry.batch_shape

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the output, the batch included."""
        self.require_built("output shape")
        return self._types[-1].keras_shape

    @property
    def inputs(self) -> list[Tensor]:
        """The input, as a list of one."""
        entry = self.entry
        assert self._x is not None
        return [Tensor(entry.name, self.input_shape, self._x.dtype)]

    @property
    def outputs(self) -> list[Tensor]:
        """The output, as a list of one."""
        shape = self.output_shape
        return [Tensor(self._layers[-1].name or "", shape, self._types[-1].dtype)]

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Shape of the output for a shape of the input, both with the batch."""
        batch_size, *sizes = input_shape
        entry = {"shape": sizes, "batch_size": batch_size}
        return Sequential.from_dict({**self.to_dict(), "input": entry}).output_shape

    def graph(self) -> Model:
        """The typed graph, with copies of the layers.

        Raises:
            SpecError: The model is not built, or is no chain of layers with weights of their own.
        """
        self.require_built("graph")
        return graph_of(self)

    # Weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes by gradients."""
        self.require_built("weights")
        return super().trainable_variables if self.trainable else []

    @property
    def has_own_weights(self) -> bool:
        """Whether weights have values: loaded, assigned, imported, or drawn and used already."""
        return self.built and any(variable.given for variable in self.variables)

    def store(self) -> "Weights":
        """The weights by key, each made or read when it is asked for."""
        from seqgen.weights import Weights

        keys = [weight.key for weight in self.graph().weights]
        pairs = zip(keys, self.variables, strict=True)
        return Weights({key: variable.lazy(key) for key, variable in pairs})

    def set_store(self, weights: "Weights") -> None:
        """Take all weights from a store, which is read when they are asked for.

        Raises:
            MismatchError: They are not exactly the weights of the model.
        """
        from seqgen.weights import check

        graph = self.graph()
        check(weights, graph.weights, graph.dtype)
        for weight, variable in zip(graph.weights, self.variables, strict=True):
            variable.read_from(weights, weight.key)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights to a safetensors file, in Keras layout, by key.

        Raises:
            SpecError: The path does not end in `.safetensors`.
            SeqgenError: The file cannot be written.
        """
        from seqgen.weights import Weights

        _require_safetensors(path)
        overwritten = os.path.exists(path)
        self.store().save(path)
        if overwritten:
            # Weights may come from the very file that is no more.
            self.set_store(Weights.open(path))

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Read the weights of a file: safetensors, or what Keras 3 or 2 saved as `.h5`.

        Raises:
            SpecError: The path does not end in `.safetensors`, `.h5` or `.hdf5`.
            MismatchError: The file is broken, or does not hold exactly the model's weights.
        """
        from seqgen.importers.hdf5 import open_weights
        from seqgen.spec.files import is_hdf5
        from seqgen.weights import Weights, check

        if not is_hdf5(path):
            _require_safetensors(path, ", .h5 or .hdf5")
        graph, weights = self.graph(), open_weights(Path(path), self)
        check(weights, graph.weights, graph.dtype)
        self.set_store(Weights(dict(weights)))

    def __call__(self, inputs: Any) -> np.ndarray:
        """The result for a batch in the spec's layout, computed by onnxruntime.

        A model without an input shape is built for the shape of the batch.

        Raises:
            SpecError: The batch does not fit the model.
        """
        from seqgen.runtime import evaluate

        x = np.asarray(inputs)
        if not self.built:
            self.build_on(x.shape)
        return evaluate(self, x)

    def reset_states(self) -> None:
        """Let layers that go on with a batch where the one before ended begin anew."""
        if self._session is not None:
            self._session.reset_states()

    # Text and files

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print the table of layers, shapes and parameters that Keras prints.

        Args:
            line_length: Width of the table in characters.
            positions: Where the columns end, as fractions of the width.
            print_fn: Takes the whole text instead of the terminal.
            expand_nested: Whether to show the layers of models within.
            show_trainable: Whether to show which layers are frozen.
            layer_range: Names, or patterns, of the first and the last layer to show.

        Raises:
            SpecError: The model is not built.
        """
        from seqgen.spec.summary import print_summary

        self.require_built("summary")
        print_summary(
            self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range
        )

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain values, as short as it can be said."""
        from seqgen.spec.writer import spec_dict

        return spec_dict(self)

    @classmethod
    def from_dict(cls, spec: Any) -> "Sequential":
        """The model of a spec in plain values.

        Raises:
            SpecError: With all faults of the spec.
        """
        from seqgen.spec.files import from_plain

        return from_plain(spec)

    def to_yaml(self) -> str:
        """The spec as YAML."""
        from seqgen.spec.text import to_yaml

        return to_yaml(self.to_dict())

    def to_json(self) -> str:
        """The spec as JSON."""
        from seqgen.spec.text import to_json

        return to_json(self.to_dict())

    def to_toml(self) -> str:
        """The spec as TOML, where the string "null" stands for null."""
        from seqgen.spec.text import to_toml

        return to_toml(self.to_dict())

    def save(
        self, path: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None
    ) -> None:
        """Write the spec to a file: YAML, JSON or TOML by its suffix.

        Args:
            path: The spec file.
            weights: A safetensors file to write the weights to; the spec will name it.

        Raises:
            SeqgenError: A file cannot be written, or the suffix is another one.
        """
        from seqgen.spec.files import save

        save(self, path, weights)
