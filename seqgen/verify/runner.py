"""Generates the programs of a model, runs them all, and compares them with Keras itself."""

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import SpecError
from seqgen.generator import Manifest, Options, generate_programs
from seqgen.ir.graph import Model
from seqgen.naming import identifier
from seqgen.passes.dtype import with_dtype
from seqgen.targets import TARGETS
from seqgen.verify import plan
from seqgen.verify.compare import (
    Difference,
    Divergence,
    Layer,
    Value,
    first_divergence,
    tolerance,
    worst,
)
from seqgen.verify.pool import Pool, WorkerError
from seqgen.verify.report import Report, Row
from seqgen.weights import random_weights

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

DEVICES = ("cpu", "cuda")
Edit = Callable[[str, str], str]
# What onnxruntime computes in; of other dtypes it has kernels for few operators.
DOUBLE = ("keras", "torch")


def as_given(file: str, text: str) -> str:
    """The edit that changes nothing."""
    return text


@dataclass(frozen=True)
class Settings:
    """How to verify.

    Attributes:
        options: How the programs are generated.
        device: `cpu` or `cuda`.
        seeds: Number of sets of weights and inputs.
        exporters: Whether the frameworks' own exporters are run as well.
        edit: Changes a generated file before it is run; for testing the verifier.
    """

    options: Options = Options()
    device: str = "cpu"
    seeds: int = 2
    exporters: bool = True
    edit: Edit = as_given

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise SpecError(f"expected device 'cpu' or 'cuda', received '{self.device}'")
        if self.seeds < 1:
            raise SpecError(f"expected at least 1 seed, received {self.seeds}")


@dataclass(frozen=True)
class Bench:
    """The programs of a model in one dtype, in a folder, with inputs and the oracle's answers."""

    graph: Model
    settings: Settings
    pool: Pool
    folder: Path
    manifest: Manifest
    answers: dict[tuple[str, int], "Answer | WorkerError"] = field(default_factory=dict)

    @classmethod
    def make(cls, graph: Model, settings: Settings, pool: Pool, folder: Path) -> "Bench":
        """Generate the programs into a folder."""
        manifest = generate_programs(graph, settings.options, "")
        folder.mkdir()
        for file, text in manifest.files.items():
            (folder / file).write_text(settings.edit(file, text), encoding="utf-8")
        return cls(graph, settings, pool, folder, manifest)

    def port(self, target: str, side: str) -> dict[str, Any]:
        """The manifest's description of a target's input or output."""
        port: dict[str, Any] = self.manifest.content["targets"][target][side][0]
        return port

    def weights(self, seed: int) -> str:
        """The weights file of a seed."""
        path = self.folder / f"weights_{seed}.safetensors"
        if not path.exists():
            weights = random_weights(self.graph.weights, seed, self.graph.dtype)
            # A file that NumPy reads: bfloat16 widens without a change of value.
            wide = weights.astype("float32") if self.graph.dtype == "bfloat16" else weights
            wide.save(path)
        return str(path)

    def inputs(self, seed: int) -> list[np.ndarray]:
        """The inputs of a seed, in the spec's layout."""
        return plan.inputs(self.graph, seed, plan.input_shapes(self.graph))

    def ask(self, framework: str, op: str, seed: int, perm: Any = None, **more: Any) -> "Answer":
        """Have a worker run something on the inputs of a seed."""
        arrays = [x.transpose(perm) if perm else x for x in self.inputs(seed)]
        given, output = self.folder / "inputs.npz", self.folder / "output.npz"
        np.savez(given, **{f"a{i}": np.ascontiguousarray(x) for i, x in enumerate(arrays)})
        request = {
            "inputs": str(given),
            "output": str(output),
            "weights": self.weights(seed),
            "device": self.settings.device,
            "dtype": self.graph.by_name[self.graph.inputs[0]].type.dtype,
            "training": False,
            "intermediate": False,
            **more,
        }
        answer = self.pool.ask(framework, op, **request)
        if not output.exists():
            return Answer([], answer)
        with np.load(output, allow_pickle=False) as file:
            made = [file[f"a{i}"] for i in range(len(file.files))]
        output.unlink()
        return Answer(made, answer)

    def oracle(self, seed: int, **more: Any) -> "Answer":
        """What Keras itself makes of the spec."""
        entry = self.graph.by_name[self.graph.inputs[0]].type
        layers = plan.oracle_layers(self.graph)
        shape = entry.keras_shape[1:]
        return self.ask("keras", "oracle", seed, layers=layers, shape=shape, **more)

    def program(self, target: str, seed: int, **more: Any) -> "Answer":
        """What a target's program makes of it."""
        file = str(self.folder / TARGETS[target].files["model.py.j2"])
        perm = self.port(target, "inputs")["perm"]
        return self.ask(target, "program", seed, perm, file=file, **more)

    def inference(self, target: str, seed: int) -> "Answer":
        """What a target's program makes of it in inference mode; it is run once.

        Raises:
            WorkerError: It did not run, now or before.
        """
        if (target, seed) not in self.answers:
            try:
                self.answers[target, seed] = self.program(target, seed)
            except WorkerError as error:
                self.answers[target, seed] = error
        answer = self.answers[target, seed]
        if isinstance(answer, WorkerError):
            raise answer
        return answer


