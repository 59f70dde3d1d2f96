"""Run the benchmarks of the names given, or all of them."""

import argparse

from tests.benchmarks import convert, generate, latency, length, torch_code

BENCHMARKS = {
    "generate": generate.main,
    "length": length.main,
    "torch": torch_code.main,
    "latency": latency.main,
    "convert": convert.main,
    "large": convert.large,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    for name in names:
        print(f"\n== {name}: {(BENCHMARKS[name].__doc__ or '').splitlines()[0]}", flush=True)
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
