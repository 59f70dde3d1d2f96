"""Worker processes: one per framework, started when first asked and kept alive."""

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

WORKERS = Path(__file__).parent / "workers"
# What installs a framework.
EXTRAS = {"keras": "seqgen[keras]", "torch": "seqgen[torch]", "onnx": "onnx and onnxruntime"}
# A first import of TensorFlow from a cold disk takes most of a minute.
START_SECONDS = 300.0
# A framework whose process ends or hangs so often in a row is not asked again.
MOST_LOSSES = 3
MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


class WorkerError(Exception):
    """A worker answered with an error, or did not answer at all.

    Attributes:
        not_here: What was asked for is missing here, or nothing answered; that says nothing about
            the program.
        lost: The process is gone.
    """

    def __init__(self, message: str, not_here: bool = False, lost: bool = False) -> None:
        super().__init__(message)
        self.not_here = not_here or lost
        self.lost = lost


class Worker:
    """A process that runs one framework."""

    def __init__(self, framework: str, python: str, timeout: float, starting: float) -> None:
        self._timeout = timeout
        self._python = python
        self._framework = framework
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (closed with the process)
        quiet = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "0",
            "CUDA_MODULE_LOADING": "LAZY",
            "PYTHONWARNINGS": "ignore",
        }
        try:
            self._process = subprocess.Popen(
                [python, "-u", str(WORKERS / f"{framework}_worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env={**quiet, **os.environ},
            )
        except OSError as error:
            self._log.close()
            raise WorkerError(f"{python} does not start: {error.strerror}", lost=True) from None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._receive(starting)

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
            raise WorkerError(f"no answer within {timeout:g} s", lost=True) from None
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise WorkerError(answer["error"], answer.get("not_here", False))
        return answer

    def _ended(self) -> WorkerError:
        """What to say of a process that is gone."""
        code = self._process.wait()
        self._log.seek(0)
        output = self._log.read().decode(errors="replace").strip()
        missing = MISSING.search(output)
        self.close()
        if missing:
            needed = f"{missing[1]} is not installed in {self._python}"
            return WorkerError(f"{needed}; install {EXTRAS[self._framework]}", lost=True)
        how = f"ended with exit status {code}" if code >= 0 else f"was ended by signal {-code}"
        words = (output.splitlines() or ["it said nothing"])[-1][:300]
        return WorkerError(f"the process {how}: {words}", lost=True)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            WorkerError: The worker failed, died, or took too long.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except OSError:
            raise self._ended() from None
        return self._receive(self._timeout)

    @property
    def alive(self) -> bool:
        """Whether the process can still be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()


class Pool:
    """The workers of a run, by framework.

    Args:
        pythons: The interpreter of each framework's environment; this one's by default.
        timeout: Longest time in seconds for one request.
        starting: Longest time in seconds until a framework is imported.
    """

    def __init__(
        self,
        pythons: Mapping[str, str] | None = None,
        timeout: float = 900.0,
        starting: float = START_SECONDS,
    ) -> None:
        self._pythons = dict(pythons or {})
        self._timeout = timeout
        self._starting = starting
        self._workers: dict[str, Worker] = {}
        self._failed: dict[str, WorkerError] = {}
        self._losses: Counter[str] = Counter()

    def ask(self, framework: str, op: str, **request: Any) -> dict[str, Any]:
        """Send a request to a framework's worker, which is started if it is not running.

        Raises:
            WorkerError: The framework is not here, or the request failed.
        """
        if framework in self._failed:
            raise self._failed[framework]
        worker = self._worker(framework)
        try:
            answer = worker.ask({"op": op, **request})
        except WorkerError as error:
            self._losses[framework] = self._losses[framework] + 1 if error.lost else 0
            if self._losses[framework] >= MOST_LOSSES:
                self._failed[framework] = error
            raise
        self._losses[framework] = 0
        return answer

    def _worker(self, framework: str) -> Worker:
        worker = self._workers.get(framework)
        if worker is not None and worker.alive:
            return worker
        python = self._pythons.get(framework, sys.executable)
        try:
            made = Worker(framework, python, self._timeout, self._starting)
        except WorkerError as error:
            self._failed[framework] = error
            raise
        self._workers[framework] = made
        return made

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
