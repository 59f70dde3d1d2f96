"""Generates the programs of a model, runs them all, and compares them with Keras itself."""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen.errors import SpecError
from seqgen.generator import Options, with_parity
from seqgen.ir.graph import Model
from seqgen.passes.dtype import with_dtype
from seqgen.targets import TARGETS
from seqgen.verify import plan
from seqgen.verify.bench import Bench, Settings, as_given
from seqgen.verify.pool import Pool, WorkerError
from seqgen.verify.report import Report, Row
from seqgen.verify.rows import exporter_row, inference_row, parameters_row, training_row
from seqgen.verify.training import verify_training

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

# What runs in float64; onnxruntime has kernels in it for few operators.
DOUBLE = ("keras", "torch")


def dtypes(graph: Model) -> list[str]:
    """The dtypes to verify in: the model's own, and float64, where a wrong epsilon cannot hide."""
    return list(dict.fromkeys([graph.dtype, "float64"]))


def narrowed(settings: Settings) -> Settings | None:
    """The settings with those of the targets that run in float64; None if there are none.

    The programs that a user gets are formatted, and run as they are in the model's own dtype. Those
    that differ from them in the dtype need not be, unless they are edited as they are written.
    """
    targets = tuple(target for target in settings.options.targets if target in DOUBLE)
    formatted = settings.edit is not as_given
    options = replace(settings.options, targets=targets, formatted=formatted) if targets else None
    return replace(settings, options=options) if options else None


def without_oracle(bench: Bench, check: str, error: WorkerError) -> list[Row]:
    """The rows where Keras did not run: there is nothing to compare with."""
    note = f"the oracle, Keras, did not run: {error}"
    targets = bench.settings.options.targets
    return [Row(target, check, bench.graph.dtype, "not run", note=note) for target in targets]


def rows_in(bench: Bench, first: bool) -> list[Row]:
    """All comparisons in the dtype of a bench; what needs to be done once only in the first."""
    settings = bench.settings
    targets = settings.options.targets
    try:
        expected = {seed: bench.oracle(seed) for seed in range(settings.seeds)}
    except WorkerError as error:
        return without_oracle(bench, "inference", error)
    parameters = [parameters_row(bench, target) for target in targets] if first else []
    programs = [inference_row(bench, target, expected) for target in targets]
    exporters = [
        exporter_row(bench, row.route, expected[0], row)
        for row in programs
        if first and settings.exporters and row.route in DOUBLE
    ]
    return parameters + programs + exporters


def training_rows(bench: Bench) -> list[Row]:
    """Comparisons in training mode, which ONNX graphs do not have."""
    try:
        expected = bench.oracle(0, training=True)
    except WorkerError as error:
        return without_oracle(bench, "training", error)
    return [training_row(bench, target, expected) for target in bench.settings.options.targets]


def verify_graph(
    graph: Model, settings: Settings, pool: Pool, progress: Callable[[str], None] = lambda _: None
) -> Report:
    """Verify a model on the workers of a pool."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="seqgen-") as name:
        for index, dtype in enumerate(dtypes(graph)):
            fitting = settings if index == 0 else narrowed(settings)
            if fitting is not None:
                progress(f"{graph.name} in {dtype}")
                bench = Bench.make(with_dtype(graph, dtype), fitting, pool, Path(name) / dtype)
                rows += rows_in(bench, first=index == 0)
        fitting = narrowed(settings)
        if plan.has_training_mode(graph) and fitting is not None:
            progress(f"{graph.name} in float64, training mode")
            quiet = plan.without_noise(with_dtype(graph, "float64"))
            rows += training_rows(Bench.make(quiet, fitting, pool, Path(name) / "training"))
    return Report(graph.name, tuple(rows), versions(pool, settings), settings.device)


def versions(pool: Pool, settings: Settings) -> dict[str, str]:
    """Versions of the frameworks that ran."""
    found = {}
    for framework in dict.fromkeys(("keras", *settings.options.targets)):
        try:
            name = {"onnx": "onnxruntime"}.get(framework, framework)
            found[name] = pool.ask(framework, "hello")["version"]
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
    training: bool = False,
    parity: str | None = None,
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
        training: Whether the training programs are compared, instead of the model's: losses of 20
            steps, the first gradients, and all variables and slots of the optimizer after them.
        parity: Of the training programs, in place of the spec's: `exact` or `idiomatic`.

    Raises:
        SpecError: Training is to be verified of a model that says nothing of it.
    """
    more: dict[str, Any] = {} if opset is None else {"opset": opset}
    options = Options(tuple(targets), layout, templates=templates, **more)
    settings = Settings(options, device, seeds, exporters)
    graph = with_parity(model.graph(), parity)
    with ExitStack() as stack:
        workers = pool or stack.enter_context(Pool())
        if not training:
            return verify_graph(graph, settings, workers, progress)
        if graph.training is None:
            raise SpecError(f"{model.label}: there is no training section to verify")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seqgen-")))
        rows = verify_training(graph, settings, workers, folder / "training", progress)
        return Report(graph.name, tuple(rows), versions(workers, settings), settings.device)
