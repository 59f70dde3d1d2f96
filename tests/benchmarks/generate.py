"""`seqgen generate` as a whole process."""

import statistics
import tempfile
from pathlib import Path

from tests.benchmarks import measure
from tests.benchmarks.measure import Process

SPEC = measure.ROOT / "examples" / "guide_cnn.yaml"
ROUNDS = 9
FRAMEWORKS = ("tensorflow", "torch", "keras", "jax", "onnx", "onnxruntime")
LIST_MODULES = """
import sys
from seqgen.cli import main
main({arguments}, standalone_mode=False)
found = [name for name in {frameworks} if name in sys.modules]
print("frameworks in sys.modules:", found or "none", file=open({report}, "w"))
"""


def typical(processes: list[Process]) -> Process:
    """The one in the middle."""
    return sorted(processes, key=lambda process: process.seconds)[len(processes) // 2]


def main() -> None:
    """`seqgen generate` of the guide's CNN for all targets against the imports it cannot avoid."""
    with tempfile.TemporaryDirectory() as name:
        out, report = Path(name, "out"), Path(name, "report")
        empty = measure.seqgen("generate", SPEC, "-o", out, XDG_CACHE_HOME=f"{name}/cache")
        ours, base = [], []
        for _ in range(ROUNDS):
            ours.append(measure.seqgen("generate", SPEC, "-o", out))
            base.append(measure.python("import jinja2, numpy, black"))
        arguments = ["generate", str(SPEC), "-o", str(out)]
        code = LIST_MODULES.format(
            arguments=arguments, frameworks=FRAMEWORKS, report=repr(str(report))
        )
        measure.python(code)
        print(f"  seqgen generate              {typical(ours)}")
        print(f"  with empty caches            {empty}")
        print(f"  import jinja2, numpy, black  {typical(base)}")
        pairs = list(zip(ours, base, strict=True))
        ratio = statistics.median(a.seconds / b.seconds for a, b in pairs)
        cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
        print(f"  ratio {ratio:.2f} (at most 3), of CPU {cpu:.2f}")
        print(f"  {report.read_text().strip()}")
