"""What people already have, as specs."""

from pathlib import Path
from typing import Any

from seqgen.errors import SpecError


def import_file(source: Path, out: Path, force: bool = False) -> list[Path]:
    """Write the spec of a model file, and its weights beside it.

    Args:
        source: A `.keras` file, an `.h5` or `.hdf5` file with a model, a config as `.json`, or an
            `.onnx` file.
        out: The spec file: `.yaml`, `.json` or `.toml`.
        force: Whether existing files may be overwritten.

    Returns:
        The files written.
    """
    weights = out.with_suffix(".safetensors")
    model = _model(source)
    written = [out, weights] if model.has_own_weights else [out]
    existing = [str(path) for path in written if path.exists()]
    if existing and not force:
        raise SpecError(f"{', '.join(existing)} exists; choose another name, or use --force")
    model.save(out, weights=weights if model.has_own_weights else None)
    return written


def _model(source: Path) -> Any:
    if source.suffix == ".onnx":
        from seqgen.importers.onnx import from_onnx

        return from_onnx(source)
    from seqgen.importers.keras import from_keras

    return from_keras(source)
