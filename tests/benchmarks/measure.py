"""How things are measured: whole processes by time and memory, functions in turns."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class Process:
    """What a process took.

    Attributes:
        seconds: From its start to its end.
        cpu: Of all its threads, in seconds; what else the machine does hardly changes this.
        megabytes: Its peak of resident memory.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    megabytes: float = 0.0

    def __add__(self, other: "Process") -> "Process":
        """Both, one after the other."""
        return Process(
            self.seconds + other.seconds,
            self.cpu + other.cpu,
            max(self.megabytes, other.megabytes),
        )

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.cpu:.2f} s of CPU), peak {self.megabytes:.0f} MB"


def run(*command: object, folder: Path = ROOT, **more: str) -> Process:
    """Run a command to its end, and measure it alone.

    Args:
        *command: The program and its arguments.
        folder: Where it runs.
        **more: Environment variables.

    Raises:
        RuntimeError: It failed; with its last words.
    """
    path = folder / ".output"
    with path.open("w+b") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **QUIET, **more},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        words = output.read().decode(errors="replace")
    path.unlink()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{words[-2000:]}")
    return Process(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def write_json(value: Any, path: Path) -> None:
    """Write a value for another process."""
    path.write_text(json.dumps(value), encoding="utf-8")


def evict(path: Path) -> None:
    """Have the system forget what it keeps of a file in memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def python(code: str, folder: Path = ROOT, **more: str) -> Process:
    """Run Python code as a process of its own."""
    return run(sys.executable, "-c", code, folder=folder, **more)


def seqgen(*arguments: object, **more: str) -> Process:
    """Run the installed command."""
    return run(Path(sys.executable).with_name("seqgen"), *arguments, **more)


def in_turns(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, list[float]]:
    """Seconds of CPU of each call, the functions called in turns, so that all see the same weather.

    By the clock that is meant, they must compute in the thread that calls them. What else the
    machine does then disturbs the ratios of their times least.
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds):
        # Back and forth, so that none always follows the same other one.
        for name in list(functions)[:: 1 if turn % 2 else -1]:
            start = clock()
            functions[name]()
            times[name].append(clock() - start)
    return times


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Median of the ratios of neighbouring calls."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def milliseconds(times: Sequence[float]) -> str:
    """Median and minimum."""
    return f"{statistics.median(times) * 1e3:.2f} ({min(times) * 1e3:.2f}) ms"
