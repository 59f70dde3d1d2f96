"""The commands of `seqgen`. Each is a few lines over the public API."""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from seqgen.errors import SeqgenError

SPEC = click.argument("spec", type=click.Path(path_type=Path))
TARGET = click.option(
    "--target",
    "targets",
    multiple=True,
    default=("keras", "torch", "onnx"),
    show_default="all",
    help="A framework to generate for; give it once for each.",
)
LAYOUT = click.option(
    "--layout",
    type=click.Choice(["native", "spec"]),
    default="native",
    show_default=True,
    help="Of inputs and outputs: as the target's users expect, or as in the spec.",
)
OPSET = click.option(
    "--opset", type=int, default=21, show_default=True, help="Version of the ONNX operators."
)
TEMPLATES = click.option(
    "--templates",
    type=click.Path(path_type=Path),
    help="A folder of templates that stand before the packaged ones.",
)
PARITY = click.option(
    "--parity",
    type=click.Choice(["exact", "idiomatic"]),
    help="Of training programs, in place of the spec's: as Keras, or PyTorch's own classes.",
)


class Commands(click.Group):
    """Commands that end with one clear message and exit status 2 where the user is at fault."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command, and turn errors of seqgen into a message."""
        try:
            return super().invoke(context)
        except SeqgenError as error:
            click.echo(f"error: {error}".replace("\n", "\n       "), err=True)
            sys.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seqgen")
def main() -> None:
    """One Keras-style spec in; Keras, PyTorch and ONNX programs out, proven equal."""
    # Importing makes many objects and no garbage: to look for it takes a tenth of a command's time.
    gc.set_threshold(100_000)


def write(text: str, path: Path | None) -> None:
    """Write a text to a file, if one was asked for."""
    if path is not None:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SeqgenError(f"cannot write {path}: {error.strerror}") from None


@main.command()
@SPEC
def show(spec: Path) -> None:
    """Print the layers, shapes and parameter counts of SPEC."""
    import seqgen

    seqgen.load(spec).summary()


@main.command()
@SPEC
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The folder to write."
)
@TARGET
@LAYOUT
@OPSET
@TEMPLATES
@PARITY
@click.option("--force", is_flag=True, help="Overwrite edited and foreign files.")
@click.option(
    "--initialize",
    type=click.IntRange(0),
    metavar="SEED",
    help="Write initial weights for a model that has none of its own.",
)
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 if the folder is out of date."
)
def generate(spec: Path, out: Path, check: bool, force: bool, **options: Any) -> None:
    """Write the programs of SPEC into a folder."""
    import seqgen
    from seqgen.folder import MANIFEST, WEIGHTS
    from seqgen.generator import stale

    model = seqgen.load(spec)
    if check:
        names = stale(model, out, **options)
        if names:
            click.echo(f"out of date in {out}: {', '.join(names)}", err=True)
            sys.exit(1)
        return
    manifest = seqgen.generate(model, out, force=force, **options)
    for name in [*sorted(manifest.to_dict()["files"]), MANIFEST]:
        click.echo(out / name)
    for made in manifest.content["targets"].values():
        for file, reason in made.get("left_out", {}).items():
            click.echo(f"no {file}: {reason}", err=True)
    if not (out / WEIGHTS).exists():
        click.echo(
            "no weights: the model has none of its own; --initialize 0 writes some", err=True
        )


@main.command()
@SPEC
@TARGET
@LAYOUT
@OPSET
@TEMPLATES
@PARITY
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--training", is_flag=True, help="Compare the training programs, step by step.")
@click.option("--exporters/--no-exporters", default=True, help="Run the frameworks' exporters too.")
@click.option("--keras-python", help="The interpreter of the environment with Keras.")
@click.option("--torch-python", help="The interpreter of the environment with PyTorch.")
@click.option("--onnx-python", help="The interpreter of the environment with onnxruntime.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write a JSON report.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit report.")
@click.option("--html", type=click.Path(path_type=Path), help="Write an HTML report.")
def verify(
    spec: Path,
    as_json: Path | None,
    junit: Path | None,
    html: Path | None,
    keras_python: str | None,
    torch_python: str | None,
    onnx_python: str | None,
    **options: Any,
) -> None:
    """Run the programs of SPEC and compare them with Keras; exit with 0 only if all are equal."""
    import seqgen
    from seqgen.verify import Pool

    pythons = {"keras": keras_python, "torch": torch_python, "onnx": onnx_python}
    model = seqgen.load(spec)
    with Pool({name: path for name, path in pythons.items() if path}) as pool:
        report = with_progress(
            lambda progress: seqgen.verify(model, pool=pool, progress=progress, **options)
        )
    report.print()
    for text, path in (
        (report.to_json, as_json),
        (report.to_junit, junit),
        (report.to_html, html),
    ):
        write(text(), path)
    if not report.ok:
        sys.exit(1)


