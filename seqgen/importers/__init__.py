"""What people already have, as specs."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgen.errors import SpecError

FUNCTION = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


def import_file(
    source: Path,
    out: Path,
    force: bool = False,
    input_shape: Sequence[int | None] | None = None,
    weights: Path | None = None,
) -> list[Path]:
    """Write the spec of a model, and its weights beside it.

    Args:
        source: A `.keras` file, an `.h5` or `.hdf5` file with a model, a config as `.json`, an
            `.onnx` file, or `module:function`, a Python function that returns an `nn.Sequential`.
        out: The spec file: `.yaml`, `.json` or `.toml`.
        force: Whether existing files may be overwritten.
        input_shape: Of what a function returns: the shape of its input without the batch, channels
            first; None for an open size.
        weights: Of what a function returns: a state dict that it takes before.

    Returns:
        The files written.
    """
    stored = out.with_suffix(".safetensors")
    if weights is not None and weights.resolve() == stored.resolve():
        raise SpecError(f"{weights} is where the weights of {out} go; choose another name for that")
    model = _model(source, input_shape, weights)
    written = [out, stored] if model.has_own_weights else [out]
    existing = [str(path) for path in written if path.exists()]
    if existing and not force:
        raise SpecError(f"{', '.join(existing)} exists; choose another name, or use --force")
    model.save(out, weights=stored if model.has_own_weights else None)
    return written


def _model(source: Path, input_shape: Sequence[int | None] | None, weights: Path | None) -> Any:
    if FUNCTION.fullmatch(str(source)) and not source.exists():
        from seqgen.importers.torch_function import from_function

        if input_shape is None:
            raise SpecError(
                f"{source}: expected the shape of the module's input without the batch, channels "
                "first; add it, such as --input-shape 3,32,32"
            )
        return from_function(str(source), input_shape, weights)
    if input_shape is not None or weights is not None:
        raise SpecError(
            f"{source}: --input-shape and --weights are for functions, as package.module:function"
        )
    if source.suffix == ".onnx":
        from seqgen.importers.onnx import from_onnx

        return from_onnx(source)
    from seqgen.importers.keras import from_keras

    return from_keras(source)
