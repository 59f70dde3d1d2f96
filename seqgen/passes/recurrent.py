"""Recurrent layers become cells that run over steps, by an operator of the target or in a loop.

A masked step leaves states alone, so a cell under any mask gives what it gives for the kept steps
alone: they are moved to the front, and what comes out is put back. Running backwards is running
forwards over reversed steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from seqgen.ir.graph import Model, Node
from seqgen.ir.sequences import (
    BothWays,
    Fused,
    Join,
    JoinHalves,
    KeptFirst,
    LastStep,
    Lengths,
    Loop,
    Reverse,
    Spread,
)
from seqgen.ir.types import TensorType
from seqgen.layers.base import Layer, Weight
from seqgen.layers.recurrent import _Recurrent
from seqgen.layers.regularization import Dropout
from seqgen.layers.wrappers import Bidirectional
from seqgen.passes.cells import (
    Cells,
    cells_of,
    drops_by_gate,
    grouped,
    halves,
    of_both,
    of_images,
    output_of,
    pads_of,
    told_apart,
    trainable,
)
from seqgen.passes.line import Line

SAME_NOISE_EACH_STEP = (None, 1, None)


@dataclass(frozen=True)
class Style:
    """How a target runs cells.

    Attributes:
        fuses: Whether it has an operator for a cell.
        layout: What its operators and loops want sequences in: `spec` or `time_first`.
        takes_masks: Whether its operators are written such that they take any mask, which loops do
            in every target. Else they take lengths, and the kept steps at the front.
        trains: Whether it has a training mode, in which inputs are dropped.
    """

    fuses: Callable[[Layer], bool]
    layout: str
    takes_masks: bool
    trains: bool


class _Lowering:
    """A model's recurrent layers as a target runs them."""

    def __init__(self, model: Model, style: Style) -> None:
        self._model = model
        self._style = style
        self._known_lengths: dict[str, Node] = {}

    def __call__(self, node: Node) -> list[Node] | None:
        """The nodes that stand for a recurrent layer."""
        if isinstance(node.layer, Bidirectional):
            return self._named(node, self._both(node))
        if not isinstance(node.layer, _Recurrent):
            return None
        line = self._line(node)
        self._run(line, node.layer, node.weights)
        return self._named(node, line.close())

    def _line(self, node: Node, part: str = "") -> Line:
        x, *masks = (self._model.by_name[name] for name in node.inputs)
        return Line(node, part, x, *masks)

    def _named(self, node: Node, nodes: list[Node]) -> list[Node]:
        return [*nodes[:-1], replace(nodes[-1], mask=node.mask)]

    def _lengths(self, line: Line) -> Node:
        """How many steps the mask of a line keeps; found once for each mask."""
        mask = line.mask
        assert mask is not None
        name = mask.inputs[0] if isinstance(mask.layer, Reverse) else mask.name
        if name not in self._known_lengths:
            kind = TensorType(mask.type.shape[:1], mask.type.axes[:1], "int32")
            made = Node(f"{name}.lengths", Lengths(), (name,), kind, line.node.source)
            self._known_lengths[name] = made
            line.nodes.append(made)
        return self._known_lengths[name]

    def _fuses(self, layer: Layer, masked: bool) -> bool:
        """Whether the target's operators run all cells.

        One that takes no lengths does not know the state at the last kept step.
        """
        loses_states = layer.stateful and masked and self._style.takes_masks
        return not loses_states and all(map(self._style.fuses, cells_of(layer)))

    # One way

    def _run(self, line: Line, layer: Layer, weights: tuple[Weight, ...]) -> None:
        """Run all cells of a layer over the steps of a line."""
        if layer.go_backwards:
            line.reverse()
        fuses = self._fuses(layer, line.mask is not None)
        cells = list(zip(cells_of(layer), grouped(weights), strict=True))
        if fuses and line.mask is not None and not self._style.takes_masks:
            self._run_packed(line, layer, cells)
        else:
            self._run_cells(line, layer, cells, fuses)

    def _run_cells(self, line: Line, layer: Layer, cells: Cells, fuses: bool) -> None:
        """Run cells that take the mask as it is."""
        for cell, weights in cells:
            last = cell is cells[-1][0]
            self._drop(line, cell)
            op = self._op(layer, cell, fuses, layer.return_sequences or not last)
            op = of_images(op, layer, line.last.type)
            kind = output_of(line.last.type, layer, cell, op.return_sequences)
            name = cell.name or cell.auto_name
            more = {**line.owned(cells, cell, weights), "pads": pads_of(layer, line.last.type)}
            line.add(name, op, kind, line.mask, **more)

    def _op(self, layer: Layer, cell: Layer, fuses: bool, sequences: bool) -> Fused | Loop:
        """What runs a cell of a layer."""
        images = layer.layout == "channels_first"
        layout = layer.layout if images else self._style.layout
        size = self._model.by_name[self._model.inputs[0]].type.shape[0]
        batch = size if layer.stateful and isinstance(size, int) else None
        zeros = sequences == layer.return_sequences and layer.zero_output_for_mask
        return (Fused if fuses else Loop)(cell, sequences, batch, layout, zeros)

    def _run_packed(self, line: Line, layer: Layer, cells: Cells) -> None:
        """Run cells that take lengths, over the kept steps."""
        mask, lengths = line.mask, self._lengths(line)
        assert mask is not None
        line.add("kept", KeptFirst(), line.last.type, mask, packed=mask.name)
        # Where all steps of a row are masked, its last output is zeros, whatever its states are.
        whole = layer.return_sequences or layer.zero_output_for_mask or layer.stateful
        for cell, weights in cells:
            op = self._op(layer, cell, True, whole or cell is not cells[-1][0])
            kind = output_of(line.last.type, layer, cell, op.return_sequences)
            more = {**line.owned(cells, cell, weights), "packed": mask.name}
            line.add(cell.name or cell.auto_name, op, kind, lengths, **more)
        if whole:
            line.add("spread", Spread(layer.zero_output_for_mask), line.last.type, mask)
        if whole and not layer.return_sequences:
            line.add("last", LastStep(), output_of(line.last.type, layer, cells[-1][0], False))

    def _drop(self, line: Line, cell: Layer) -> None:
        """Drop inputs as Keras does: the same ones at every step of a sample."""
        if self._style.trains and cell.dropout and not drops_by_gate(cell):
            noise = Dropout(cell.dropout, SAME_NOISE_EACH_STEP, cell.seed)
            line.add("dropped", noise, line.last.type, part=f"{line.part}_dropout".strip("_"))

    # Both ways

    def _both(self, node: Node) -> list[Node]:
        """The nodes that stand for a layer that runs both ways."""
        ways, masked = (node.layer.forward, node.layer.backward), len(node.inputs) > 1
        if self._differ(node, *ways):
            return self._each_way(node)
        alike = told_apart(cells_of(ways[0])[0]) == told_apart(cells_of(ways[1])[0])
        fuses = alike and all(self._fuses(way, masked) for way in ways)
        loses_masks = masked and self._style.takes_masks
        if fuses and not (ways[0].stateful or loses_masks):
            return self._at_once(node)
        return self._side_by_side(node) if self._style.takes_masks else self._each_way(node)

    def _differ(self, node: Node, forward: Layer, backward: Layer) -> bool:
        """Whether two directions need nodes of their own."""
        ways, x = (forward, backward), self._model.input_of(node).type
        stacked = any(len(cells_of(way)) > 1 for way in ways)
        drops = any(cell.dropout for way in ways for cell in cells_of(way))
        ahead, back = halves(node)
        mixed = trainable(node, ahead) != trainable(node, back)
        apart = len({(getattr(way, "data_format", ""), pads_of(way, x)) for way in ways}) > 1
        training = self._style.trains and (drops or mixed)
        return stacked or training or apart or bool(forward.go_backwards)

    def _at_once(self, node: Node) -> list[Node]:
        """One operator that runs both ways."""
        layer, line = node.layer.forward, self._line(node)
        (cell,), mask = cells_of(layer), line.mask
        lengths = self._lengths(line) if mask else None
        if mask is not None:
            line.add("kept", KeptFirst(), line.last.type, mask, packed=mask.name)
        op = replace(self._op(layer, cell, True, layer.return_sequences), bidirectional=True)
        kind = output_of(line.last.type, layer, cell, layer.return_sequences)
        kind = replace(kind, shape=(*kind.shape[:-1], 2 * cell.units))
        more = {**of_both(node), "packed": mask.name if mask else None}
        line.add("both", op, kind, lengths, **more)
        if mask is not None and layer.return_sequences:
            line.add("spread", Spread(layer.zero_output_for_mask), kind, mask)
        if node.layer.merge_mode != "concat":
            line.add("joined", JoinHalves(node.layer.merge_mode), node.type)
        return line.close()

    def _side_by_side(self, node: Node) -> list[Node]:
        """One module that has one for each way."""
        masked, ways = len(node.inputs) > 1, (node.layer.forward, node.layer.backward)
        made = (
            self._op(way, cells_of(way)[0], self._fuses(way, masked), way.return_sequences)
            for way in ways
        )
        x = self._model.input_of(node).type
        ops = [of_images(op, way, x) for op, way in zip(made, ways, strict=True)]
        both = BothWays(*ops, node.layer.merge_mode)
        return [replace(node, layer=both, pads=pads_of(ways[0], x), **of_both(node))]

    def _each_way(self, node: Node) -> list[Node]:
        """One way, then the other."""
        nodes: list[Node] = []
        ends = []
        ways = (("forward", node.layer.forward), ("backward", node.layer.backward))
        for (part, layer), own in zip(ways, halves(node), strict=True):
            line = self._line(node, part)
            self._run(line, layer, own)
            # The second direction's steps come out in the order in which they were taken.
            if part == "backward" and layer.return_sequences:
                line.add("turned", Reverse(), line.last.type)
            nodes += line.close()
            ends.append(nodes[-1].name)
        join = Node(node.name, Join(node.layer.merge_mode), tuple(ends), node.type, node.source)
        return [*nodes, join]


def lower_recurrent(model: Model, style: Style) -> Model:
    """Say every recurrent layer by cells that run over steps."""
    return model.rewrite(_Lowering(model, style))
