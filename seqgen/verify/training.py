"""Trains by the generated programs and by Keras itself, on the same batches, and compares."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqgen.errors import SpecError
from seqgen.ir.graph import Model, Node
from seqgen.layers.base import Layer
from seqgen.layers.objects import CONSTRAINTS, REGULARIZERS, Named
from seqgen.layers.regularization import ActivityRegularization
from seqgen.passes.dtype import with_dtype
from seqgen.targets import target_named
from seqgen.targets.torch_training import optimizer
from seqgen.targets.training import ABOUT
from seqgen.targets.training import Settings as TrainingSettings
from seqgen.training.losses import NUMBERED
from seqgen.training.settings import said, single
from seqgen.verify import plan
from seqgen.verify.bench import Answer, Bench
from seqgen.verify.compare import difference, tolerance
from seqgen.verify.pool import WorkerError
from seqgen.verify.report import Row, Status
from seqgen.verify.rows import not_run
from seqgen.verify.slots import slot_pairs
from seqgen.verify.variables import Placing, by_name
from seqgen.weights import Weights

RULES = REGULARIZERS | CONSTRAINTS
STEPS = 20
# The last batch of an epoch has fewer samples.
SIZES = (5, 5, 5, 3)
TRAINS = ("keras", "torch", "onnx")
# Of what Keras holds in float64 all along.
LIMIT = 1e-9
# Keras has schedules, and constants of some optimizers and losses, in float32 whatever it computes
# in, and all of CTC.
ROUNDED_LIMIT = 2e-6
ROUNDED = ("CTC", "LogCosh", "Nadam")
# ONNX has float32 for every number that is an attribute of an operator.
LEAST = {"onnx": 2e-6}
# How much farther than the oracle from itself a program in float32 may be: its rounding errors are
# of all steps, and not of the first weights alone.
DOUBTS = 30.0
# The labels that a loss is made for; others take any number.
CLASSES = ("CategoricalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalHinge")
BITS = ("BinaryCrossentropy", "BinaryFocalCrossentropy", "Dice", "Hinge", "SquaredHinge", "Tversky")
POSITIVE = ("KLDivergence", "MeanSquaredLogarithmicError", "Poisson")


def named(value: Any) -> Any:
    """A setting as a worker reads it."""
    if isinstance(value, Named):
        return {"name": value.name, "arguments": {k: named(v) for k, v in value.arguments}}
    return list(value) if isinstance(value, tuple) else value


def labels(rng: np.random.Generator, loss: Named, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Labels of a batch that a loss takes, for results of a shape."""
    if loss.name == "CTC":
        # Class 0 is the blank; of the labels that are left all steps have one between them.
        found = rng.integers(1, shape[-1], (shape[0], max(1, shape[1] // 3)))
        found[0, 1:] = 0
        return found
    if loss.name == "Circle":
        # Some samples have none of their class beside them, and do not count.
        return rng.integers(0, 3, shape[0])
    if loss.name in NUMBERED:
        ignored = loss.kwargs.get("ignore_class")
        found = rng.integers(0, shape[-1], shape[:-1])
        # Of each batch some samples count.
        found.flat[0] = 1 if ignored == 0 else 0
        return found
    if loss.name in CLASSES:
        axis = loss.kwargs.get("axis", -1)
        count, *rest = np.moveaxis(np.empty(shape), axis, 0).shape
        one_hot = np.eye(count, dtype=dtype)[rng.integers(0, count, rest)]
        return np.ascontiguousarray(np.moveaxis(one_hot, -1, axis))
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
        # Losses along other axes have no value for each sample.
        along = graph.training.loss.kwargs.get("axis", -1) in (-1, 1)
        if result.rank == 2 and along and graph.training.class_weight is None:
            batch["sample_weight"] = rng.uniform(0.5, 2.0, count).astype(graph.dtype)
        found.append(batch)
    return found


@dataclass(frozen=True)
class Run:
    """What came of a training: losses, results after it, and more by the name of the variable.

    Attributes:
        losses: That of every step.
        results: Of the first batch, after the last step.
        gradients: Of the first step.
        variables: After the last step.
        slots: What the optimizer keeps then, by its name of it and that of the variable.
    """

    losses: np.ndarray
    results: np.ndarray
    gradients: dict[str, np.ndarray]
    variables: dict[str, np.ndarray]
    slots: dict[tuple[str, str], np.ndarray]

    @classmethod
    def of(cls, answer: Answer) -> "Run":
        """What a worker answered."""
        losses, results, *rest = answer.arrays
        arrays, said = iter(rest), answer.said
        gradients, variables = (
            {name: next(arrays) for name in said[part]} for part in ("gradients", "variables")
        )
        slots = {(slot, name): next(arrays) for slot, name in said["slots"]}
        return cls(losses, results, gradients, variables, slots)


def neighbours(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The next numbers to those of an array, some above and some below."""
    if array.dtype.kind != "f":
        return array
    # Of its own dtype: from a wider one the way back would undo the step.
    ends = np.array((-np.inf, np.inf), array.dtype)
    return np.nextafter(array, rng.choice(ends, array.shape))


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

    def moved(self) -> str:
        """The file of weights that are a rounding error away from those of the course."""
        path, rng = self.bench.folder / "moved.safetensors", np.random.default_rng(3)
        weights = Weights.open(self.bench.weights(0))
        Weights({key: neighbours(array, rng) for key, array in weights.items()}).save(path)
        return str(path)

    def oracle(self, **more: Any) -> Run:
        """What Keras itself makes of the spec and its settings."""
        training = self.bench.graph.training
        assert training is not None
        settings = {
            "optimizer": named(training.optimizer),
            "loss": named(training.loss),
            "embeddings": TrainingSettings(self.bench.graph).embeddings,
        }
        given = plan.oracle_graph(self.bench.graph)
        return self.ask(
            "keras", "train_oracle", graph=given, settings=settings, device="cpu", **more
        )

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


@dataclass(frozen=True)
class Limits:
    """The largest relative errors that are none.

    Attributes:
        losses: Of the loss of each step.
        results: Of the results after the last step.
        variables: Of gradients, variables and slots; None where these are not compared.
    """

    losses: Sequence[float]
    results: float
    variables: float | None

    def at_least(self, least: float) -> "Limits":
        """These limits, none of them below another."""
        variables = None if self.variables is None else max(least, self.variables)
        return Limits(
            [max(least, most) for most in self.losses], max(least, self.results), variables
        )

    @classmethod
    def of(cls, course: Course, expected: Run) -> "Limits":
        """The limits of a course, of which the oracle made what is expected.

        In float32 rounding errors grow from step to step, so that there losses and results are
        compared by how far the oracle comes from itself, begun with a rounding error.
        """
        graph = course.bench.graph
        if graph.dtype == "float64":
            most = limit(graph)
            return cls([most] * STEPS, most, most)
        moved = course.oracle(weights=course.moved())
        least = tolerance(graph, graph.dtype)
        settings = TrainingSettings(graph)
        if settings.said.loss.name == "Circle":
            # It multiplies distances by gamma, and so their rounding errors.
            least *= max(1.0, settings.loss["gamma"])
        far = [difference(a, b).error for a, b in zip(expected.losses, moved.losses, strict=True)]
        losses = [least + DOUBTS * error for error in np.maximum.accumulate(far)]
        results = least + DOUBTS * difference(expected.results, moved.results).error
        return cls(losses, max(losses[-1], results), None)


def rows(course: Course, target: str, expected: Run, limits: Limits) -> Iterator[Row]:
    """Compare a target's program with the oracle."""
    bench = course.bench
    try:
        received = course.program(target)
    except WorkerError as error:
        yield not_run(target, "training steps", bench.graph.dtype, error)
        return
    yield loss_row(Row(target, "loss", bench.graph.dtype, "equal"), expected, received, limits)
    row = Row(target, "gradients", bench.graph.dtype, "equal", 0.0, limits.variables)
    if limits.variables is not None:
        placing = Placing(bench, target)
        a, b = expected, received
        pairs = [placing.pair(key, value, b.gradients) for key, value in a.gradients.items()]
        yield by_name(bench, row, pairs)
        pairs = [placing.pair(key, value, b.variables) for key, value in a.variables.items()]
        yield by_name(bench, replace(row, check="variables"), pairs)
        pairs = slot_pairs(placing, a.slots, b.slots)
        if pairs:
            yield by_name(bench, replace(row, check="slots"), pairs)
    far = difference(expected.results, received.results).error
    status: Status = "equal" if far <= limits.results else "different"
    last = replace(row, check="results after", tolerance=limits.results, cases=1)
    yield replace(last, status=status, error=far)


def loss_row(row: Row, expected: Run, received: Run, limits: Limits) -> Row:
    """Compare losses; the first step that differs is named."""
    a, b = expected.losses, received.losses
    far = [difference(x, y).error for x, y in zip(a, b, strict=True)]
    pairs = enumerate(zip(far, limits.losses, strict=True))
    wrong = next((step for step, (error, most) in pairs if error > most), None)
    row = replace(row, cases=len(far))
    if wrong is None:
        return replace(row, error=max(far), tolerance=max(limits.losses))
    note = f"first at step {wrong + 1} of {len(far)}: {b[wrong]:.9g} instead of {a[wrong]:.9g}"
    figures = {"error": far[wrong], "tolerance": limits.losses[wrong]}
    return replace(row, status="different", note=note, **figures)


def rounded(node: Node) -> list[Node] | None:
    """A node whose regularizers and constraints have numbers of float32, as Keras holds them."""
    return [replace(node, layer=_rounded(node.layer))] if isinstance(node.layer, Layer) else None


def _rounded(layer: Layer) -> Layer:
    layer = layer.with_parts(_rounded)
    if isinstance(layer, ActivityRegularization):
        return replace(layer, l1=single(layer.l1), l2=single(layer.l2))
    given = {n: getattr(layer, n) for n in layer.kinds if n.endswith(ABOUT)}
    return replace(layer, **{n: single(said(v, RULES)) for n, v in given.items() if v is not None})


def dtype_rows(graph: Model, settings: Any, pool: Any, folder: Path) -> list[Row]:
    """Compare the programs of a model in its dtype with the oracle."""
    assert graph.training is not None
    # Noise has a stream of its own in each framework.
    quiet = plan.without_noise(graph)
    if graph.dtype == "float64":
        training = graph.training.rounded()
        # Keras has no metric of the best classes in float64.
        kept = tuple(m for m in training.metrics if "TopK" not in m.name)
        weighted = tuple(m for m in training.weighted_metrics if "TopK" not in m.name)
        training = replace(training, metrics=kept, weighted_metrics=weighted)
        quiet = replace(quiet.rewrite(rounded), training=training)
    course = Course(Bench.make(quiet, settings, pool, folder), batches(quiet, 0))
    targets = settings.options.targets
    try:
        expected = course.oracle()
        limits = Limits.of(course, expected)
    except WorkerError as error:
        note = f"the oracle, Keras, did not run: {error}"
        return [Row(t, "training steps", graph.dtype, "not run", note=note) for t in targets]
    left_out = left_out_of(course)
    found = [
        remarked(quiet, row)
        for target in targets
        if target not in left_out
        for row in rows(course, target, expected, limits.at_least(LEAST.get(target, 0.0)))
    ]
    if not found:
        made = left_out.items()
        return [Row(t, "training steps", graph.dtype, "not run", note=why) for t, why in made]
    told = "; ".join(filter(None, (found[0].note, *left_out.values())))
    return [replace(found[0], note=told), *found[1:]]


def left_out_of(course: Course) -> dict[str, str]:
    """The targets that have no training program for the model, with the reason."""
    made = course.bench.manifest.content["targets"]
    return {
        target: "; ".join(f"no {file}: {why}" for file, why in said["left_out"].items())
        for target, said in made.items()
        if "left_out" in said
    }


def remarked(graph: Model, row: Row) -> Row:
    """A row that says in what PyTorch's own classes are known to compute something else."""
    deviation = optimizer(TrainingSettings(graph)).deviation if row.route == "torch" else ""
    known = f"parity: idiomatic, where {deviation}" if deviation else ""
    return replace(row, note="; ".join(filter(None, (row.note, known))))


def verify_training(
    graph: Model,
    settings: Any,
    pool: Any,
    folder: Path,
    progress: Callable[[str], None],
    dtypes: Sequence[str] = ("float64", "float32"),
) -> list[Row]:
    """Train a model by its programs for some steps, and compare them with Keras itself.

    In float64, whatever the model's own dtype is, all that is computed another way shows. In
    float32 a model of that dtype is trained as its programs are used.
    """
    targets = tuple(t for t in settings.options.targets if t in TRAINS)
    narrow = replace(settings, options=replace(settings.options, targets=targets))
    found: list[Row] = []
    for dtype in dtypes if targets else ():
        if dtype in ("float64", graph.dtype):
            progress(f"{graph.name} in {dtype}, {STEPS} steps of training")
            found += dtype_rows(with_dtype(graph, dtype), narrow, pool, folder / dtype)
    return found
