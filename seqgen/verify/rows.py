"""The comparisons: each runs something, and makes a row of the report of it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from seqgen.ir.graph import Model
from seqgen.targets import target_named
from seqgen.targets.base import Move
from seqgen.verify import plan
from seqgen.verify.bench import Answer, Bench, arranged
from seqgen.verify.compare import Difference, difference, nudge, tolerance, worst
from seqgen.verify.placing import owner, owners, where
from seqgen.verify.pool import WorkerError
from seqgen.verify.report import Row, Status


def not_run(route: str, check: str, dtype: str, error: WorkerError) -> Row:
    """A row for what could not run: missing here, or failed, which is a difference."""
    status: Status = "not run" if error.not_here else "different"
    return Row(route, check, dtype, status, None if error.not_here else math.inf, note=str(error))


def crashed(bench: Bench, target: str, check: str, seed: int, error: WorkerError) -> Row:
    """A row for a program that failed, with the layer at which it did."""
    row = not_run(target, check, bench.graph.dtype, error)
    if error.not_here:
        return row
    limit = tolerance(bench.graph, bench.graph.dtype)
    return replace(row, layer=where(bench, target, seed, limit, training=check == "training"))


@dataclass(frozen=True)
class Worst:
    """The largest difference, and the seed, the batch and the output that show it."""

    found: Difference
    seed: int
    index: int
    output: str


def compared(bench: Bench, target: str, expected: Mapping[int, Answer]) -> Iterator[Worst]:
    """The differences of a program's outputs from the oracle's, over all seeds and inputs."""
    perms = bench.perms(target, "outputs")
    for seed, answer in expected.items():
        received = bench.inference(target, seed).arrays
        wanted = arranged(answer.arrays, perms)
        for number, (a, b) in enumerate(zip(wanted, received, strict=True)):
            batch, output = divmod(number, len(perms))
            yield Worst(difference(a, b), seed, batch, bench.graph.outputs[output])


def inference_row(bench: Bench, target: str, expected: Mapping[int, Answer]) -> Row:
    """Compare a program's outputs in inference mode with the oracle's, over all seeds."""
    dtype = bench.graph.dtype
    limit = tolerance(bench.graph, dtype)
    try:
        all_found = list(compared(bench, target, expected))
    except WorkerError as error:
        return crashed(bench, target, "inference", 0, error)
    most = max(all_found, key=lambda item: item.found.error)
    far, note = most.found.error, most.found.note
    row = Row(target, "inference", dtype, "equal", far, limit, len(all_found), note=note)
    if far <= limit:
        return row
    # Where nothing on the way differs, what is left is the result itself.
    layer = where(bench, target, most.seed, limit, most.index) or most.output
    return replace(row, status="different", layer=layer)


def names_of(names: Mapping[str, Any], key: str) -> list[str]:
    """The target's names of a variable: one, several for one that is in parts, or none."""
    found = names.get(key, [])
    return [found] if isinstance(found, str) else list(found)


def moves_by_key(bench: Bench, target: str) -> dict[str, list[Move]]:
    """The way of each variable into a target, by its key; none where it stays as it is in Keras."""
    how, moves = target_named(target), dict[str, list[Move]]()
    for move in how.all_moves(bench.lowered(target)) if how.weights else ():
        moves.setdefault(move.weight.key, []).append(move)
    return moves


def state_difference(
    bench: Bench, target: str, expected: Answer, received: Answer, limits: "Limits"
) -> tuple[str, Difference] | None:
    """The first variable that differs after training mode, by its key."""
    count = bench.results
    variables = dict(zip(received.said["state"], received.arrays[count:], strict=True))
    moves = moves_by_key(bench, target)
    names = bench.manifest.content["targets"][target]["weights"]
    states = zip(expected.said["state"], expected.arrays[count:], strict=True)
    for number, (key, value) in enumerate(states, count):
        wanted = [move.apply(value) for move in moves.get(key, ())] or [value]
        found = [variables.get(name, np.empty(0)) for name in names_of(names, key)]
        far = worst(wanted, found)
        if limits.exceeded(far.error, number):
            return key, far
    return None


@dataclass
class Limits:
    """What differences count in training mode.

    Normalization by a batch may hang on the last digits of its input: where values of a batch are
    nearly equal, it divides a rounding error by another one. How much is seen from the oracle
    itself, given inputs whose last digits differ.

    Attributes:
        bench: The programs.
        expected: What the oracle gives.
        least: The largest error that is none where all is well.
    """

    bench: Bench
    expected: Answer
    least: float

    @cached_property
    def _doubts(self) -> list[float]:
        """For each array, how far the oracle's own result moves with the last digits."""
        if any(plan.mask_maker(self.bench.graph, entry) for entry in self.bench.graph.inputs):
            # Masks are made of exact values.
            return [0.0] * len(self.expected.arrays)
        graph = self.bench.graph
        by, scale = nudge(graph, graph.dtype)
        moved = self.bench.oracle(0, training=True, nudged=by)
        pairs = zip(self.expected.arrays, moved.arrays, strict=True)
        return [scale * difference(a, b).error for a, b in pairs]

    def of(self, number: int, error: float) -> float:
        """The limit of an array, which is asked of the oracle only where the error is large."""
        return self.least if error <= self.least else max(self.least, self._doubts[number])

    def exceeded(self, error: float, number: int) -> bool:
        """Whether an error of an array is one."""
        return error > self.of(number, error)


