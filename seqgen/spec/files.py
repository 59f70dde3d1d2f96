"""Specs from files and texts, and into them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqgen.errors import SeqgenError, SpecError
from seqgen.spec.located import LARGEST_FILE, Faults, Located, locate
from seqgen.spec.reader import Reader
from seqgen.spec.text import to_json, to_toml, to_yaml
from seqgen.spec.whole import Whole

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
WRITERS = {"yaml": to_yaml, "json": to_json, "toml": to_toml}


def _parse(text: str, form: str, faults: Faults) -> Located | None:
    if form == "json":
        from seqgen.spec.json_text import parse_json as parse
    elif form == "toml":
        from seqgen.spec.toml_text import parse_toml as parse
    else:
        from seqgen.spec.yaml_text import parse_yaml as parse
    return parse(text, faults)


def format_of(path: Path) -> str:
    """The format of a file by its suffix.

    Raises:
        SpecError: There is none for it.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise SpecError(f"{path}: expected a file that ends in {', '.join(FORMATS)}")
    return form


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{path}: cannot be read: {reason}") from None
    if len(data) > LARGEST_FILE:
        raise SpecError(f"{path}: it is larger than {LARGEST_FILE} bytes; give weights in a file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Faults(str(path)).stop("expected text in UTF-8", line) from None


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a path ends as those of HDF5 files do."""
    return os.fspath(path).lower().endswith((".h5", ".hdf5"))


def _is_text(source: str) -> bool:
    """Whether a string is a spec itself; a path has one line and no brace at its beginning."""
    return "\n" in source or source.lstrip().startswith("{") or not source.strip()


def load(source: str | os.PathLike[str] | Mapping[str, Any], format: str | None = None) -> Whole:
    """The model of a spec.

    Args:
        source: The path of a YAML, JSON or TOML file, such a text itself, or plain values; or the
            path of a `.keras`, `.h5`, `.hdf5` or `.onnx` file, which is imported with its weights.
        format: `yaml`, `json` or `toml`; by the suffix of a path, or by the look of a text, if it
            is not given.

    Raises:
        SpecError: With every fault of the spec, each with its place.
        MismatchError: The weights that the spec names do not fit it.
        UnsupportedError: A part of a file of Keras, or of ONNX, cannot be imported.
    """
    if format not in (None, *WRITERS):
        raise SpecError(f"expected one of {', '.join(WRITERS)} as format, received {format!r}")
    if isinstance(source, Mapping):
        return from_plain(source)
    if isinstance(source, str) and _is_text(source):
        form = format or ("json" if source.lstrip().startswith("{") else "yaml")
        return from_text(source, form)
    path = Path(source)
    if path.suffix == ".keras" or is_hdf5(path):
        from seqgen.importers.keras import from_keras

        return from_keras(path)
    if path.suffix == ".onnx":
        from seqgen.importers.onnx import from_onnx

        return from_onnx(path)
    form = format or format_of(path)
    return from_text(_read(path), form, str(path), path.parent)


def from_text(text: str, form: str, file: str | None = None, folder: Path = Path()) -> Whole:
    """The model of a spec's text.

    Args:
        text: The text.
        form: `yaml`, `json` or `toml`.
        file: What errors call it.
        folder: Where the path of its weights begins.
    """
    faults = Faults(file or "<text>")
    return _model(_parse(text, form, faults), faults, folder)


def from_plain(spec: Any) -> Whole:
    """The model of a spec in plain values."""
    faults = Faults(None)
    return _model(locate(spec, faults), faults, Path())


def _model(root: Located | None, faults: Faults, folder: Path) -> Whole:
    model, weights = Reader(faults).read(root)
    faults.check()
    assert model is not None
    for part, path in weights:
        from seqgen.importers.hdf5 import open_weights

        part.set_store(open_weights(folder / path, part))
    return model


def save(
    model: Whole,
    path: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
) -> None:
    """Write the spec of a model, and its weights if a file for them is given.

    Raises:
        SeqgenError: A file cannot be written, or the suffix of the spec is unknown.
    """
    path = Path(path)
    write, spec = WRITERS[format_of(path)], model.to_dict()
    if weights is not None:
        model.save_weights(weights)
        named = os.path.relpath(weights, path.parent)
        last = {key: spec.pop(key) for key in ("layers", "graph", "outputs") if key in spec}
        spec |= {"weights": Path(named).as_posix(), **last}
    try:
        path.write_text(write(spec), encoding="utf-8")
    except OSError as error:
        raise SeqgenError(f"{path}: cannot be written: {error.strerror or error}") from None