@dataclass(frozen=True)
class Answer:
    """A worker's arrays, and the rest of what it said."""

    arrays: list[np.ndarray]
    said: dict[str, Any]


def arranged(arrays: Iterable[np.ndarray], perm: list[int] | None) -> list[np.ndarray]:
    """Arrays of the spec's layout as a target lays them out."""
    return [array.transpose(perm) if perm else array for array in arrays]


def not_run(route: str, check: str, dtype: str, error: WorkerError) -> Row:
    """A row for what could not run: missing here, or failed, which is a difference."""
    status = "not run" if error.not_here else "different"
    return Row(route, check, dtype, status, None if error.not_here else math.inf, note=str(error))


def names_in_target(bench: Bench, target: str) -> dict[str, str]:
    """The layers' names by the names that the target's values carry."""
    layers = [node.name for node in bench.graph.layers]
    if target != "torch":
        leaf = (lambda name: name.rpartition("/")[2]) if target == "keras" else (lambda name: name)
        return {leaf(name): name for name in layers}
    plain = [n.name for n in bench.graph.layers if not getattr(n.layer, "activation", None)]
    return {".".join(map(identifier, name.split("/"))): name for name in plain}


def diverging(bench: Bench, target: str, seed: int, limit: float) -> Divergence | None:
    """The first layer of a target's program that differs from the oracle's."""
    expected = bench.oracle(seed, intermediate=True).arrays
    lowered = TARGETS[target].lower(bench.graph, bench.settings.options.layout)
    perms = {node.name: node.perm for node in lowered.nodes}
    layers = [
        Layer(node.name, array, perms.get(node.name))
        for node, array in zip(bench.graph.layers, expected, strict=True)
    ]
    answer = bench.program(target, seed, intermediate=True)
    known = names_in_target(bench, target)
    values = [
        Value(known.get(name, ""), array)
        for name, array in zip(answer.said["names"], answer.arrays, strict=True)
    ]
    return first_divergence(layers, values, limit)


def inference_row(bench: Bench, target: str, expected: Mapping[int, Answer]) -> Row:
    """Compare a program's outputs in inference mode with the oracle's, over all seeds."""
    dtype = bench.graph.dtype
    limit = tolerance(bench.graph, dtype)
    perm = bench.port(target, "outputs")["perm"]
    worst_of: tuple[Difference, int] = (Difference(-1.0), 0)
    cases = seed = 0
    try:
        for seed, answer in expected.items():
            received = bench.inference(target, seed).arrays
            found = worst(arranged(answer.arrays, perm), received)
            cases += len(answer.arrays)
            worst_of = max(worst_of, (found, seed), key=lambda pair: pair[0].error)
        found, seed = worst_of
        row = Row(target, "inference", dtype, "equal", found.error, limit, cases, note=found.note)
        if found.error <= limit:
            return row
        row = replace(row, status="different")
    except WorkerError as error:
        row = not_run(target, "inference", dtype, error)
        if row.status == "not run":
            return row
    return replace(row, layer=where(bench, target, seed, limit))


