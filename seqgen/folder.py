"""The folder of a generation: what stands there, whose it is, and how it changes at once.

`seqgen.json` records the SHA-256 of every file beside it. A file that still has it is seqgen's to
replace; one that was edited since, or that was never seqgen's, is not.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seqgen.errors import SpecError
from seqgen.weights import Weights

MANIFEST = "seqgen.json"
WEIGHTS = "weights.safetensors"
Content = dict[str, Any]


def digest(path: Path) -> str | None:
    """The SHA-256 of a file, None if there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded(folder: Path) -> Content:
    """The manifest of a folder; empty if it holds none."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        dict(content["files"]), [target["files"] for target in content["targets"].values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"files": {}, "targets": {}}
    return dict(content)


def foreign(folder: Path, names: Iterable[str]) -> list[str]:
    """Which files of these names stand in a folder otherwise than seqgen wrote them."""
    known = recorded(folder)
    return sorted(
        name
        for name in names
        if (folder / name).exists()
        and (not known["files"] if name == MANIFEST else not _is_own(folder, name, known))
    )


def _is_own(folder: Path, name: str, known: Content) -> bool:
    return name in known["files"] and digest(folder / name) == known["files"][name]


def merged(content: Content, known: Content) -> Content:
    """A manifest that keeps what an earlier one says of the same spec's other files."""
    same = ("seqgen", "spec_sha256", "layout", "opset")
    if any(content[key] != known.get(key) for key in same):
        return content
    targets = {**known["targets"], **content["targets"]}
    return {**content, "targets": targets, "files": {**known["files"], **content["files"]}}


def write(
    folder: Path, texts: dict[str, str], content: Content, weights: Weights | None, force: bool
) -> Content:
    """Write the files of a generation; all of them are complete before the first is moved in.

    Files of an earlier generation from another spec are taken out, unless they were edited.

    Returns:
        The manifest as it was written.

    Raises:
        SpecError: There are files that are not seqgen's to replace, or writing fails.
    """
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is a file, not a folder")
    names = [*texts, MANIFEST, *([WEIGHTS] if weights is not None else [])]
    kept = [] if force else foreign(folder, names)
    if kept:
        raise SpecError(
            f"{folder} holds {', '.join(kept)}, which seqgen did not write, or which changed "
            "since; choose another folder, or overwrite with force (--force)"
        )
    try:
        return _replace(folder, texts, content, weights)
    except OSError as error:
        raise SpecError(f"cannot write to {folder}: {error.strerror or error}") from None


def _replace(
    folder: Path, texts: dict[str, str], content: Content, weights: Weights | None
) -> Content:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        staging = Path(name)
        for file, text in texts.items():
            (staging / file).write_text(text, encoding="utf-8")
        if weights is not None:
            weights.save(staging / WEIGHTS)
        files = sorted(os.listdir(staging))
        known = recorded(folder)
        content = merged({**content, "files": {f: digest(staging / f) for f in files}}, known)
        (staging / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for file in known["files"].keys() - content["files"].keys():
            if _is_own(folder, file, known):
                (folder / file).unlink()
        # The manifest goes last: it says what is complete.
        for file in [*files, MANIFEST]:
            os.replace(staging / file, folder / file)
    return content


def differences(fresh: Path, folder: Path) -> list[str]:
    """Names of the files of a fresh generation that a folder lacks or has otherwise."""
    names = sorted(name for name in os.listdir(fresh) if name != MANIFEST)
    found = [name for name in names if digest(fresh / name) != digest(folder / name)]
    new, old = recorded(fresh), recorded(folder)
    narrowed = {
        **old,
        "files": {name: old["files"].get(name) for name in names},
        "targets": {name: old["targets"].get(name) for name in new["targets"]},
    }
    return found if found or narrowed == new else [MANIFEST]
