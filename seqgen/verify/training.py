"""Trains by the generated programs and by Keras itself, on the same batches, and compares."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqgen.errors import SpecError
from seqgen.ir.graph import Model, Node
from seqgen.layers.base import Layer
from seqgen.layers.objects import CONSTRAINTS, REGULARIZERS, Named
from seqgen.passes.dtype import with_dtype
from seqgen.targets import target_named
from seqgen.targets.training import ABOUT
from seqgen.targets.training import Settings as TrainingSettings
from seqgen.training.settings import said, single
from seqgen.verify import plan
from seqgen.verify.bench import Answer, Bench
from seqgen.verify.compare import difference
from seqgen.verify.pool import WorkerError
from seqgen.verify.report import Row
from seqgen.verify.rows import layer_of, moves_by_key, names_of, not_run

RULES = REGULARIZERS | CONSTRAINTS
STEPS = 20
# The last batch of an epoch has fewer samples.
SIZES = (5, 5, 5, 3)
TRAINS = ("keras", "torch")
# Of what Keras holds in float64 all along.
LIMIT = 1e-9
# Keras has schedules, and constants of some optimizers, in float32 whatever it computes in.
ROUNDED_LIMIT = 2e-6
ROUNDED = ("LogCosh", "Nadam")
# The labels that a loss is made for; others take any number.
CLASSES = ("CategoricalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalHinge")
BITS = ("BinaryCrossentropy", "BinaryFocalCrossentropy", "Hinge", "SquaredHinge")
POSITIVE = ("KLDivergence", "MeanSquaredLogarithmicError", "Poisson")


def named(value: Any) -> Any:
    """A setting as a worker reads it."""
    if isinstance(value, Named):
        return {"name": value.name, "arguments": {k: named(v) for k, v in value.arguments}}
    return list(value) if isinstance(value, tuple) else value


def labels(rng: np.random.Generator, loss: Named, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Labels of a batch that a loss takes, for results of a shape."""
    if loss.name == "SparseCategoricalCrossentropy":
        ignored = loss.kwargs.get("ignore_class")
        found = rng.integers(0, shape[-1], shape[:-1])
        # Of each batch some samples count.
        found.flat[0] = 1 if ignored == 0 else 0
        return found
    if loss.name in CLASSES:
        return np.eye(shape[-1], dtype=dtype)[rng.integers(0, shape[-1], shape[:-1])]
    if loss.name in BITS:
        return rng.integers(0, 2, shape).astype(dtype)
    values = rng.normal(size=shape)
    return (np.abs(values) + 0.1 if loss.name in POSITIVE else values).astype(dtype)


def batches(graph: Model, seed: int) -> list[dict[str, np.ndarray]]:
    """The samples, labels and weights of every step."""
    assert graph.training is not None
    rng = np.random.default_rng([seed, 2])
    (sizes,), found = plan.input_sizes(graph)[0], []
    result = graph.by_name[graph.outputs[0]].type
    if not all(isinstance(size, int) for size in result.shape[1:]):
        raise SpecError("give every size of the input to verify training: labels have sizes")
    for step in range(STEPS):
        count = SIZES[step % len(SIZES)]
        (x,) = plan.inputs(graph, seed + step, [(count, *sizes[1:])])
        y = labels(rng, graph.training.loss, (count, *result.shape[1:]), graph.dtype)
        batch = {"x": x, "y": y}
        if result.rank == 2 and graph.training.class_weight is None:
            batch["sample_weight"] = rng.uniform(0.5, 2.0, count).astype(graph.dtype)
        found.append(batch)
    return found


@dataclass(frozen=True)
class Run:
    """What came of a training: losses, results after it, first gradients and variables by name."""

    losses: np.ndarray
    results: np.ndarray
    gradients: dict[str, np.ndarray]
    variables: dict[str, np.ndarray]

    @classmethod
    def of(cls, answer: Answer) -> "Run":
        """What a worker answered."""
        losses, results, *rest = answer.arrays
        count = len(answer.said["gradients"])
        gradients = dict(zip(answer.said["gradients"], rest[:count], strict=True))
        return cls(
            losses,
            results,
            gradients,
            dict(zip(answer.said["variables"], rest[count:], strict=True)),
        )


@dataclass(frozen=True)
class Course:
    """The trainings of a model: its programs, and the batches of every step."""

    bench: Bench
    steps: Sequence[dict[str, np.ndarray]]

    def ask(self, framework: str, op: str, **more: Any) -> Run:
        """Have a worker train."""
        graph = self.bench.graph
        assert graph.training is not None
        arrays = [array for step in self.steps for array in step.values()]
        given, output = self.bench.folder / "steps.npz", self.bench.folder / "trained.npz"
        np.savez(given, **{f"a{i}": array for i, array in enumerate(arrays)})
        weights = graph.training.class_weight
        request = {
            "inputs": str(given),
            "names": list(self.steps[0]),
            "output": str(output),
            "weights": self.bench.weights(0),
            "device": self.bench.settings.device,
            "dtype": graph.dtype,
            "class_weight": dict(weights) if weights else None,
            **more,
        }
        answer = self.bench.pool.ask(framework, op, **request)
        with np.load(output, allow_pickle=False) as file:
            made = [file[f"a{i}"] for i in range(len(file.files))]
        output.unlink()
        return Run.of(Answer(made, answer))

    def oracle(self) -> Run:
        """What Keras itself makes of the spec and its settings."""
        training = self.bench.graph.training
        assert training is not None
        settings = {
            "optimizer": named(training.optimizer),
            "loss": named(training.loss),
            "embeddings": TrainingSettings(self.bench.graph).embeddings,
        }
        given = plan.oracle_graph(self.bench.graph)
        return self.ask("keras", "train_oracle", graph=given, settings=settings, device="cpu")

    def program(self, target: str) -> Run:
        """What a target's program makes of it."""
        entry = target_named(target).training
        assert entry is not None
        return self.ask(target, "train", file=str(self.bench.folder / entry[1]))


