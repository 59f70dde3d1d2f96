"""What people already have, as specs."""

from pathlib import Path

from seqgen.errors import SpecError


def import_file(source: Path, out: Path, force: bool = False) -> list[Path]:
    """Write the spec of a model file, and its weights beside it.

    Args:
        source: A `.keras` file, an `.h5` or `.hdf5` file with a model, or a config as `.json`.
        out: The spec file: `.yaml`, `.json` or `.toml`.
        force: Whether existing files may be overwritten.

    Returns:
        The files written.
    """
    from seqgen.importers.keras import from_keras

    weights = out.with_suffix(".safetensors")
    model = from_keras(source)
    written = [out, weights] if model.has_own_weights else [out]
    existing = [str(path) for path in written if path.exists()]
    if existing and not force:
        raise SpecError(f"{', '.join(existing)} exists; choose another name, or use --force")
    model.save(out, weights=weights if model.has_own_weights else None)
    return written
