"""Generate the checked-in programs of the examples again: `python -m tests.renew`."""

from pathlib import Path

import seqgen

EXAMPLES = Path(__file__).parents[1] / "examples"


def folder_of(spec: Path) -> Path:
    """Where the programs of an example are checked in."""
    return spec.with_suffix("")


def main() -> None:
    """Renew every example."""
    for spec in sorted(EXAMPLES.glob("*.yaml")):
        seqgen.generate(seqgen.load(spec), folder_of(spec), force=True)
        print(folder_of(spec))


if __name__ == "__main__":
    main()
