"""What long ONNX programs consist of: functions, nodes that these make, and loops."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from seqgen.ir.graph import Node


@dataclass(frozen=True)
class Helper:
    """A function of the program that makes a layer of one operator.

    Attributes:
        name: Its name.
        op: The operator.
        weights: What the operator takes besides: names that hang on those of the `{layer}` among
            the weights, or of the node, `{name}`.
        part: What the name of the node has behind that of the layer.
    """

    name: str
    op: str
    weights: tuple[str, ...]
    part: str = ""


@dataclass(frozen=True)
class Short(Node):
    """A node as a long program writes it.

    Attributes:
        helper: The function of the program that makes it; None if that is `make_node`.
        given: What its attributes are where they differ between the uses of a function.
    """

    helper: Helper | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


def short_of(node: Node, helper: Helper | None, given: Mapping[str, Any]) -> Short:
    """The node as a long program writes it."""
    said = {own.name: getattr(node, own.name) for own in fields(Node)}
    return Short(**said, helper=helper, given=given)


@dataclass(frozen=True)
class Function:
    """A function of the program: it makes the nodes of a part that the graph has several times.

    Attributes:
        name: Its name.
        parameters: Its parameters as they are declared.
        variables: What it makes of them first.
        lines: The nodes.
    """

    name: str
    parameters: tuple[str, ...]
    variables: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """Statements in a row: some nodes and calls, or a loop over one call.

    Attributes:
        lines: The nodes and calls.
        bounds: First and last value of the variable of the loop, if it is one.
    """

    lines: tuple[str, ...]
    bounds: tuple[int, int] | None = None

    @property
    def call(self) -> str:
        """The call, if it is nothing else."""
        line, *more = self.lines
        return line[1:-1] if line.startswith("*") and not more else ""


@dataclass(frozen=True)
class Within:
    """A function of the program: it makes a model within.

    Attributes:
        name: Its name.
        path: That of the model.
        given: Names of the values that the model takes.
        pieces: The statements, whose names do without that of the model.
    """

    name: str
    path: str
    given: tuple[str, ...]
    pieces: tuple[Piece, ...]
