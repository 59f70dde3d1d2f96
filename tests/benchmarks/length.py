"""Long specs: time must grow with their length and no faster."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

import seqgen
from seqgen.generator import Options, program
from seqgen.targets import TARGETS
from tests.benchmarks.networks import long

LENGTHS = (100, 1_000, 10_000)


def timed(times: dict[str, float], what: str, function: Callable[[], Any]) -> Any:
    """Call a function and note the CPU time it takes."""
    start = time.process_time()
    result = function()
    times[what] = time.process_time() - start
    return result


def steps(path: Path) -> dict[str, float]:
    """CPU seconds of every step from a file to the programs."""
    times: dict[str, float] = {}
    model = timed(times, "load", lambda: seqgen.load(path))
    graph = timed(times, "infer", model.graph)
    for name, target in TARGETS.items():
        timed(times, f"lower {name}", lambda target=target: target.lower(graph, "native"))
        timed(times, f"write {name}", lambda target=target: program(graph, target, Options()))
    return times


def main() -> None:
    """Milliseconds per layer of a spec of 100, 1,000 and 10,000 layers."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        for length in LENGTHS:
            path = Path(name, f"{length}.yaml")
            # By way of JSON, so that no two layers are one object, which YAML would say.
            plain = json.loads(json.dumps(long(length)))
            path.write_text(yaml.safe_dump(plain), encoding="utf-8")
            found.append({key: 1e3 * t / length for key, t in steps(path).items()})
    print(f"  {'ms per layer':15}" + "".join(f"{length:>10,}" for length in LENGTHS))
    for step in found[0]:
        print(f"  {step:15}" + "".join(f"{times[step]:10.3f}" for times in found))
    totals = [sum(times.values()) for times in found]
    print(f"  {'total':15}" + "".join(f"{total:10.3f}" for total in totals))
    print(f"  growth per layer from {LENGTHS[1]:,} to {LENGTHS[2]:,}: {totals[2] / totals[1]:.2f}")
