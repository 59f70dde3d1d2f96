"""What went where: a table in a terminal, plain lines in a pipe, JSON."""

import json
from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("key", "source", "target", "shape", "dtype")


@dataclass(frozen=True)
class Ported:
    """A variable that went from one file into another.

    Attributes:
        key: Its path below the model, joined by dots.
        source: Its names in the source: several where it lies there in parts.
        target: Its names in the target.
        shape: Its shape in Keras layout.
        dtype: Name of its dtype.
    """

    key: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str

    def cells(self) -> tuple[str, ...]:
        """The row as texts, one for each column."""
        names = (" + ".join(self.source), " + ".join(self.target))
        return (self.key, *names, str(self.shape), self.dtype)


@dataclass(frozen=True)
class Porting:
    """What `port_weights` did.

    Attributes:
        source: The file that was read.
        target: The file that was written.
        rows: Every variable, in the order of the model.
        left_out: What the source holds besides, and Keras has no variable for.
        matched: Whether variables were found by their `names` or by the `order` of modules.
    """

    source: str
    target: str
    rows: tuple[Ported, ...]
    left_out: tuple[str, ...] = ()
    matched: str = "names"

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def lines(self) -> list[str]:
        """The rows as lines for other programs: cells with a tab between them."""
        lines = ["\t".join(_printable(cell) for cell in row.cells()) for row in self.rows]
        lines += [f"left out\t{_printable(name)}" for name in self.left_out]
        return lines + (["matched by\torder"] if self.matched == "order" else [])

    def print(self, console: Any = None) -> None:
        """Print a table in a terminal, and plain lines elsewhere."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = console or Console()
        if not console.is_terminal:
            console.file.write("".join(f"{line}\n" for line in self.lines()))
            return
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in COLUMNS:
            table.add_column(name, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(_printable(cell)) for cell in row.cells()))
        console.print(table)
        for name in self.left_out:
            console.print(Text(f"left out: {_printable(name)}, which Keras does not have"))
        how = ", matched by order" if self.matched == "order" else ""
        console.print(Text(f"{len(self.rows)} variables{how}: {self.source} -> {self.target}"))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
