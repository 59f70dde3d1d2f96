"""The table that `summary()` prints: the columns, numbers and words of Keras 3."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from seqgen.errors import SpecError
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer
from seqgen.layers.state import Variable

if TYPE_CHECKING:
    from seqgen.spec.container import Container, Item

HEADER = ("Layer (type)", "Output Shape", "Param #")
POSITIONS = (0.45, 0.80, 1.0)
LINE_LENGTH = 88
BYTES = {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2}


def number(value: object) -> str:
    """A number in the color that Keras gives it; an open size in another."""
    return f"[color({45 if value is None else 34})]{value}[/]"


def memory(variables: Sequence[Variable]) -> str:
    """How much room variables take, in the largest unit that leaves something before the point."""
    size: float = sum(variable.size * BYTES.get(variable.dtype, 4) for variable in variables)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


def shape(y: TensorType) -> str:
    """The shape of an output."""
    return f"({', '.join(map(number, y.keras_shape))})"


def _rows(
    model: "Container", start: int, stop: int, expand: bool, show_trainable: bool, level: int = 0
) -> Iterator[list[str]]:
    """The cells of each layer, and of those within."""
    prefix = "   " * level + "└ " if level else ""
    for layer, y in list(zip(model.layers, model.types, strict=True))[start:stop]:
        kind = f"[color(33)]{type(layer).__name__}[/]"
        row = [f"{escape(f'{prefix}{layer.name}')} ({kind})", shape(y)]
        yield row + _counts(layer, show_trainable)
        if expand and not isinstance(layer, Layer):
            yield from _rows(layer, 0, len(layer.layers), expand, show_trainable, level + 1)


def _counts(layer: "Item", show_trainable: bool) -> list[str]:
    cells = [number(f"{layer.count_params():,}")]
    if not show_trainable:
        return cells
    if not layer.variables:
        return [*cells, "[bold]-[/]"]
    yes, no = "[bold][color(34)]Y[/][/]", "[bold][color(9)]N[/][/]"
    return [*cells, yes if layer.trainable else no]


def _columns(
    line_length: int | None, positions: Sequence[float] | None, show_trainable: bool
) -> tuple[list[Column], int]:
    header, length = list(HEADER), LINE_LENGTH
    places = list(positions or POSITIONS)
    if show_trainable:
        length += 12
        header.append("Trainable")
        places = [place * 0.90 for place in places] + [1.0]
    length = line_length or min(length, shutil.get_terminal_size().columns - 4)
    ends = [int(place * length) for place in places]
    widths, end = [], 0
    for place in ends:
        widths.append(place - end)
        end += widths[-1]
    if min(widths) < 4:
        raise SpecError(f"a line of {length} characters is too short for a summary")
    alignment = ("left", "left", "right", "center")
    columns = [
        Column(name, justify=justify, width=width)  # type: ignore[arg-type]
        for name, justify, width in zip(header, alignment, widths, strict=False)
    ]
    return columns, length


def _range(model: "Container", layer_range: Sequence[str] | None) -> tuple[int, int]:
    """Indices of the first layer to show and of the one behind the last."""
    if layer_range is None:
        return 0, len(model.layers)
    if len(layer_range) != 2 or not all(isinstance(name, str) for name in layer_range):
        raise SpecError(f"layer_range: expected two names of layers, received {layer_range}")
    first, last = (
        [i for i, layer in enumerate(model.layers) if re.match(name, layer.name or "")]
        for name in layer_range
    )
    if not first or not last:
        raise SpecError(f"layer_range: no layer of the model matches {layer_range}")
    if min(first) > max(last):
        return min(last), max(first) + 1
    return min(first), max(last) + 1


def _total(console: Console, name: str, variables: Sequence[Variable]) -> None:
    count = sum(variable.size for variable in variables)
    console.print(f"[bold] {name} params: [/]{number(f'{count:,}')} ({memory(variables)})")


def print_summary(
    model: "Container",
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], object] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Print the layers, shapes and parameter counts of a built model.

    The arguments are those of `Sequential.summary`.
    """
    columns, width = _columns(line_length, positions, show_trainable)
    table = Table(*columns, width=width, show_lines=True)
    start, stop = _range(model, layer_range)
    for row in _rows(model, start, stop, expand_nested, show_trainable):
        table.add_row(*row)
    if print_fn:
        console = Console(highlight=False, force_terminal=False, color_system=None)
        console.begin_capture()
    else:
        console = Console(highlight=False)
    console.print(f'[bold]Model: "{escape(model.name)}"[/]')
    console.print(table)
    _total(console, "Total", model.variables)
    _total(console, "Trainable", model.trainable_variables)
    _total(console, "Non-trainable", model.non_trainable_variables)
    if print_fn:
        print_fn(console.end_capture())
