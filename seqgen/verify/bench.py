"""The programs of a model in a folder, and what the workers make of them."""

from collections.abc import Callable
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
        folder.mkdir()
        for file, text in manifest.files.items():
            (folder / file).write_text(settings.edit(file, text), encoding="utf-8")
        return cls(graph, settings, pool, folder, manifest)

    def port(self, target: str, side: str) -> dict[str, Any]:
        """The manifest's description of a target's input or output."""
        port: dict[str, Any] = self.manifest.content["targets"][target][side][0]
        return port

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
        """The shapes of the inputs, the batch included."""
        return plan.input_shapes(self.graph)

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
        return plan.inputs(self.graph, seed, self.shapes)

    def ask(self, framework: str, op: str, seed: int, perm: Any = None, **more: Any) -> Answer:
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

        It computes on the CPU, whatever the programs compute on.
        """
        entry = self.graph.by_name[self.graph.inputs[0]].type
        given = {"layers": plan.oracle_layers(self.graph), "shape": entry.keras_shape}
        return self.ask("keras", op, seed, device="cpu", **given, **more)

    def program(self, target: str, seed: int, op: str = "program", **more: Any) -> Answer:
        """What a target's program makes of it; `trace` gives every value on the way."""
        perm = self.port(target, "inputs")["perm"]
        return self.ask(target, op, seed, perm, file=self.file(target), **more)

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