def with_progress(run: Callable[[Callable[[str], None]], Any]) -> Any:
    """Run something long with a spinner that tells where it is; silent outside a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return run(lambda text: None)
    with console.status("starting") as status:
        return run(status.update)


def sizes(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """A shape as options have it: sizes with commas between, `null` for one that stays open."""
    parts = text.split(",") if text is not None else []
    if not all(part.strip() == "null" or part.strip().isdecimal() for part in parts):
        message = f"expected sizes with commas between, such as 3,32,null; received '{text}'"
        raise click.BadParameter(message)
    shape = tuple(None if part.strip() == "null" else int(part) for part in parts)
    return None if text is None else shape


@main.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The spec file to write."
)
@click.option(
    "--input-shape",
    callback=sizes,
    metavar="SIZES",
    help="Of a function: the shape of its module's input without the batch, channels first, such "
    "as 3,32,32; null for an open size.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Of a function: a state dict that its module takes before (.pt, .pth, .safetensors).",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def import_(source: Path, **options: Any) -> None:
    """Turn a model of Keras, ONNX or PyTorch into a spec, with its weights beside it.

    \b
    .keras, .h5, .hdf5, a config as .json    Keras
    .onnx                                    ONNX
    package.module:function                  PyTorch: a function that returns an nn.Sequential

    A function is imported, from the current folder first, and called.
    """
    from seqgen.importers import import_file

    for path in import_file(source, **options):
        click.echo(path)


@main.command("port-weights")
@SPEC
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="The file to read: .safetensors, .keras, .weights.h5, .h5, .hdf5, .pt, .pth or .onnx.",
)
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="The file to write: .safetensors, .weights.h5, .pt or .pth.",
)
@click.option(
    "--layout",
    type=click.Choice(["native", "spec"]),
    help="With which the programs of .pt and .onnx files were generated; by itself what the "
    "seqgen.json beside the file says, else native.",
)
@click.option(
    "--match",
    type=click.Choice(["names", "order"]),
    help="How the variables of a state dict are found: by the names of torch_model.py, or by the "
    "order of modules; by itself by order where no name is one of torch_model.py.",
)
@click.option(
    "--spec-order",
    is_flag=True,
    help="Of a state dict matched by order: the module has features in the order of the spec, "
    "also where PyTorch's layers have the channels first.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--allow-nonfinite", is_flag=True, help="Take NaN and infinities as they are.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write a JSON report.")
def port_weights(spec: Path, as_json: Path | None, **options: Any) -> None:
    """Write the weights of SPEC from one file into another, and print what went where.

    \b
    .safetensors    Keras layout, as seqgen writes it      read and written
                    or a state dict of PyTorch             read
    .weights.h5     Keras 3                                read and written
    .pt, .pth       state dict of torch_model.py           read and written
    .keras          Keras 3, a whole model                 read
    .h5, .hdf5      Keras 2                                read
    .onnx           the graph that onnx_model.py writes    read

    The source must hold exactly the weights of the spec: every name, shape and dtype that does not
    fit is listed, and nothing is written then. Pickles are never run.

    A state dict of another PyTorch module (.pt, .pth, .safetensors) is read if its modules with
    weights are, in their order, the layers of a Sequential spec.

    In a pipe, each line is a variable: key, source, target, shape and dtype, with tabs between.
    """
    import seqgen

    report = seqgen.port_weights(seqgen.load(spec), **options)
    report.print()
    write(report.to_json(), as_json)


@main.command()
def layers() -> None:
    """Print which layer each target can say."""
    from seqgen.matrix import print_matrix

    print_matrix()


@main.command()
def schema() -> None:
    """Print the JSON Schema of specs."""
    from seqgen.spec.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@main.command()
def doctor() -> None:
    """Print what is installed, and what each missing piece costs."""
    from seqgen.doctor import print_report

    print_report()


if __name__ == "__main__":
    main()
