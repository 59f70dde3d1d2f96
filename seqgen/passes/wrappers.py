"""A layer for each step becomes that layer on all steps of all samples at once."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from seqgen.ir.graph import Model, Node
from seqgen.ir.sequences import MergeTime, SplitTime, Steps
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer, Weight
from seqgen.layers.block import _Block
from seqgen.layers.within import within
from seqgen.layers.wrappers import TimeDistributed
from seqgen.passes.stepwise import OF_ANY_RANK, keeps_to_steps

SIZES = TensorType((2,), ("axes",), "int64")


def _within(weights: tuple[Weight, ...], name: str) -> tuple[Weight, ...]:
    """The variables of a layer inside, with the names that they have there."""
    prefix = f"{name}/"
    return tuple(
        replace(weight, name=weight.name.removeprefix(prefix))
        for weight in weights
        if weight.name.startswith(prefix)
    )


def _inside(block: _Block, before: Node, x: TensorType, path: str, around: Node) -> Iterator[Node]:
    """The nodes of a Sequential inside a layer, whose variables `around` has.

    Args:
        block: The Sequential.
        before: The node that it reads.
        x: Type of its input.
        path: Its place in the model.
        around: A node with all its variables and whether they are trained.
    """
    mask = before.mask
    for layer, kind, _, output in block.flow(x):
        name = f"{path}/{layer.name}"
        weights = _within(around.weights, layer.name)
        made = layer.made_mask(kind) is not None
        mask = name if made else mask if layer.passes_mask else None
        trainable = around.trainable and bool(layer.trainable)
        node = Node(name, layer, (before.name,), output, name, weights, trainable, mask=mask)
        if isinstance(layer, _Block):
            nodes = list(_inside(layer, before, kind, name, node))
        else:
            nodes = [node]
        yield from nodes
        before = nodes[-1]
        mask = before.mask


def _with_steps(node: Node, steps: tuple[str, ...]) -> Node:
    """A layer for each step, which reads the steps if training changes its variables at each."""
    parts = list(within(node.layer))
    trained = node.trainable and any(
        type(part).__name__ == "BatchNormalization" and part.trainable for part in parts
    )
    if trained or any(type(part).__name__ == "SpectralNormalization" for part in parts):
        return replace(node, inputs=(*node.inputs, *steps))
    return node


def _around(node: Node, inner: Layer) -> Node:
    """The node with the variables of the layer inside, and whether those are trained."""
    trainable = node.trainable and bool(inner.trainable)
    return replace(node, weights=_within(node.weights, inner.name), trainable=trainable)


def _merged(node: Node, source: Node, inner: Layer, place: str) -> Node:
    """The node that takes steps for samples."""
    name, step = f"{node.name}.merged", node.layer.step_type(source.type)
    # The mask of the input is merged as the input is; its own name says so.
    mask = name if source.mask is not None and inner.uses_mask else None
    return Node(name, MergeTime(), node.inputs[:1], step, place, mask=mask)


def _each(node: Node, inner: Layer, before: Node) -> list[Node]:
    """The nodes of the layer inside, for all steps of all samples."""
    around = _around(node, inner)
    if isinstance(inner, _Block):
        return list(_inside(inner, before, before.type, node.source, around))
    output, name = inner.output_type(before.type), f"{node.name}.each"
    inputs = (before.name,)
    return [replace(around, name=name, layer=inner, inputs=inputs, type=output, mask=None)]


def _unwrapped(model: Model, node: Node, trains: bool) -> list[Node] | None:
    """The nodes that stand for a layer of each step."""
    if not isinstance(node.layer, TimeDistributed):
        return None
    inner = node.layer.inner
    if isinstance(inner, OF_ANY_RANK) and keeps_to_steps(inner):
        return [replace(_around(node, inner), layer=replace(inner, name=node.layer.name))]
    place = f"{node.source}/{inner.name}" if isinstance(inner, _Block) else node.source
    before = _merged(node, model.input_of(node), inner, place)
    inside = _each(node, inner, before)
    steps = Node(f"{node.name}.steps", Steps(), before.inputs, SIZES, place, variable="steps")
    if trains:
        # The steps of a layer around this one, if there is one, come first.
        more = (*node.inputs[1:], steps.name)
        inside = [_with_steps(one, more) for one in inside]
    told = () if isinstance(node.type.shape[1], int) else (steps.name,)
    inputs = (inside[-1].name, *told)
    split = replace(node, layer=SplitTime(), inputs=inputs, source=place, weights=())
    asked = any(steps.name in one.inputs for one in (*inside, split))
    return [*((steps,) if asked else ()), before, *inside, split]


def unwrap_time(model: Model, trains: bool) -> Model:
    """`TimeDistributed(Conv2D)` becomes `Conv2D`, with the steps taken for samples around it.

    Args:
        model: As the spec has it.
        trains: Whether the target has a training mode, in which some layers must know the steps.
    """
    while any(isinstance(node.layer, TimeDistributed) for node in model.nodes):
        before = model
        model = model.rewrite(lambda node, before=before: _unwrapped(before, node, trains))
    return model


time_of_training = partial(unwrap_time, trains=True)
time_of_inference = partial(unwrap_time, trains=False)
