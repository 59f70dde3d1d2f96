"""Run the benchmarks of the names given, or all of them, each in a process of its own."""

import argparse
import importlib
import subprocess
import sys

# A process that starts others must be small: their peaks of memory begin with its own.
BENCHMARKS = {
    "generate": ("generate", "main"),
    "length": ("length", "main"),
    "convert": ("convert", "main"),
    "large": ("convert", "large"),
    "torch": ("torch_code", "main"),
    "latency": ("latency", "main"),
    "sequences": ("sequences", "main"),
    "training": ("training", "main"),
    "head": ("applications", "head"),
    "import": ("applications", "large"),
    "applications": ("applications", "everything"),
}


def run(name: str) -> None:
    """Run one benchmark here."""
    module, function = BENCHMARKS[name]
    benchmark = getattr(importlib.import_module(f"tests.benchmarks.{module}"), function)
    print(f"\n== {name}: {benchmark.__doc__}", flush=True)
    benchmark()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    if len(names) == 1:
        run(names[0])
        return 0
    commands = ([sys.executable, "-m", "tests.benchmarks", name] for name in names)
    return max([subprocess.run(command, check=False).returncode for command in commands])


if __name__ == "__main__":
    sys.exit(main())