def where(bench: Bench, target: str, seed: int, limit: float) -> str | None:
    """The first layer at which a program that is known to be wrong differs, if it can be told."""
    try:
        place = diverging(bench, target, seed, limit)
    except WorkerError:
        return None
    return place.layer if place else bench.graph.layers[-1].name


def shaped(array: np.ndarray, steps: Iterable[tuple[str, tuple[int, ...]]]) -> np.ndarray:
    """A variable in Keras layout as a target has it."""
    for step, sizes in steps:
        array = array.reshape(sizes) if step == "reshape" else array.transpose(sizes)
    return array


def training_row(bench: Bench, target: str, expected: Answer) -> Row:
    """Compare outputs in training mode, and every variable after it, with the oracle's."""
    dtype, count = bench.graph.dtype, len(plan.BATCHES)
    limit = tolerance(bench.graph, dtype)
    perm = bench.port(target, "outputs")["perm"]
    try:
        received = bench.program(target, 0, training=True)
    except WorkerError as error:
        return not_run(target, "training", dtype, error)
    outputs = worst(arranged(expected.arrays[:count], perm), received.arrays[:count])
    variables = dict(zip(received.said["state"], received.arrays[count:], strict=True))
    values = dict(zip(expected.said["state"], expected.arrays[count:], strict=True))
    lowered = TARGETS[target].lower(bench.graph, bench.settings.options.layout)
    steps = {
        move.weight.key: move.steps
        for node in (lowered.nodes if TARGETS[target].weights else ())
        for move in TARGETS[target].moves(lowered, node)
    }
    names = bench.manifest.content["targets"][target]["weights"]
    row = Row(target, "training", dtype, "equal", outputs.error, limit, count, note=outputs.note)
    if outputs.error > limit:
        return replace(row, status="different")
    for key, value in values.items():
        variable = variables.get(names.get(key, ""), np.empty(0))
        found = worst([shaped(value, steps.get(key, ()))], [variable])
        if found.error > limit:
            layer = key.rpartition(".")[0].replace(".", "/")
            note = f"variable {key} after a step in training mode {found.note}".strip()
            return replace(row, status="different", error=found.error, layer=layer, note=note)
    return row


def parameters_row(bench: Bench, target: str) -> Row:
    """Compare the number of parameters, in total, trainable and of each variable, with the IR's."""
    graph, names = bench.graph, bench.manifest.content["targets"][target]["weights"]
    row = Row(target, "parameters", graph.dtype, "equal")
    try:
        said = bench.inference(target, 0).said
    except WorkerError as error:
        return not_run(target, "parameters", graph.dtype, error)
    expected = graph.count_params()
    for which, count in said["counts"].items():
        if count != expected[which]:
            note = f"{count} {which} parameters instead of {expected[which]}"
            return replace(row, status="different", note=note)
    for weight in graph.weights:
        size = said["variables"].get(names.get(weight.key, ""))
        if size != weight.size:
            layer = weight.key.rpartition(".")[0].replace(".", "/")
            note = f"{weight.key}: {size} parameters instead of {weight.size}"
            return replace(row, status="different", layer=layer, note=note)
    return row


def exporter_row(bench: Bench, framework: str, expected: Answer) -> Row:
    """Let a framework export its program to ONNX, and compare that under onnxruntime."""
    route, dtype = f"{framework} -> onnx", bench.graph.dtype
    limit = tolerance(bench.graph, dtype)
    target = bench.manifest.content["targets"][framework]
    perm = target["inputs"][0]["perm"]
    file = str(bench.folder / TARGETS[framework].files["model.py.j2"])
    exported = str(bench.folder / f"{framework}_export.onnx")
    sizes = target["inputs"][0]["shape"]
    opened = [axis for axis, size in enumerate(sizes) if not isinstance(size, int)]
    row = Row(route, "inference", dtype, "exporter", tolerance=limit)
    try:
        request = {"file": file, "output": exported, "open_axes": opened}
        bench.ask(framework, "export", 0, perm, **request)
    except WorkerError as error:
        if error.not_here:
            return not_run(route, "inference", dtype, error)
        return replace(row, note=f"the export failed: {error}")
    try:
        received = bench.ask("onnx", "file", 0, perm, file=exported).arrays
    except WorkerError as error:
        if error.not_here:
            return not_run(route, "inference", dtype, error)
        return replace(row, note=f"the exported file does not run: {error}")
    found = worst(arranged(expected.arrays, target["outputs"][0]["perm"]), received)
    row = replace(row, error=found.error, cases=len(received), note=found.note)
    return replace(row, status="equal") if found.error <= limit else row


