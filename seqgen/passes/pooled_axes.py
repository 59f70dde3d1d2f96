"""A pooling of all places keeps its axes instead of getting them back."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node, consumers
from seqgen.layers.pooling import _GlobalPooling
from seqgen.layers.reshaping import Reshape
from seqgen.passes.transposes import update


def keep_pooled_axes(model: Model) -> Model:
    """`GlobalAveragePooling2D` and a Reshape to (1, 1, channels) are one with `keepdims`."""
    readers = consumers(model)
    changed: list[Node] = []
    dropped: list[Node] = []
    for node in model.nodes:
        source = model.input_of(node) if node.inputs else node
        if not isinstance(node.layer, Reshape) or not isinstance(source.layer, _GlobalPooling):
            continue
        alone = len(readers[source.name]) == 1 and source.name not in model.outputs
        kept = replace(source.layer, keepdims=True, name=node.layer.name)
        before = model.input_of(source)
        if alone and len(source.inputs) == 1 and kept.output_type(before.type) == node.type:
            changed.append(replace(node, layer=kept, trainable=True))
            dropped.append(source)
    return update(model, changed, dropped)
