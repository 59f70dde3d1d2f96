"""The typed graph: nodes, the edges between them, and the model they make."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.base import Layer, Weight
from seqgen.training.settings import Training

Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Op:
    """A step that no layer of the spec says, only a target: passes put it in.

    Its layout is that of a layer, or `ahead`: what the step that reads it wants.
    """

    family = "ops"
    layout = "ahead"

    @property
    def trainable(self) -> bool:
        """Ops have nothing to train."""
        return True


@dataclass(frozen=True)
class Input(Op):
    """Where a tensor enters the model."""


@dataclass(frozen=True)
class Transpose(Op):
    """Moves axis `perm[i]` of the input to place `i`."""

    perm: Permutation


@dataclass(frozen=True)
class Cast(Op):
    """Turns the numbers of a tensor into another dtype."""

    any_order = True

    dtype: str


@dataclass(frozen=True)
class Pad(Op):
    """Adds `pads` (before, after) of `value` around the spatial axes of a channels-first tensor."""

    pads: Pads
    value: float = 0.0


@dataclass(frozen=True)
class SamePad(Op):
    """Pads as `same` does for sizes known only at run time; the odd one goes after.

    `window` is how far it reaches, the holes of a dilated one included.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    value: float = 0.0


@dataclass(frozen=True)
class Order:
    """A features axis that holds a flattened tensor in another order than the spec's.

    The spec flattens axes of `sizes`; the target flattens them permuted by `perm`.
    """

    sizes: tuple[int, ...]
    perm: Permutation


@dataclass(frozen=True)
class Node:
    """One step of the model.

    Attributes:
        name: Unique in the model; also the name of the tensor it makes. A slash separates the
            names of nested models.
        layer: What the step is. Passes replace it, they never change it.
        inputs: Names of the nodes it reads.
        type: Type of the output, its axes in the order of the spec.
        source: Name of the spec's layer that it comes from, or of that call of it.
        weights: The variables it uses, with their keys.
        trainable: Whether training may change them.
        perm: Which axis of the spec stands at each place of the output in memory; None before
            layout was decided, and where it is the spec's own.
        pads: Explicit padding of a window that slides; `dynamic` where it hangs on a size that
            is open, as Keras's `same` does. Of a transposed convolution: what is cropped off the
            result, where a negative amount adds to it.
        part: Suffix of the module's name where one layer became several with weights.
        rows: How the input's features are ordered, if not as in the spec.
        columns: How the output's features are ordered, if not as in the spec.
        wrapper: The layer of the spec around this one, if it has a part in training only.
        state: The variables of the wrapper.
        mask: Name of the layer whose mask holds for the output; None if there is none.
        masks: Names of the layers whose masks the inputs have as the layer reads them, None where
            there is none; empty where those are the masks that they were made with.
        variable: What a program calls the output, if it stands beside the main line.
        packed: Name of the mask by which the steps of the output stand at the front, if they do.
        arguments: What the layer is called with besides tensors. `training` is written into the
            program of Keras and changes nothing anywhere: where a whole model is called with a
            mode, as `fit` and `predict` do, Keras gives that to every layer instead of the layer's
            own (`operation_fn` in keras/src/models/functional.py).
        same_as: Source of the first call of the same layer; empty for that itself.
    """

    name: str
    layer: Layer | Op
    inputs: tuple[str, ...]
    type: TensorType
    source: str
    weights: tuple[Weight, ...] = ()
    trainable: bool = True
    perm: Permutation | None = None
    pads: Pads | Literal["dynamic"] | None = None
    part: str = ""
    rows: Order | None = None
    columns: Order | None = None
    wrapper: Layer | None = None
    state: tuple[Weight, ...] = ()
    mask: str | None = None
    masks: tuple[str | None, ...] = ()
    variable: str = ""
    packed: str | None = None
    arguments: tuple[tuple[str, Any], ...] = ()
    same_as: str = ""

    @property
    def kind(self) -> str:
        """Class name of the layer, or what an op says, which is also the name of its macros."""
        return getattr(self.layer, "kind", "") or type(self.layer).__name__

    @property
    def row(self) -> str:
        """Which rows of a target's table of weights are the node's: those of its kind."""
        return getattr(self.layer, "row", self.kind)

    @property
    def scope(self) -> tuple[str, ...]:
        """Names of the nested models that the node stands in."""
        return tuple(self.source.split("/")[:-1])

    @property
    def physical(self) -> TensorType:
        """Type of the output as it lies in memory."""
        return self.type.permuted(self.perm) if self.perm else self.type

    def weight(self, name: str) -> Weight | None:
        """The variable of this name, if the layer has it."""
        return next((weight for weight in self.weights if weight.name == name), None)


