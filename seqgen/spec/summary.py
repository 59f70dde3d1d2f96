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
from seqgen.layers.state import Variable
from seqgen.spec.container import Container
from seqgen.spec.entry import Input
from seqgen.spec.functional import Model
from seqgen.spec.tensors import Call, Tensor

if TYPE_CHECKING:
    from seqgen.spec.container import Item

HEADER = ("Layer (type)", "Output Shape", "Param #")
POSITIONS = (0.45, 0.80, 1.0)
LINE_LENGTH = 88
# Of a graph that is no chain.
CONNECTED = "Connected to"
GRAPH_POSITIONS = (0.3, 0.56, 0.74, 1.0)
GRAPH_LINE_LENGTH = 108
# What Keras calls the classes that have other names here.
KERAS_NAMES = {"Input": "InputLayer", "Model": "Functional"}
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


class Calls:
    """The calls of the layers of a model, those of each in the order in which they were made.

    Args:
        model: The model.
    """

    def __init__(self, model: Container) -> None:
        self._entries = {id(entry): entry.tensor.type for entry in model.entries}
        self._own: dict[int, list[Call]] = {}
        # The number of each call among all calls of its layer.
        self._number: dict[int, int] = {}
        for call in model.own_calls():
            own, made = self._own.setdefault(id(call.item), []), call.item.calls
            self._number[id(call)] = made.index(call) if call in made else len(made) + len(own)
            own.append(call)
        for calls in self._own.values():
            calls.sort(key=lambda call: self._number[id(call)])

    def shapes(self, item: "Item | Input") -> str:
        """The shape that a layer gave last, or a list of those of several tensors."""
        if isinstance(item, Input):
            return shape(self._entries[id(item)])
        shapes = [shape(tensor.type) for tensor in self._own[id(item)][-1].outputs]
        return shapes[0] if len(shapes) == 1 else f"[{', '.join(shapes)}]"

    def connections(self, item: "Item | Input") -> str:
        """What a layer reads."""
        read = [tensor for call in self._own.get(id(item), ()) for tensor in call.inputs]
        return ", ".join(map(self._place, read)) or "-"

    def _place(self, tensor: Tensor) -> str:
        """What makes a tensor, in which call, and which of several it is."""
        call = 0 if tensor.call is None else self._number[id(tensor.call)]
        return f"{escape(tensor.name)}[{number(call)}][{number(tensor.index)}]"


def _items(model: Container) -> "list[Item | Input]":
    """What the table has a row for: of a graph, also the operations."""
    return model.operations if isinstance(model, Model) else model.layers


def _is_chain(model: Container) -> bool:
    """Whether each layer reads just the one before, and none is called twice."""
    items = {id(reading.item) for reading in model.steps}
    in_line = all(
        len(reading.reads) == 1 and reading.reads[0][0] == place
        for place, reading in enumerate(model.steps)
    )
    return len(model.entries) == 1 and in_line and len(items) == len(model.steps)


def _rows(
    model: Container,
    items: "list[Item | Input]",
    expand: bool,
    options: tuple[bool, bool],
    level: int = 0,
) -> Iterator[list[str]]:
    """The cells of each layer, and of those within.

    Args:
        model: The model.
        items: Those of its layers that are shown.
        expand: Whether to show the layers of models within.
        options: Whether to show what a layer is connected to, and whether it is trainable.
        level: How many models there are around it.
    """
    calls, (connected, show_trainable) = Calls(model), options
    prefix = "   " * level + "└ " if level else ""
    for item in items:
        own = type(item).__name__
        kind = f"[color(33)]{KERAS_NAMES.get(own, own)}[/]"
        row = [f"{escape(f'{prefix}{item.name}')} ({kind})", calls.shapes(item)]
        row.append(number("0" if isinstance(item, Input) else f"{item.count_params():,}"))
        row += [calls.connections(item) if not level else "-"] if connected else []
        yield row + ([_trainable(item)] if show_trainable else [])
        if expand and isinstance(item, Container):
            yield from _rows(item, item.layers, expand, options, level + 1)


def _trainable(item: "Item | Input") -> str:
    if isinstance(item, Input) or not item.variables:
        return "[bold]-[/]"
    return "[bold][color(34)]Y[/][/]" if item.trainable else "[bold][color(9)]N[/][/]"


def _columns(
    line_length: int | None, positions: Sequence[float] | None, options: tuple[bool, bool]
) -> tuple[list[Column], int]:
    connected, show_trainable = options
    header = [*HEADER, CONNECTED] if connected else list(HEADER)
    length = GRAPH_LINE_LENGTH if connected else LINE_LENGTH
    places = list(positions or (GRAPH_POSITIONS if connected else POSITIONS))
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
    alignment = {"Param #": "right", "Trainable": "center"}
    columns = [
        Column(name, justify=alignment.get(name, "left"), width=width)  # type: ignore[arg-type]
        for name, width in zip(header, widths, strict=False)
    ]
    return columns, length


def _range(items: "list[Item | Input]", layer_range: Sequence[str] | None) -> tuple[int, int]:
    """Indices of the first layer to show and of the one behind the last."""
    if layer_range is None:
        return 0, len(items)
    if len(layer_range) != 2 or not all(isinstance(name, str) for name in layer_range):
        raise SpecError(f"layer_range: expected two names of layers, received {layer_range}")
    first, last = (
        [i for i, item in enumerate(items) if re.match(name, item.name or "")]
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
    model: Container,
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
    options = not _is_chain(model), show_trainable
    columns, width = _columns(line_length, positions, options)
    table = Table(*columns, width=width, show_lines=True)
    items = _items(model)
    start, stop = _range(items, layer_range)
    for row in _rows(model, items[start:stop], expand_nested, options):
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
