"""The weights of one spec, from a file of one format into a file of another.

Everything goes through the Keras layout: a format says where it has each variable of the model and
how that lies there, and is read into, or written from, a store of weights by key.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from seqgen.errors import MismatchError, SeqgenError, SpecError
from seqgen.porting.content import Match, Names, Search
from seqgen.porting.formats import format_of, writable
from seqgen.porting.programs import layout_of
from seqgen.porting.report import Ported, Porting
from seqgen.tensor_file import Lazy
from seqgen.weights import Weights, check

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

__all__ = ["Ported", "Porting", "port_weights"]


def port_weights(
    model: "Sequential",
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    layout: str | None = None,
    match: Match | None = None,
    spec_order: bool = False,
    force: bool = False,
    allow_nonfinite: bool = False,
) -> Porting:
    """Write the weights of a model from one file into another; the suffixes say what they are.

    `.safetensors`, `.weights.h5` and `.pt` (or `.pth`: the state dict of the generated PyTorch
    program) are read and written; `.keras`, `.h5` (or `.hdf5`) and `.onnx` (the graph that the
    generated ONNX program writes) are read only.

    A `.pt`, `.pth` or `.safetensors` file may be the state dict of another PyTorch module, if its
    modules with weights are, in their order, the layers of a Sequential, by the names and shapes
    of their parameters. A `.safetensors` file has lost the order of names: there, numbers in names
    say what comes first, and of the modules that may come next exactly one must fit.

    Args:
        model: The model; its own weights stay as they are.
        source: The file to read.
        target: The file to write. It appears when it is complete.
        layout: Of the programs that `.pt` and `.onnx` belong to, `native` or `spec`; by itself what
            the `seqgen.json` beside the file says, else `native`.
        match: How the variables of a state dict are found, by `names` of the program or by the
            `order` of modules; by itself by order where not one module has a name of the program.
        spec_order: Of a state dict that is matched by order: the module has features in the order
            of the spec. By itself, it puts values of images into one axis (Flatten) and takes them
            out of one (Reshape) with the channels first, as PyTorch's layers have them.
        force: Whether an existing target may be replaced.
        allow_nonfinite: Whether weights may hold NaN and infinities.

    Returns:
        What went where.

    Raises:
        SpecError: The two are the same file, the target exists, the model has no input shape, or an
            argument does not fit the source.
        UnsupportedError: A format is unknown or is not written, or a module that is matched by
            order may have the features of images in another order than the spec.
        MismatchError: The source does not hold exactly the model's weights, all faults listed, or
            holds NaN or infinity. Nothing is written.
        SeqgenError: A file is broken, or cannot be read or written.
    """
    source, target = Path(source), Path(target)
    reads, writes = format_of(source), writable(target)
    _check_paths(source, target, force)
    layouts = [layout_of(model, path, layout) for path in (source, target)]
    graph = model.graph()
    content = reads.read(source, model, layouts[0], _search(match, spec_order))
    if spec_order and content.matched == "names":
        raise SpecError(f"{source}: its names say where everything is; leave out --spec-order")
    check(content.weights, graph.weights, graph.dtype)
    broken: list[str] = []
    weights = content.weights if allow_nonfinite else _watched(content.weights, broken)
    with _staged(target) as staged:
        assert writes.write is not None
        writes.write(staged, weights, model, layouts[1])
        if broken:
            raise MismatchError(_not_finite(source, dict.fromkeys(broken)))
    names_in = content.names or reads.names(model, layouts[0])
    rows = _rows(content.weights, names_in, writes.names(model, layouts[1]))
    return Porting(str(source), str(target), rows, content.left_out, content.matched)


def _search(match: Match | None, spec_order: bool) -> Search:
    if match not in (None, *get_args(Match)):
        raise SpecError(f"expected match 'names' or 'order', received '{match}'")
    return Search(match, spec_order)


def _check_paths(source: Path, target: Path, force: bool) -> None:
    if not source.is_file():
        raise SeqgenError(f"{source}: there is no such file")
    if os.path.realpath(source) == os.path.realpath(target) or (
        target.exists() and source.samefile(target)
    ):
        raise SpecError(f"{target}: source and target are the same file; choose another target")
    if target.is_dir():
        raise SpecError(f"{target} is a folder; give the path of a file")
    if target.exists() and not force:
        raise SpecError(f"{target} exists; choose another name, or replace it with --force")


def _watched(weights: Weights, broken: list[str]) -> Weights:
    """The same weights; the keys of those that turn out not to be finite go to a list."""

    def entry(key: str) -> Lazy:
        def load() -> np.ndarray:
            array = weights[key]
            if not np.isfinite(array).all():
                broken.append(key)
            return array

        return Lazy(weights.shape(key), weights.dtype(key), load)

    return Weights({key: entry(key) for key in weights})


def _not_finite(source: Path, broken: dict[str, None]) -> str:
    listed = ", ".join(f"'{key}'" for key in broken)
    return (
        f"{source}: expected finite weights; these hold NaN or infinity: {listed}; "
        "--allow-nonfinite takes them as they are"
    )


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A path to write to, which is moved to the target when all went well."""
    place = Path(os.path.realpath(target))
    partial = place.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        yield partial
        os.replace(partial, place)
    except OSError as error:
        raise SeqgenError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def _rows(weights: Weights, names_in: Names, names_out: Names) -> tuple[Ported, ...]:
    """What went where, in the order of the model."""
    return tuple(
        Ported(key, names_in[key], names_out[key], weights.shape(key), weights.dtype(key))
        for key in names_out
    )
