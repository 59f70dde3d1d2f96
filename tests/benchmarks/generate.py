"""`seqgen generate` as a whole process."""

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import measure

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


def main() -> None:
    """`seqgen generate` of the guide's CNN for all targets against the imports it cannot avoid."""
    with tempfile.TemporaryDirectory() as name:
        out, report = Path(name, "out"), Path(name, "report")
        empty = measure.seqgen("generate", SPEC, "-o", out, XDG_CACHE_HOME=f"{name}/cache")
        ours, base = [], []
        for _ in range(ROUNDS):
            ours.append(measure.seqgen("generate", SPEC, "-o", out).seconds)
            base.append(measure.python("import jinja2, numpy, black").seconds)
        arguments = ["generate", str(SPEC), "-o", str(out)]
        code = LIST_MODULES.format(
            arguments=arguments, frameworks=FRAMEWORKS, report=repr(str(report))
        )
        measure.python(code)
        print(f"  seqgen generate                 {statistics.median(ours):.3f} s")
        print(f"  with empty caches (first ever)  {empty.seconds:.3f} s")
        print(f"  import jinja2, numpy, black     {statistics.median(base):.3f} s")
        print(f"  ratio {measure.ratio(ours, base):.2f} (at most 3), on Python {sys.version[:6]}")
        print(f"  {report.read_text().strip()}")
