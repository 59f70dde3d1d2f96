"""Nodes in the making that follow each other."""

from dataclasses import dataclass, field, replace

from seqgen.ir.graph import Node, Op
from seqgen.ir.sequences import Reverse
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer, Weight
from seqgen.passes.cells import Cells, trainable


@dataclass
class Line:
    """Nodes in the making that follow each other, beside the mask of what they work on.

    Attributes:
        node: The layer that they stand for.
        part: Of its name, where it has several.
        last: The node at the end.
        mask: The mask of its steps, if there is one.
    """

    node: Node
    part: str
    last: Node
    mask: Node | None = None
    nodes: list[Node] = field(default_factory=list)

    def _name(self, what: str) -> str:
        return ".".join(filter(None, (self.node.name, self.part, what)))

    def add(
        self, what: str, op: Op | Layer, kind: TensorType, *more: Node | None, **changes: object
    ) -> None:
        """Put a node at the end that reads the last one, and others."""
        read = (self.last, *more)
        inputs = tuple(node.name for node in read if node is not None)
        made = Node(self._name(what), op, inputs, kind, self.node.source, part=self.part)
        self.last = replace(made, **changes)
        self.nodes.append(self.last)

    def reverse(self) -> None:
        """Turn the steps around, and the mask with them."""
        self.add("reversed", Reverse(), self.last.type)
        if self.mask is not None:
            self.mask = self._beside("reversed_mask", Reverse(), self.mask)

    def _beside(self, what: str, op: Op, source: Node) -> Node:
        made = Node(self._name(what), op, (source.name,), source.type, self.node.source)
        made = replace(made, variable=what)
        self.nodes.append(made)
        return made

    def owned(self, cells: Cells, cell: Layer, weights: tuple[Weight, ...]) -> dict[str, object]:
        """What a node has that runs one of the cells of the layer."""
        name = (cell.name or cell.auto_name) if len(cells) > 1 else ""
        part = "_".join(filter(None, (self.part, name)))
        return {"weights": weights, "trainable": trainable(self.node, weights), "part": part}

    def close(self) -> list[Node]:
        """The nodes, the last one under the name of the layer or of its part."""
        return [*self.nodes[:-1], replace(self.nodes[-1], name=self._name(""))]