def training_row(bench: Bench, target: str, expected: Answer) -> Row:
    """Compare outputs in training mode, and every variable after it, with the oracle's."""
    dtype, count = bench.graph.dtype, bench.results
    limits = Limits(bench, expected, tolerance(bench.graph, dtype))
    perms = bench.perms(target, "outputs")
    try:
        received = bench.program(target, 0, training=True)
    except WorkerError as error:
        return crashed(bench, target, "training", 0, error)
    pairs = zip(arranged(expected.arrays[:count], perms), received.arrays[:count], strict=True)
    found = [difference(a, b) for a, b in pairs]
    wrong = (place for place in range(count) if limits.exceeded(found[place].error, place))
    largest = max(range(count), key=lambda place: found[place].error)
    index = next(wrong, largest)
    far, note = found[index].error, found[index].note
    limit = limits.of(index, far)
    row = Row(target, "training", dtype, "equal", far, limit, count, note=note)
    if far > limit:
        layer = where(bench, target, 0, limit, index // len(perms), training=True)
        return replace(row, status="different", layer=layer)
    state = state_difference(bench, target, expected, received, limits)
    if state is None:
        return row
    key, found_there = state
    note = f"variable {key} after a step in training mode {found_there.note}".strip()
    layer = layer_of(bench.graph, key)
    return replace(row, status="different", error=found_there.error, layer=layer, note=note)


def layer_of(graph: Model, key: str) -> str:
    """The layer that a variable belongs to."""
    return next(n.source for n in graph.nodes for weight in n.weights if weight.key == key)


def miscounted(bench: Bench, target: str, said: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """The first layer whose variables are not those of the spec, and what is wrong with them."""
    names = bench.manifest.content["targets"][target]["weights"]
    for node in bench.graph.nodes:
        for weight in node.weights:
            own = names_of(names, weight.key)
            sizes = [said["variables"].get(name) for name in own]
            size = sum(sizes) if sizes and None not in sizes else None
            if size != weight.size:
                return node.source, f"{weight.key}: {size} parameters instead of {weight.size}"
            trainable = node.trainable and weight.trainable
            trained = [name in said.get("trainable", ()) for name in own]
            if "trainable" in said and trained != [trainable] * len(own):
                kind = "trainable" if trainable else "frozen"
                return node.source, f"{weight.key} is not {kind}, as it is in the spec"
    known = {name for key in names for name in names_of(names, key)}
    extra = [name for name in said["variables"] if name not in known]
    if extra:
        return owner(owners(bench, target), extra[0]), f"{extra[0]} is not in the spec"
    expected = bench.graph.count_params()
    for which, count in said["counts"].items():
        if count != expected[which]:
            return None, f"{count} {which} parameters instead of {expected[which]}"
    return None


def parameters_row(bench: Bench, target: str) -> Row:
    """Compare the parameters, of each variable and in total, with the IR's."""
    row = Row(target, "parameters", bench.graph.dtype, "equal")
    try:
        said = bench.inference(target, 0).said
    except WorkerError as error:
        return crashed(bench, target, "parameters", 0, error)
    wrong = miscounted(bench, target, said)
    if wrong is None:
        remarks = target_named(target).remarks(bench.lowered(target))
        return replace(row, note="; ".join(remarks))
    return replace(row, status="different", layer=wrong[0], note=wrong[1])


def exported(bench: Bench, framework: str) -> list[np.ndarray] | Row:
    """What a framework's own export to ONNX gives, or the row that says why it gives nothing."""
    route = f"{framework} -> onnx"
    entries = bench.ports(framework, "inputs")
    path = str(bench.folder / f"{framework}_export.onnx")
    opened = [
        [axis for axis, size in enumerate(entry["shape"]) if not isinstance(size, int)]
        for entry in entries
    ]
    request = {"file": bench.file(framework), "output": path, "open_axes": opened}
    perms = bench.perms(framework, "inputs")
    note = "the export failed"
    try:
        bench.ask(framework, "export", 0, perms, **request)
        note = "the exported file does not run"
        return bench.ask("onnx", "file", 0, perms, file=path).arrays
    except WorkerError as error:
        row = not_run(route, "inference", bench.graph.dtype, error)
        return row if error.not_here else replace(row, status="exporter", note=f"{note}: {error}")


def exporter_row(bench: Bench, framework: str, expected: Answer, program: Row) -> Row:
    """Let a framework export its program to ONNX, and compare that under onnxruntime.

    `program` is the row of the program itself: an export of a wrong one says nothing of exporters.
    """
    dtype = bench.graph.dtype
    limit = tolerance(bench.graph, dtype)
    received = exported(bench, framework)
    if isinstance(received, Row):
        row = replace(received, tolerance=limit)
    else:
        wanted = arranged(expected.arrays, bench.perms(framework, "outputs"))
        found = worst(wanted, received)
        status: Status = "equal" if found.error <= limit else "exporter"
        figures = (found.error, limit, len(received))
        row = Row(f"{framework} -> onnx", "inference", dtype, status, *figures, note=found.note)
    if row.status == "exporter" and program.status != "equal":
        note = f"{row.note}; the program itself is {program.status}".removeprefix("; ")
        return replace(row, status="different", layer=program.layer, note=note)
    return row
