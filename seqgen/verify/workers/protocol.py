"""How a worker is talked to: one JSON object a line in and out, arrays in .npz files beside.

A worker is run as a script and imports nothing of seqgen, so that it may live in an environment
where only its framework is installed.
"""

import gc
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Request = dict[str, Any]
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


def read_arrays(path: str) -> list[np.ndarray]:
    """The arrays of a file in the order in which they were written."""
    with np.load(path, allow_pickle=False) as file:
        return [file[f"a{i}"] for i in range(len(file.files))]


def write_arrays(path: str, arrays: list[np.ndarray]) -> None:
    """Write arrays by position."""
    np.savez(path, **{f"a{i}": array for i, array in enumerate(arrays)})


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
        text = " ".join(str(error).split())[:500]
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
