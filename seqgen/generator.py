"""Programs into a folder: all of them or none, and never over what somebody else wrote."""

import functools
import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen.errors import SpecError, UnsupportedError
from seqgen.folder import differences, write
from seqgen.ir.graph import Model, Node
from seqgen.ir.types import axis_names
from seqgen.passes.layout import LAYOUTS, identity
from seqgen.render import Rendering
from seqgen.targets import TARGETS, Target, target_named
from seqgen.targets.onnx import DEFAULT_OPSET, ir_version
from seqgen.targets.training import Settings
from seqgen.targets.training_checks import check
from seqgen.training.settings import Training
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential


@dataclass(frozen=True)
class Options:
    """How programs are generated.

    Attributes:
        targets: Names of the targets, in the order of the manifest.
        layout: Of inputs and outputs: `native` as the target's users expect it, `spec` as in the
            spec.
        opset: Version of the ONNX operators.
        templates: A folder whose templates stand before the packaged ones.
        formatted: Whether black formats the programs.
    """

    targets: tuple[str, ...] = tuple(TARGETS)
    layout: str = "native"
    opset: int = DEFAULT_OPSET
    templates: Path | None = None
    formatted: bool = True

    def __post_init__(self) -> None:
        for target in self.targets:
            target_named(target)
        if not self.targets:
            raise SpecError("no target was asked for")
        if self.layout not in LAYOUTS:
            raise SpecError(f"expected layout 'native' or 'spec', received '{self.layout}'")
        ir_version(self.opset)
        if self.templates is not None and not self.templates.is_dir():
            raise SpecError(f"there is no folder of templates '{self.templates}'")


@dataclass(frozen=True)
class Manifest:
    """What was generated: the contents of `seqgen.json`, and the texts of all files by name."""

    content: dict[str, Any]
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The contents of `seqgen.json`."""
        return self.content


@dataclass(frozen=True)
class Program:
    """A target's program of a model.

    Attributes:
        lowered: The model as the templates spell it.
        texts: The files by name.
        weight_names: The target's name of each variable, by its key.
        left_out: Files that the target has not for this model, with the reason.
    """

    lowered: Model
    texts: dict[str, str]
    weight_names: dict[str, str]
    left_out: dict[str, str]


def program(model: Model, target: Target, options: Options) -> Program:
    """Spell a model for a target.

    Raises:
        UnsupportedError: The target cannot say the model exactly.
    """
    lowered = target.lower(model, options.layout)
    texts, names, left_out = {}, {}, {}
    for template, file in target.files.items():
        rendering = Rendering(
            target, lowered, options.templates, options.formatted, opset=options.opset
        )
        texts[file] = rendering.text(template)
        names |= rendering.page["weight_names"]
    if model.training is not None and target.training is not None:
        template, file = target.training
        settings = Settings(model)
        check(settings)
        try:
            texts[file] = rendering.text(
                template, **target.training_page(settings, rendering.context)
            )
        except UnsupportedError as error:
            if not target.trains_some:
                raise
            left_out[file] = str(error)
    return Program(lowered, texts, names, left_out)


def _ports(lowered: Model, names: Iterable[str]) -> list[dict[str, Any]]:
    """The manifest's description of inputs or outputs."""

    def port(node: Node) -> dict[str, Any]:
        kind = node.physical
        moved = node.perm is not None and node.perm != identity(kind.rank)
        return {
            "name": node.name,
            "shape": list(kind.shape),
            "dtype": kind.dtype,
            "layout": list(kind.axes),
            "perm": list(node.perm) if moved and node.perm else None,
        }

    return [port(lowered.by_name[name]) for name in names]


def _states(target: Target, lowered: Model) -> tuple[list[Any], list[Any]]:
    """The manifest's description of the states that go in and come out besides."""

    def port(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
        layout = list(axis_names(len(shape), "channels_first"))
        said = {"shape": list(shape), "dtype": lowered.dtype, "layout": layout, "perm": None}
        return {"name": name, **said}

    states = list(target.states(lowered))
    return (
        [port(name, shape) for name, _, shape in states],
        [port(name, shape) for _, name, shape in states],
    )


@functools.cache
def version() -> str:
    """Version of the installed seqgen."""
    return metadata.version("seqgen")


def generate_programs(model: Model, options: Options, spec_text: str) -> Manifest:
    """Every file that the options ask for, as text, without weights."""
    files: dict[str, str] = {}
    targets: dict[str, Any] = {}
    for name in options.targets:
        target = target_named(name)
        made = program(model, target, options)
        files |= made.texts
        states_in, states_out = _states(target, made.lowered)
        targets[name] = {
            "files": sorted(made.texts),
            "inputs": _ports(made.lowered, made.lowered.inputs) + states_in,
            "outputs": _ports(made.lowered, made.lowered.outputs) + states_out,
            "weights": made.weight_names,
        }
        if made.left_out:
            targets[name]["left_out"] = made.left_out
    content = {
        "seqgen": version(),
        "name": model.name,
        "spec_sha256": hashlib.sha256(spec_text.encode()).hexdigest(),
        "layout": options.layout,
        "opset": options.opset,
        "dtype": model.dtype,
        "parameters": model.count_params(),
        "targets": targets,
    }
    return Manifest(content, files)


def with_parity(model: Model, parity: str | None) -> Model:
    """A model whose training programs have the parity that is given, if one is.

    Raises:
        SpecError: The model has no training programs, or there is no such parity.
    """
    if parity is None:
        return model
    if model.training is None:
        raise SpecError(f"{model.name}: parity is that of training programs; it has none")
    given = {**model.training.to_plain(), "parity": parity}
    return replace(model, training=Training.parse(given))


def _weights(model: "Sequential", seed: int | None) -> Weights | None:
    """The weights to write: the model's own, or initial ones if a seed asks for them."""
    if model.has_own_weights:
        return model.store()
    if seed is None:
        return None
    graph = model.graph()
    return Weights.initialize(graph.weights, graph.dtype, seed)


def generate(
    model: "Sequential",
    out: str | os.PathLike[str],
    targets: str | Iterable[str] = tuple(TARGETS),
    layout: str = "native",
    opset: int = DEFAULT_OPSET,
    templates: str | os.PathLike[str] | None = None,
    force: bool = False,
    initialize: int | None = None,
    parity: str | None = None,
) -> Manifest:
    """Write the programs of a model, its manifest and its weights, if it has any, into a folder.

    Args:
        model: A model with a known input shape.
        out: The folder; it is made if it is not there.
        targets: Names of the targets, or one name.
        layout: Of inputs and outputs: `native` or `spec`.
        opset: Version of the ONNX operators.
        templates: A folder of templates that stand before the packaged ones.
        force: Whether files that seqgen did not write, or that were edited, may be overwritten.
        initialize: Seed of initial weights, to be written for a model that has none of its own.
        parity: Of training programs, in place of the spec's: `exact` or `idiomatic`.

    Raises:
        UnsupportedError: A target cannot say the model exactly; nothing is written.
        SpecError: An option is wrong, or the folder holds files that are not seqgen's to replace.
    """
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    options = Options(targets, layout, opset, Path(templates) if templates else None)
    made = generate_programs(with_parity(model.graph(), parity), options, model.to_json())
    content = write(Path(out), made.files, made.content, _weights(model, initialize), force)
    return Manifest(content, made.files)


def stale(model: "Sequential", out: str | os.PathLike[str], **options: Any) -> list[str]:
    """Names of the files in a folder that generating again would change or add."""
    with tempfile.TemporaryDirectory() as fresh:
        generate(model, fresh, **options)
        return differences(Path(fresh), Path(out))
