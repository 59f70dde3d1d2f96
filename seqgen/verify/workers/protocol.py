"""How a worker is talked to: one JSON object a line in and out, arrays in .npz files beside.

A worker is run as a script and imports nothing of seqgen, so that it may live in an environment
where only its framework is installed.
"""

import contextlib
import gc
import importlib.util
import json
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

Request = dict[str, Any]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
Handler = Callable[[Request], dict[str, Any]]


class NotHere(Exception):
    """What was asked for cannot be had here: a device, a kernel, a package."""


def load_program(path: str) -> ModuleType:
    """Import a generated file under a name of its own, as fresh as it is on disk."""
    load_program.count = getattr(load_program, "count", 0) + 1
    spec = importlib.util.spec_from_file_location(f"program_{load_program.count}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_training(path: str) -> tuple[ModuleType, ModuleType]:
    """Import a training program and the program of the model that it imports from beside it."""
    name = os.path.basename(path).replace("_train.py", "_model")
    model = load_program(os.path.join(os.path.dirname(path), f"{name}.py"))
    sys.modules[name] = model
    try:
        return load_program(path), model
    finally:
        del sys.modules[name]


def read_steps(request: Request) -> list[dict[str, np.ndarray]]:
    """The samples, labels and perhaps weights of each step."""
    arrays, names = read_arrays(request["inputs"]), request["names"]
    steps = [arrays[start : start + len(names)] for start in range(0, len(arrays), len(names))]
    return [dict(zip(names, step, strict=True)) for step in steps]


def read_arrays(path: str) -> list[np.ndarray]:
    """The arrays of a file in the order in which they were written."""
    with np.load(path, allow_pickle=False) as file:
        return [file[f"a{i}"] for i in range(len(file.files))]


def read_batches(request: Request) -> list[list[np.ndarray]]:
    """The inputs of each batch: those of a batch stand side by side in the file."""
    arrays, ports = read_arrays(request["inputs"]), len(request["dtypes"])
    return [arrays[start : start + ports] for start in range(0, len(arrays), ports)]


def write_arrays(path: str, arrays: list[np.ndarray]) -> None:
    """Write arrays by position."""
    np.savez(path, **{f"a{i}": array for i, array in enumerate(arrays)})


def source_of(error: BaseException, file: str) -> str:
    """The lines of the program that an error came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    if not frames:
        return ""
    first, last = frames[-1].lineno or 1, frames[-1].end_lineno or 1
    # The call of a method in a chain is found at the method's line.
    while first > 1 and linecache.getline(file, first).lstrip().startswith("."):
        first -= 1
    linecache.checkcache(file)
    return "".join(linecache.getline(file, number) for number in range(first, last + 1))


@contextlib.contextmanager
def noting(evidence: list[str], file: str) -> Iterator[None]:
    """Note what goes wrong, with the lines of the program where it did, and go on after it."""
    try:
        yield
    except NotHere:
        raise
    except Exception as error:
        evidence.append(f"{error}\n{source_of(error, file)}")


def answer(handlers: dict[str, Handler], line: str) -> dict[str, Any]:
    """Run the request of a line; whatever goes wrong is part of the answer."""
    request = json.loads(line)
    try:
        return {"ok": True, **handlers[request["op"]](request)}
    except NotHere as error:
        return {"ok": False, "not_here": True, "error": str(error)}
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(last.filename)}:{last.lineno}"
        text = " ".join(COLOURS.sub("", str(error)).split())[:500]
        return {"ok": False, "error": f"{type(error).__name__} at {where}: {text}"}


def serve(handlers: dict[str, Handler]) -> None:
    """Answer requests until the input ends. What a framework prints goes to standard error."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    # What the framework's import made stays; without this each collection would walk over it.
    gc.freeze()
    print(json.dumps({"ok": True, "ready": True}), file=channel, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(handlers, line)), file=channel, flush=True)
