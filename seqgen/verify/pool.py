"""Worker processes: one per framework, started when first asked and kept alive."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

WORKERS = Path(__file__).parent / "workers"
NEEDS = {"keras": ("keras",), "torch": ("torch",), "onnx": ("onnx", "onnxruntime")}
# A first import of TensorFlow from a cold disk takes most of a minute.
START_SECONDS = 300.0


class WorkerError(Exception):
    """A worker answered with an error, or did not answer at all.

    `not_here` tells that what was asked for is missing here, which says nothing about the program.
    """

    def __init__(self, message: str, not_here: bool = False) -> None:
        super().__init__(message)
        self.not_here = not_here


class Worker:
    """A process that runs one framework."""

    def __init__(self, framework: str, python: str, timeout: float) -> None:
        self._timeout = timeout
        self._log = tempfile.TemporaryFile("w+b")
        quiet = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "0",
            "CUDA_MODULE_LOADING": "LAZY",
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [python, "-u", str(WORKERS / f"{framework}_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**quiet, **os.environ},
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._receive(START_SECONDS)

    def _listen(self) -> None:
        out: IO[str] | None = self._process.stdout
        assert out is not None
        for line in out:
            self._answers.put(line)
        self._answers.put("")

    def _receive(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise WorkerError(f"no answer within {timeout:.0f} s") from None
        if not line:
            raise WorkerError(f"the process ended: {self._last_words()}", self._is_missing())
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise WorkerError(answer["error"], answer.get("not_here", False))
        return answer

    def _output(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()

    def _last_words(self) -> str:
        return (self._output().splitlines() or ["it said nothing"])[-1][:300]

    def _is_missing(self) -> bool:
        return "ModuleNotFoundError" in self._last_words()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            WorkerError: The worker failed, died, or took too long.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except OSError:
            raise WorkerError(f"the process ended: {self._last_words()}") from None
        return self._receive(self._timeout)

    @property
    def alive(self) -> bool:
        """Whether the process can still be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()


class Pool:
    """The workers of a run, by framework.

    Args:
        pythons: The interpreter of each framework's environment; this one's by default.
        timeout: Longest time in seconds for one request.
    """

    def __init__(self, pythons: Mapping[str, str] | None = None, timeout: float = 900.0) -> None:
        self._pythons = dict(pythons or {})
        self._timeout = timeout
        self._workers: dict[str, Worker] = {}
        self._failed: dict[str, WorkerError] = {}

    def ask(self, framework: str, op: str, **request: Any) -> dict[str, Any]:
        """Send a request to a framework's worker, which is started if it is not running.

        Raises:
            WorkerError: The framework is not here, or the request failed.
        """
        if framework in self._failed:
            raise self._failed[framework]
        worker = self._workers.get(framework)
        if worker is None or not worker.alive:
            python = self._pythons.get(framework, sys.executable)
            try:
                worker = self._workers[framework] = Worker(framework, python, self._timeout)
            except WorkerError as error:
                self._failed[framework] = error
                raise
        return worker.ask({"op": op, **request})

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