def limit(graph: Model) -> float:
    """The largest relative error that is none."""
    training = graph.training
    assert training is not None
    settings = TrainingSettings(graph)
    names = (training.optimizer.name, training.loss.name)
    rounded = settings.schedule is not None or not set(ROUNDED).isdisjoint(names)
    return ROUNDED_LIMIT if rounded else LIMIT


def rows(course: Course, target: str, expected: Run) -> Iterator[Row]:
    """Compare a target's program with the oracle."""
    graph, most = course.bench.graph, limit(course.bench.graph)
    try:
        received = course.program(target)
    except WorkerError as error:
        yield not_run(target, "training steps", graph.dtype, error)
        return
    row = Row(target, "loss", graph.dtype, "equal", 0.0, most, len(course.steps))
    far = [difference(a, b).error for a, b in zip(expected.losses, received.losses, strict=True)]
    wrong = next((step for step, error in enumerate(far) if error > most), None)
    if wrong is None:
        yield replace(row, error=max(far))
    else:
        note = f"first at step {wrong + 1} of {len(far)}: {received.losses[wrong]:.9g}"
        note += f" instead of {expected.losses[wrong]:.9g}"
        yield replace(row, status="different", error=far[wrong], note=note)
    moves = moves_by_key(course.bench, target)
    for check, a, b in (
        ("gradients", expected.gradients, received.gradients),
        ("variables", expected.variables, received.variables),
    ):
        if a:
            yield by_name(course, target, moves, replace(row, check=check), a, b)
    far_off = difference(expected.results, received.results)
    status = "equal" if far_off.error <= most else "different"
    yield replace(row, check="results after", status=status, error=far_off.error, cases=1)


def by_name(
    course: Course,
    target: str,
    moves: dict[str, list[Any]],
    row: Row,
    expected: dict[str, np.ndarray],
    received: dict[str, np.ndarray],
) -> Row:
    """Compare arrays of variables; the first that differs is named."""
    assert row.tolerance is not None
    names = course.bench.manifest.content["targets"][target]["weights"]
    largest = 0.0
    for key, value in expected.items():
        wanted = [move.apply(value) for move in moves.get(key, ())] or [value]
        found = [received.get(name, np.empty(0)) for name in names_of(names, key)]
        if len(wanted) == 1 < len(found):
            wanted = wanted * len(found)
        error = max(difference(a, b).error for a, b in zip(wanted, found, strict=True))
        # A gradient that is zero but for rounding has no size to compare with.
        scale = float(np.abs(value).max()) if value.size else 0.0
        error *= min(1.0, scale / row.tolerance) if math.isfinite(error) else 1.0
        largest = max(largest, error)
        if error > row.tolerance:
            layer = layer_of(course.bench.graph, key)
            return replace(row, status="different", error=error, layer=layer, note=f"first: {key}")
    return replace(row, error=largest, cases=len(expected))


def rounded(node: Node) -> list[Node] | None:
    """A node whose regularizers and constraints have numbers of float32, as Keras holds them."""
    if not isinstance(node.layer, Layer):
        return None
    given = {n: getattr(node.layer, n) for n in node.layer.kinds if n.endswith(ABOUT)}
    changed = {n: single(said(v, RULES)) for n, v in given.items() if v is not None}
    return [replace(node, layer=replace(node.layer, **changed))]


def verify_training(
    graph: Model, settings: Any, pool: Any, folder: Path, progress: Callable[[str], None]
) -> list[Row]:
    """Train a model by its programs for some steps, and compare them with Keras itself."""
    assert graph.training is not None
    progress(f"{graph.name} in float64, {STEPS} steps of training")
    targets = tuple(t for t in settings.options.targets if t in TRAINS)
    if not targets:
        return []
    narrow = replace(settings, options=replace(settings.options, targets=targets))
    # Noise has a stream of its own in each framework.
    quiet = plan.without_noise(with_dtype(graph, "float64"))
    quiet = replace(quiet.rewrite(rounded), training=graph.training.rounded())
    course = Course(Bench.make(quiet, narrow, pool, folder), batches(quiet, 0))
    try:
        expected = course.oracle()
    except WorkerError as error:
        note = f"the oracle, Keras, did not run: {error}"
        return [Row(t, "training steps", "float64", "not run", note=note) for t in targets]
    return [row for target in targets for row in rows(course, target, expected)]
