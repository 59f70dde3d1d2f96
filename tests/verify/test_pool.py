"""Workers that die, hang, or are not there: nothing of it counts as equal."""

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from seqgen.generator import Options
from seqgen.verify import Pool, Report, Settings, verify_graph
from seqgen.verify.pool import WorkerError
from tests.cases import graph_of

SPEC = {"name": "net", "input": [3], "layers": [{"Dense": {"units": 2, "name": "out"}}]}


def interpreter(folder: Path, script: str) -> str:
    """An interpreter that runs a script in place of the worker."""
    (folder / "worker.py").write_text(script, encoding="utf-8")
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/worker.py"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def without(folder: Path, *packages: str) -> str:
    """An interpreter of an environment in which packages are not installed."""
    for package in packages:
        text = f'raise ModuleNotFoundError("No module named {package!r}")\n'
        (folder / f"{package}.py").write_text(text, encoding="utf-8")
    path = folder / "python"
    lines = ["#!/bin/sh", f'PYTHONPATH="{folder}" exec "{sys.executable}" "$@"', ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


READY = """
import sys, os, time
print('{"ok": true}', flush=True)
for line in sys.stdin:
"""
ENDS = READY + "    sys.exit('the disk is full')\n"
IS_KILLED = READY + "    os.kill(os.getpid(), 9)\n"
HANGS = READY + "    time.sleep(60)\n"


class Beside(Pool):
    """Some frameworks in processes of its own, the others in those of another pool."""

    def __init__(self, other: Pool, pythons: Mapping[str, str], **limits: float) -> None:
        super().__init__(pythons, **limits)
        self._other = other

    def ask(self, framework: str, op: str, **request: Any) -> dict[str, Any]:
        if framework in self._pythons:
            return super().ask(framework, op, **request)
        return self._other.ask(framework, op, **request)


def report_with(pool: Pool, pythons: Mapping[str, str], **limits: float) -> Report:
    """Verify a small model for torch where some interpreters are others."""
    with Beside(pool, pythons, **limits) as beside:
        settings = Settings(Options(("torch",)), seeds=1, exporters=False)
        return verify_graph(graph_of(SPEC), settings, beside)


def assert_not_run(report: Report, reason: str) -> None:
    assert not report.ok
    assert {row.status for row in report.rows} == {"not run"}
    for row in report.rows:
        assert reason in row.note, row


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (ENDS, "the process ended with exit status 1: the disk is full"),
        (IS_KILLED, "the process was ended by signal 9"),
        ("raise SystemExit('no luck')", "the process ended with exit status 1: no luck"),
    ],
    ids=["ends", "is_killed", "does_not_start"],
)
def test_a_process_that_ends_is_not_run(
    script: str, reason: str, tmp_path: Path, pool: Pool
) -> None:
    assert_not_run(report_with(pool, {"torch": interpreter(tmp_path, script)}), reason)


def test_a_process_that_hangs_is_not_run(tmp_path: Path, pool: Pool) -> None:
    report = report_with(pool, {"torch": interpreter(tmp_path, HANGS)}, timeout=0.5)
    assert_not_run(report, "no answer within 0.5 s")


def test_a_process_that_never_is_ready_is_not_run(tmp_path: Path, pool: Pool) -> None:
    python = interpreter(tmp_path, "import time; time.sleep(60)")
    assert_not_run(report_with(pool, {"torch": python}, starting=0.5), "no answer within 0.5 s")


def test_a_missing_package_is_not_run_and_named(tmp_path: Path, pool: Pool) -> None:
    report = report_with(pool, {"torch": without(tmp_path, "torch")})
    assert_not_run(report, f"torch is not installed in {tmp_path}/python; install seqgen[torch]")


def test_without_keras_there_is_nothing_to_compare_with(tmp_path: Path, pool: Pool) -> None:
    report = report_with(pool, {"keras": without(tmp_path, "keras")})
    assert_not_run(report, "the oracle, Keras, did not run: keras is not installed")


def test_an_interpreter_that_is_not_there_is_not_run(tmp_path: Path, pool: Pool) -> None:
    report = report_with(pool, {"torch": str(tmp_path / "nowhere")})
    assert_not_run(report, "nowhere does not start: No such file")


@pytest.fixture(scope="module")
def blind() -> Iterator[Pool]:
    """Workers that see no GPU, whether there is one or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        with Pool() as pool:
            yield pool


def test_a_device_that_is_not_there_is_not_run(blind: Pool) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is built for CUDA")
    report = verify_graph(graph_of(SPEC), Settings(device="cuda", seeds=1), blind)
    assert not report.ok
    assert {row.status for row in report.rows} == {"not run"}
    reasons = {row.route: row.note for row in report.rows}
    assert reasons["keras"] == "Keras sees no GPU with tensorflow"
    assert reasons["torch"] == "PyTorch sees no CUDA device"
    assert reasons["onnx"] == "onnxruntime has no CUDAExecutionProvider here"


class Requests(Pool):
    """A pool that counts how many processes it starts."""

    started = 0

    def _worker(self, framework: str) -> Any:
        worker = self._workers.get(framework)
        self.started += worker is None or not worker.alive
        return super()._worker(framework)


def test_a_framework_that_is_lost_again_and_again_is_given_up(tmp_path: Path) -> None:
    with Requests({"torch": interpreter(tmp_path, ENDS)}) as pool:
        for _ in range(5):
            with pytest.raises(WorkerError, match="disk is full"):
                pool.ask("torch", "hello")
        assert pool.started == 3


def test_a_process_that_was_lost_is_started_again(tmp_path: Path) -> None:
    once = f"""
import os, sys
print('{{"ok": true}}', flush=True)
for line in sys.stdin:
    if not os.path.exists({str(tmp_path / "been")!r}):
        open({str(tmp_path / "been")!r}, "w").close()
        sys.exit(1)
    print('{{"ok": true, "version": "1"}}', flush=True)
"""
    with Pool({"torch": interpreter(tmp_path, once)}) as pool:
        with pytest.raises(WorkerError, match="ended with exit status 1"):
            pool.ask("torch", "hello")
        assert pool.ask("torch", "hello")["version"] == "1"


def test_processes_end_with_the_pool(tmp_path: Path) -> None:
    script = READY + "    print('{\"ok\": true, \"pid\": ' + str(os.getpid()) + '}', flush=True)\n"
    with Pool({"torch": interpreter(tmp_path, script)}) as pool:
        pid = pool.ask("torch", "hello")["pid"]
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