@dataclass(frozen=True)
class Nested:
    """A call of a model within.

    Attributes:
        path: Name of the call, which is that of the model for the first one. A slash separates the
            names of nested models.
        same_as: Path of the first call of the same model; empty for that itself.
        sequential: Whether it is a stack of layers.
        entries: Its inputs, as the model itself has them.
        taken: Names of the nodes that it reads, one for each input.
        given: Names of the nodes whose tensors it gives.
        arguments: What it is called with besides tensors.
    """

    path: str
    same_as: str
    sequential: bool
    entries: tuple[Node, ...]
    taken: tuple[str, ...]
    given: tuple[str, ...]
    arguments: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Model:
    """A graph of nodes in topological order.

    Attributes:
        name: Name of the spec.
        nodes: The steps, each after those it reads.
        inputs: Names of the nodes where tensors enter.
        outputs: Names of the nodes whose tensors are the result.
        dtype: Of all weights and computations.
        sequential: Whether the spec is a stack of layers.
        nested: The calls of models within, inner ones behind those around them.
        training: How it is trained, if that is said.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dtype: str = "float32"
    sequential: bool = True
    nested: tuple[Nested, ...] = ()
    training: Training | None = None

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    def input_of(self, node: Node) -> Node:
        """The node whose output `node` reads first."""
        return self.by_name[node.inputs[0]]

    @property
    def layers(self) -> tuple[Node, ...]:
        """The nodes that are layers of the spec, without the inputs."""
        return tuple(node for node in self.nodes if isinstance(node.layer, Layer))

    def sources_of(self, node: Node) -> tuple[Node, ...]:
        """The nodes whose outputs `node` reads."""
        return tuple(self.by_name[name] for name in node.inputs)

    @cached_property
    def owners(self) -> dict[str, Node]:
        """The first node that uses each variable, by the key of that."""
        found: dict[str, Node] = {}
        for node in self.nodes:
            for weight in node.weights:
                found.setdefault(weight.key, node)
        return found

    @cached_property
    def shared(self) -> frozenset[str]:
        """Names of the nodes whose variables other nodes use too."""
        users: dict[str, list[str]] = {}
        for node in self.nodes:
            for weight in node.weights:
                users.setdefault(weight.key, []).append(node.name)
        return frozenset(name for names in users.values() if len(names) > 1 for name in names)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """All variables, each once, in order."""
        weights = (weight for node in self.nodes for weight in node.weights)
        return tuple({weight.key: weight for weight in weights}.values())

    def count_params(self) -> dict[str, int]:
        """Number of parameters: total, trainable and non-trainable."""
        total = sum(weight.size for weight in self.weights)
        trainable = sum(
            weight.size
            for weight in self.weights
            if weight.trainable and self.owners[weight.key].trainable
        )
        return {"total": total, "trainable": trainable, "non_trainable": total - trainable}

    def rewrite(self, rule: Callable[[Node], Iterable[Node] | None]) -> "Model":
        """A model in which each node stands as the nodes that `rule` makes of it.

        The last of them keeps the node's name, so that what reads it need not change. A rule
        that returns None keeps the node.
        """
        nodes: list[Node] = []
        for node in self.nodes:
            made = rule(node)
            nodes.extend([node] if made is None else made)
        return replace(self, nodes=tuple(nodes))


def consumers(model: Model) -> dict[str, list[Node]]:
    """The nodes that read each node, by its name."""
    readers: dict[str, list[Node]] = {node.name: [] for node in model.nodes}
    for node in model.nodes:
        for name in node.inputs:
            readers[name].append(node)
    return readers
