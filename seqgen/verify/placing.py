"""Finding the layer to blame: a program is run once more and its values are watched."""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from seqgen.ir.graph import Model
from seqgen.render import Rendering
from seqgen.targets import target_named
from seqgen.targets.modules import Class
from seqgen.verify.bench import Answer, Bench
from seqgen.verify.divergence import Value, expectations, first_divergence, masks_of, told_apart
from seqgen.verify.pool import WorkerError


def classes_of(bench: Bench, target: str) -> list[Class]:
    """The classes of a target's program, the model last; none where it is no program of classes."""
    options = bench.settings.options
    made = Rendering(
        target_named(target), bench.lowered(target), options.templates, opset=options.opset
    )
    return made.page.get("classes", [])


def statements(
    graph: Model, part: Class, same: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """For each statement of `forward`, those of inner classes first: the layer that it ends.

    Args:
        graph: The spec.
        part: The class.
        same: The nodes that stand for those of the class, where it was made for another call.
    """
    for step in part.steps:
        for call in step.calls:
            yield from statements(graph, call.cls, call.within(same))
        name = step.given[0].name
        yield same.get(name, name) if same.get(name, name) in graph.by_name else ""


def spec_layer(graph: Model, source: str) -> str:
    """The layer of the spec that a layer belongs to: itself, or the one that has it within."""
    while source not in graph.by_name and "/" in source:
        source = source.rpartition("/")[0]
    return source


def named_statements(graph: Model, model: Class, said: Mapping[str, Any]) -> list[str]:
    """The layer that each statement that ran ends; empty names where that cannot be told."""
    names, ran = list(statements(graph, model)), said["statements"]
    # Statements are told apart by their number alone, so none may be missing before the last.
    known = len(names) >= ran if not said["complete"] else len(names) == ran
    return names[:ran] if known else [""] * ran


def values_of(bench: Bench, target: str, traced: Answer) -> list[Value]:
    """The values of a program, each with the name of its layer where that can be told."""
    classes = classes_of(bench, target)
    if classes:
        names = named_statements(bench.graph, classes[-1], traced.said)
        names += [""] * (len(traced.arrays) - len(names))
    else:
        names = traced.said["names"]
    layers = {node.name for node in bench.graph.layers}
    return [
        Value(name if name in layers else "", array)
        for name, array in zip(names, traced.arrays, strict=True)
    ]


def owners(bench: Bench, target: str) -> dict[str, str]:
    """The layer of each name by which a variable or an error may speak of it."""
    found = {node.name: node.name for node in bench.graph.layers}
    found |= {node.name.replace("/", "."): node.name for node in bench.graph.layers}
    for model in classes_of(bench, target)[-1:]:
        low = bench.lowered(target).by_name
        found |= {path: spec_layer(bench.graph, low[n].source) for path, n in model.leaves()}
    return found


def owner(names: Mapping[str, str], variable: str) -> str | None:
    """The layer that a target's variable belongs to, by the name of what holds it."""
    path = variable
    while path not in names and re.search("[./]", path):
        path = re.split(r"[./](?=[^./]*$)", path)[0]
    return names.get(path)


def mentioned(order: Sequence[str], names: Mapping[str, str], evidence: str) -> int | None:
    """Index of the first layer that an error or the line of its source speaks of."""
    found = []
    for name, layer in names.items():
        attribute = re.escape(name.rpartition(".")[2])
        spoken = rf"(?:\A|['\"]|\bfor ){re.escape(name)}(?:['\"]|[./]\w)|\bself\.{attribute}\b"
        if re.search(spoken, evidence):
            found.append(order.index(layer))
    return min(found, default=None)


def blamed(
    bench: Bench, target: str, seed: int, limit: float, index: int, training: bool
) -> int | None:
    """Index of the first layer that differs, by its value or by what is said of it."""
    more = {"index": index, "training": training}
    expected = bench.oracle(seed, "oracle_trace", **more).arrays
    classes = [part.name for part in classes_of(bench, target)]
    traced = bench.program(target, seed, "trace", classes=classes, **more)
    masks = masks_of(bench.graph, bench.batch(seed, index), expected)
    layers = expectations(bench.graph, bench.lowered(target), expected, masks)
    order, names = [layer.name for layer in layers], owners(bench, target)
    found = [mentioned(order, names, text) for text in traced.said["evidence"]]
    if traced.said["loaded"]:
        values = values_of(bench, target, traced)
        if traced.said.get("names_of_layers"):
            values = list(told_apart(bench.graph, layers, values, limit))
        found.append(first_divergence(layers, values, limit))
    return min((place for place in found if place is not None), default=None)


def where(
    bench: Bench, target: str, seed: int, limit: float, index: int = 0, training: bool = False
) -> str | None:
    """The first layer at which a program that is known to be wrong differs.

    Args:
        bench: With the program.
        target: Whose program it is.
        seed: Of weights and inputs with which it differs.
        limit: The error that is none.
        index: Which of the inputs.
        training: Whether it differs in training mode.

    Returns:
        The name of the layer; None if it cannot be told.
    """
    try:
        place = blamed(bench, target, seed, limit, index, training)
    except WorkerError:
        return None
    return None if place is None else bench.graph.layers[place].name
