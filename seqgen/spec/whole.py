"""What every model can do once it is built: weights, results, text and files."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import SpecError
from seqgen.ir.graph import Model as Graph
from seqgen.layers.state import Variable
from seqgen.spec.container import Container
from seqgen.spec.flatten import flatten, graph_of
from seqgen.spec.tensors import Tensor, call, is_symbolic
from seqgen.training.settings import Training

if TYPE_CHECKING:
    from seqgen.weights import Weights


def _require_safetensors(path: str | os.PathLike[str], others: str = "") -> None:
    if not os.fspath(path).endswith(".safetensors"):
        raise SpecError(f"expected a path that ends in .safetensors{others}, received '{path}'")


def single(values: list[Any]) -> Any:
    """The only one of several values, or all of them."""
    return values[0] if len(values) == 1 else values


class Whole(Container):
    """A model with its weights, results and files.

    Attributes:
        training: How it is trained, if that is said.
    """

    training: Training | None = None

    def graph(self) -> Graph:
        """The typed graph, with copies of the layers.

        Raises:
            SpecError: The model is not built, or its layers do not go together in one graph.
        """
        self.require_built("graph")
        return replace(graph_of(self), training=self.training)

    # Training

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = (),
        weighted_metrics: Any = (),
    ) -> None:
        """Say how the model is trained, as Keras's `compile` does; `generate` writes programs.

        Args:
            optimizer: An optimizer of `seqgen.optimizers`, or its name.
            loss: A loss of `seqgen.losses`, or its name.
            metrics: A list of metrics of `seqgen.metrics`, or of names.
            weighted_metrics: Metrics to which samples count by their weights.

        Raises:
            SpecError: There is no such thing, or an argument is wrong.
        """
        given = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
        self.training = Training.parse({**given, "weighted_metrics": weighted_metrics})

    def fit(self, data: str | Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Say on what the model is trained and how long; the programs do it.

        Args:
            data: What the programs read if `--data` is not given: a path, or an object that says
                its format and columns.
            settings: `batch_size`, `epochs`, `steps_per_epoch`, `shuffle`, `seed`,
                `validation_split`, `class_weight`, `callbacks`, `distributed` and `parity`, as in
                the training section of a spec.

        Raises:
            SpecError: The model is not compiled, or a setting is wrong.
        """
        if self.training is None:
            raise SpecError(f"{self.label}: call compile first, which says the loss")
        before = self.training.to_plain()
        self.training = Training.parse({**before, "data": data, **settings})

    # Shapes

    @property
    def inputs(self) -> list[Tensor]:
        """The inputs, to make other models of."""
        self.require_built("inputs")
        return [entry.tensor for entry in self.entries]

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs, to make other models of."""
        self.require_built("outputs")
        made = self.symbolic()
        return [made[step][index] for step, index in self.results]

    @property
    def input(self) -> Any:
        """The input, or a list of several."""
        return single(self.inputs)

    @property
    def output(self) -> Any:
        """The output, or a list of several."""
        return single(self.outputs)

    @property
    def input_shape(self) -> Any:
        """Shape of the input, the batch included, or a list of several."""
        return single([entry.batch_shape for entry in self.entries])

    @property
    def output_shape(self) -> Any:
        """Shape of the output, the batch included, or a list of several."""
        return single([kind.keras_shape for kind in self.result_types])

    # Weights

    @property
    def keyed_variables(self) -> dict[str, Variable]:
        """The variables by the keys under which they travel."""
        self.require_built("weights")
        return {
            ".".join((*leaf.path.split("/"), *variable.parts)): variable
            for leaf in flatten(self)
            for variable in leaf.layer.variables
        }

    @property
    def has_own_weights(self) -> bool:
        """Whether weights have values: loaded, assigned, imported, or drawn and used already."""
        return self.built and any(variable.given for variable in self.variables)

    def store(self) -> "Weights":
        """The weights by key, each made or read when it is asked for."""
        from seqgen.weights import Weights

        variables, graph = self.keyed_variables, self.graph()
        return Weights({w.key: variables[w.key].lazy(w.key) for w in graph.weights})

    def set_store(self, weights: "Weights") -> None:
        """Take all weights from a store, which is read when they are asked for.

        Raises:
            MismatchError: They are not exactly the weights of the model.
        """
        from seqgen.weights import check

        graph = self.graph()
        check(weights, graph.weights, graph.dtype)
        for key, variable in self.keyed_variables.items():
            variable.read_from(weights, key)

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
        """Read the weights of a file: safetensors, `.keras`, or what Keras 3 or 2 saved as `.h5`.

        Raises:
            SpecError: The path does not end in `.safetensors`, `.keras`, `.h5` or `.hdf5`.
            MismatchError: The file is broken, or does not hold exactly the model's weights.
        """
        from seqgen.importers.hdf5 import open_weights
        from seqgen.spec.files import is_hdf5
        from seqgen.weights import Weights, check

        if not is_hdf5(path) and not os.fspath(path).endswith(".keras"):
            _require_safetensors(path, ", .keras, .h5 or .hdf5")
        graph, weights = self.graph(), open_weights(Path(path), self)
        check(weights, graph.weights, graph.dtype)
        self.set_store(Weights(dict(weights)))

    def __call__(self, *inputs: Any, **arguments: Any) -> Any:
        """The result for a batch in the spec's layout, computed by onnxruntime.

        A model without an input shape is built for the shape of the batch. Called on symbolic
        tensors, it becomes part of the model that is made of them.

        Args:
            inputs: An array, or a list of several; or symbolic tensors.
            arguments: `training`, which holds for symbolic tensors only.

        Raises:
            SpecError: The batch does not fit the model.
        """
        if is_symbolic(inputs):
            return call(self, inputs, arguments)
        from seqgen.runtime import evaluate

        if len(inputs) != 1 or arguments:
            message = "expected one array, or one list of arrays"
            raise SpecError(f"{self.label}: {message}; name arguments in calls on tensors only")
        (given,) = inputs
        several = self.built and len(self.entries) > 1
        batches = [np.asarray(x) for x in (given if several else [given])]
        if not self.built:
            self.build_on(batches[0].shape)
        return single(evaluate(self, batches))

    def build_on(self, shape: tuple[int, ...]) -> None:
        """Fix the input shape of a model by that of a batch of data.

        Raises:
            SpecError: A layer does not fit.
        """
        self.require_built("result")

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
    def from_dict(cls, spec: Any) -> Any:
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