def dtypes(graph: Model) -> list[str]:
    """The dtypes to verify in: the model's own, and float64, where a wrong epsilon cannot hide."""
    return list(dict.fromkeys([graph.dtype, "float64"]))


def rows_in(bench: Bench, first: bool) -> list[Row]:
    """All comparisons in the dtype of a bench; what needs to be done once only in the first."""
    settings, dtype = bench.settings, bench.graph.dtype
    targets = settings.options.targets
    if not first:
        targets = tuple(target for target in targets if target in DOUBLE)
    try:
        expected = {seed: bench.oracle(seed) for seed in range(settings.seeds)}
    except WorkerError as error:
        return [
            Row(t, "inference", dtype, "not run", note=f"the oracle, Keras, did not run: {error}")
            for t in targets
        ]
    rows = [parameters_row(bench, target) for target in targets] if first else []
    rows += [inference_row(bench, target, expected) for target in targets]
    if first and settings.exporters:
        rows += [exporter_row(bench, t, expected[0]) for t in targets if t != "onnx"]
    return rows


def training_rows(bench: Bench) -> list[Row]:
    """Comparisons in training mode, which ONNX graphs do not have."""
    targets = [target for target in bench.settings.options.targets if target in DOUBLE]
    try:
        expected = bench.oracle(0, training=True)
    except WorkerError as error:
        note = f"the oracle, Keras, did not run: {error}"
        return [Row(t, "training", bench.graph.dtype, "not run", note=note) for t in targets]
    return [training_row(bench, target, expected) for target in targets]


def verify_graph(
    graph: Model, settings: Settings, pool: Pool, progress: Callable[[str], None] = lambda _: None
) -> Report:
    """Verify a model on the workers of a pool."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="seqgen-") as name:
        for index, dtype in enumerate(dtypes(graph)):
            progress(f"{graph.name} in {dtype}")
            typed = with_dtype(graph, dtype)
            folder = Path(name) / dtype
            rows += rows_in(Bench.make(typed, settings, pool, folder), first=index == 0)
            if plan.has_training_mode(graph) and dtype == "float64":
                progress(f"{graph.name} in {dtype}, training mode")
                quiet = plan.without_noise(typed)
                bench = Bench.make(quiet, settings, pool, Path(name) / "training")
                rows += training_rows(bench)
    return Report(graph.name, tuple(rows), versions(pool, settings), settings.device)


def versions(pool: Pool, settings: Settings) -> dict[str, str]:
    """Versions of the frameworks that ran."""
    found = {}
    for framework in dict.fromkeys(("keras", *settings.options.targets)):
        try:
            found[framework] = pool.ask(framework, "hello")["version"]
        except WorkerError:
            continue
    return found


def verify(
    model: "Sequential",
    targets: Iterable[str] = tuple(TARGETS),
    layout: str = "native",
    opset: int | None = None,
    device: str = "cpu",
    seeds: int = 2,
    exporters: bool = True,
    templates: Path | None = None,
    pool: Pool | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Generate the programs of a model, run them, and compare them with Keras itself.

    Args:
        model: A model with a known input shape.
        targets: Names of the targets to verify.
        layout: Of inputs and outputs of the programs.
        opset: Version of the ONNX operators; the default of `generate` if not given.
        device: `cpu` or `cuda`; what is not there is reported as not run.
        seeds: Number of sets of weights and inputs.
        exporters: Whether the frameworks' own ONNX exporters are run as well.
        templates: A folder of templates that stand before the packaged ones.
        pool: Worker processes to use; by default some are started and ended.
        progress: Called with a line before each step that takes long.
    """
    more: dict[str, Any] = {} if opset is None else {"opset": opset}
    options = Options(tuple(targets), layout, templates=templates, **more)
    settings = Settings(options, device, seeds, exporters)
    with ExitStack() as stack:
        return verify_graph(
            model.graph(), settings, pool or stack.enter_context(Pool()), progress
        )
