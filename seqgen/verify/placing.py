"""Finding the layer to blame: a program is run once more and its values are watched."""

import re
from collections.abc import Iterator, Mapping, Sequence

from seqgen.ir.graph import Model
from seqgen.render import Rendering
from seqgen.targets.modules import Class
from seqgen.verify.bench import Answer, Bench, target_named
from seqgen.verify.divergence import Value, expectations, first_divergence
from seqgen.verify.pool import WorkerError


def classes_of(bench: Bench, target: str) -> list[Class]:
    """The classes of a target's program, the model last; none where it is no program of classes."""
    options = bench.settings.options
    made = Rendering(
        target_named(target), bench.lowered(target), options.templates, opset=options.opset
    )
    return made.page.get("classes", [])


def statements(graph: Model, part: Class) -> Iterator[str]:
    """For each statement of `forward`, those of inner classes first: the layer that it ends."""
    for step in part.steps:
        if step.submodule:
            yield from statements(graph, step.submodule)
        yield step.last.name if step.last.name in graph.by_name else ""


def modules(graph: Model, part: Class, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Path of each submodule, with the name of its layer, and that again if it ends the layer."""
    for step in part.steps:
        if step.submodule:
            yield from modules(graph, step.submodule, f"{prefix}{step.submodule.attribute}.")
            continue
        for node in step.nodes:
            if node.name in part.names:
                ends = node.name if node.name in graph.by_name else ""
                yield prefix + part.names[node.name], node.source, ends


def values_of(bench: Bench, target: str, traced: Answer) -> list[Value]:
    """The values of a program, each with the name of its layer where that can be told."""
    graph, names = bench.graph, traced.said["names"]
    classes = classes_of(bench, target)
    if classes:
        ends = list(statements(graph, classes[-1]))
        known = {path: name for path, _, name in modules(graph, classes[-1])}
        # Statements are told apart by their number alone, so all of them must be there.
        if len(ends) == traced.said["statements"]:
            names = ends + [""] * (len(names) - len(ends))
        else:
            names = [known.get(name, "") for name in names]
    known_layers = {node.name for node in graph.layers}
    return [
        Value(name if name in known_layers else "", array)
        for name, array in zip(names, traced.arrays, strict=True)
    ]


def owners(bench: Bench, target: str) -> dict[str, str]:
    """The layer of each name by which a variable or an error may speak of it."""
    graph = bench.graph
    found = {node.name: node.name for node in graph.layers}
    found |= {node.name.replace("/", "."): node.name for node in graph.layers}
    classes = classes_of(bench, target)
    if classes:
        found |= {path: source for path, source, _ in modules(graph, classes[-1])}
    return found


def owner(names: Mapping[str, str], variable: str) -> str | None:
    """The layer that a target's variable belongs to, by the name of what holds it."""
    return names.get(re.split(r"[./](?=[^./]*$)", variable)[0])


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
    layers = expectations(bench.graph, bench.lowered(target), expected)
    order, names = [layer.name for layer in layers], owners(bench, target)
    found = [mentioned(order, names, text) for text in traced.said["evidence"]]
    if traced.said["loaded"]:
        found.append(first_divergence(layers, values_of(bench, target, traced), limit))
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
