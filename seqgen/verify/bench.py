"""The programs of a model in a folder, and what the workers make of them."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seqgen.errors import SpecError
from seqgen.generator import Manifest, Options, generate_programs
from seqgen.ir.graph import Model
from seqgen.targets import target_named
from seqgen.verify import plan
from seqgen.verify.pool import Pool, WorkerError
from seqgen.weights import random_weights

DEVICES = ("cpu", "cuda")
Edit = Callable[[str, str], str]


def as_given(file: str, text: str) -> str:
    """The edit that changes nothing."""
    return text


def arranged(arrays: Iterable[np.ndarray], perms: Sequence[Any]) -> list[np.ndarray]:
    """Arrays of the spec's layout as a target lays them out, by one perm after the other."""
    pairs = zip(arrays, itertools.cycle(perms))
    return [array.transpose(perm) if perm else array for array, perm in pairs]


def nudged(array: np.ndarray, by: float) -> np.ndarray:
    """An array whose numbers are larger by a small part of themselves; whole numbers stay."""
    return array * array.dtype.type(1 + by) if array.dtype.kind == "f" else array


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

    options: Options = field(default_factory=Options)
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
class Answer:
    """A worker's arrays, and the rest of what it said."""

    arrays: list[np.ndarray]
    said: dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The programs of a model in one dtype, in a folder, with inputs and the answers so far."""

    graph: Model
    settings: Settings
    pool: Pool
    folder: Path
    manifest: Manifest
    answers: dict[tuple[str, int], Answer | WorkerError] = field(default_factory=dict)
    _lowered: dict[str, Model] = field(default_factory=dict)

    @classmethod
    def make(cls, graph: Model, settings: Settings, pool: Pool, folder: Path) -> "Bench":
        """Generate the programs into a folder."""
        manifest = generate_programs(graph, settings.options, "")
        folder.mkdir(parents=True)
        for file, text in manifest.files.items():
            (folder / file).write_text(settings.edit(file, text), encoding="utf-8")
        return cls(graph, settings, pool, folder, manifest)

    def ports(self, target: str, side: str) -> list[dict[str, Any]]:
        """The manifest's description of a target's inputs or outputs, without states."""
        count = len(self.graph.inputs if side == "inputs" else self.graph.outputs)
        found: list[dict[str, Any]] = self.manifest.content["targets"][target][side][:count]
        return found

    def perms(self, target: str, side: str) -> list[Any]:
        """How arrays of the spec's layout are transposed for each of a target's ports."""
        return [port["perm"] for port in self.ports(target, side)]

    def file(self, target: str) -> str:
        """The path of a target's program."""
        return str(self.folder / target_named(target).files["model.py.j2"])

    def lowered(self, target: str) -> Model:
        """The model as a target's program spells it."""
        if target not in self._lowered:
            layout = self.settings.options.layout
            self._lowered[target] = target_named(target).lower(self.graph, layout)
        return self._lowered[target]

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the inputs, the batch included; those of a batch stand side by side."""
        return plan.input_shapes(self.graph)

    @property
    def results(self) -> int:
        """The number of arrays that all batches give."""
        return len(self.shapes) // len(self.graph.inputs) * len(self.graph.outputs)

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
        """The inputs of a seed, in the spec's layout; those of a batch stand side by side."""
        return plan.inputs(self.graph, seed, self.shapes)

    def batch(self, seed: int, index: int) -> list[np.ndarray]:
        """The inputs of one batch."""
        ports = len(self.graph.inputs)
        return self.inputs(seed)[index * ports : (index + 1) * ports]

    def ask(
        self, framework: str, op: str, seed: int, perms: Sequence[Any] = (None,), **more: Any
    ) -> Answer:
        """Have a worker run something on the inputs of a seed, each transposed by its own perm."""
        arrays = arranged(self.inputs(seed), perms)
        by = more.pop("nudged", 0.0)
        arrays = [nudged(array, by) for array in arrays] if by else arrays
        given, output = self.folder / "inputs.npz", self.folder / "output.npz"
        np.savez(given, **{f"a{i}": np.ascontiguousarray(x) for i, x in enumerate(arrays)})
        request = {
            "inputs": str(given),
            "output": str(output),
            "weights": self.weights(seed),
            "device": self.settings.device,
            "dtypes": [self.graph.by_name[name].type.dtype for name in self.graph.inputs],
            "training": False,
            **more,
        }
        answer = self.pool.ask(framework, op, **request)
        if not output.exists():
            return Answer([], answer)
        with np.load(output, allow_pickle=False) as file:
            made = [file[f"a{i}"] for i in range(len(file.files))]
        output.unlink()
        return Answer(made, answer)

    def oracle(self, seed: int, op: str = "oracle", **more: Any) -> Answer:
        """What Keras itself makes of the spec; `oracle_trace` gives every layer's value.

        It computes on the CPU, whatever the programs compute on. With `nudged` it is given inputs
        that are larger by a small part, which shows how much of the result that decides.
        """
        given = plan.oracle_graph(self.graph)
        return self.ask("keras", op, seed, device="cpu", graph=given, **more)

    def program(self, target: str, seed: int, op: str = "program", **more: Any) -> Answer:
        """What a target's program makes of it; `trace` gives every value on the way."""
        perms = self.perms(target, "inputs")
        return self.ask(target, op, seed, perms, file=self.file(target), **more)

    def inference(self, target: str, seed: int) -> Answer:
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
