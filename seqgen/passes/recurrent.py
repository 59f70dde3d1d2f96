"""Recurrent layers become cells that run over steps, by an operator of the target or in a loop.

A masked step leaves states alone, so a cell under any mask gives what it gives for the kept steps
alone: they are moved to the front, and what comes out is put back. Running backwards is running
forwards over reversed steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from seqgen.ir.graph import Model, Node, Op, Pads
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
from seqgen.ir.types import TensorType, channels_first_perm
from seqgen.layers.activation import Activation
from seqgen.layers.base import Layer, Weight
from seqgen.layers.recurrent import StackedRNNCells, _Recurrent
from seqgen.layers.regularization import Dropout
from seqgen.layers.wrappers import Bidirectional
from seqgen.passes.padding import amounts

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


def cells_of(layer: Layer) -> tuple[Layer, ...]:
    """The cells of a recurrent layer, the first one first."""
    return layer.cell.cells if isinstance(layer.cell, StackedRNNCells) else (layer.cell,)


def grouped(weights: tuple[Weight, ...]) -> list[tuple[Weight, ...]]:
    """The variables of each cell, with the names that they have there."""
    groups: dict[str, list[Weight]] = {}
    for weight in weights:
        prefix, _, name = weight.name.rpartition("/")
        groups.setdefault(prefix, []).append(replace(weight, name=name))
    return [tuple(group) for group in groups.values()]


@dataclass
class _Line:
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

    def close(self) -> list[Node]:
        """The nodes, the last one under the name of the layer or of its part."""
        return [*self.nodes[:-1], replace(self.nodes[-1], name=self._name(""))]


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

    def _line(self, node: Node, part: str = "") -> _Line:
        x, *masks = (self._model.by_name[name] for name in node.inputs)
        return _Line(node, part, x, *masks)

    def _named(self, node: Node, nodes: list[Node]) -> list[Node]:
        return [*nodes[:-1], replace(nodes[-1], mask=node.mask)]

    def _lengths(self, line: _Line) -> Node:
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

    def _run(self, line: _Line, layer: Layer, weights: tuple[Weight, ...]) -> None:
        """Run all cells of a layer over the steps of a line."""
        if layer.go_backwards:
            line.reverse()
        fuses = self._fuses(layer, line.mask is not None)
        cells = list(zip(cells_of(layer), grouped(weights), strict=True))
        if fuses and line.mask is not None and not self._style.takes_masks:
            self._run_packed(line, layer, cells)
        else:
            self._run_cells(line, layer, cells, fuses)

    def _run_cells(self, line: _Line, layer: Layer, cells: "Cells", fuses: bool) -> None:
        """Run cells that take the mask as it is."""
        for cell, weights in cells:
            last = cell is cells[-1][0]
            self._drop(line, cell)
            op = self._op(layer, cell, fuses, layer.return_sequences or not last)
            op = _of_images(op, layer, line.last.type)
            kind = _output(line.last.type, layer, cell, op.return_sequences)
            name = cell.name or cell.auto_name
            more = {**_owned(line, cells, cell, weights), "pads": _pads(layer, line.last.type)}
            line.add(name, op, kind, line.mask, **more)

    def _op(self, layer: Layer, cell: Layer, fuses: bool, sequences: bool) -> Fused | Loop:
        """What runs a cell of a layer."""
        images = layer.layout == "channels_first"
        layout = layer.layout if images else self._style.layout
        size = self._model.by_name[self._model.inputs[0]].type.shape[0]
        batch = size if layer.stateful and isinstance(size, int) else None
        zeros = sequences == layer.return_sequences and layer.zero_output_for_mask
        return (Fused if fuses else Loop)(cell, sequences, batch, layout, zeros)

    def _run_packed(self, line: _Line, layer: Layer, cells: "Cells") -> None:
        """Run cells that take lengths, over the kept steps."""
        mask, lengths = line.mask, self._lengths(line)
        assert mask is not None
        line.add("kept", KeptFirst(), line.last.type, mask, packed=mask.name)
        # Where all steps of a row are masked, its last output is zeros, whatever its states are.
        whole = layer.return_sequences or layer.zero_output_for_mask or layer.stateful
        for cell, weights in cells:
            op = self._op(layer, cell, True, whole or cell is not cells[-1][0])
            kind = _output(line.last.type, layer, cell, op.return_sequences)
            more = {**_owned(line, cells, cell, weights), "packed": mask.name}
            line.add(cell.name or cell.auto_name, op, kind, lengths, **more)
        if whole:
            line.add("spread", Spread(layer.zero_output_for_mask), line.last.type, mask)
        if whole and not layer.return_sequences:
            line.add("last", LastStep(), _output(line.last.type, layer, cells[-1][0], False))

    def _drop(self, line: _Line, cell: Layer) -> None:
        """Drop inputs as Keras does: the same ones at every step of a sample."""
        if self._style.trains and cell.dropout and not _drops_by_gate(cell):
            noise = Dropout(cell.dropout, SAME_NOISE_EACH_STEP, cell.seed)
            line.add("dropped", noise, line.last.type, part=f"{line.part}_dropout".strip("_"))

    # Both ways

    def _both(self, node: Node) -> list[Node]:
        """The nodes that stand for a layer that runs both ways."""
        layer = node.layer
        ways = layer.forward, layer.backward
        single = all(len(cells_of(way)) == 1 for way in ways)
        drops = self._style.trains and any(cell.dropout for way in ways for cell in cells_of(way))
        stateful, turned = ways[0].stateful, ways[0].go_backwards
        masked = len(node.inputs) > 1
        alike = _told_apart(ways[0].cell) == _told_apart(ways[1].cell)
        fuses = all(self._fuses(way, masked) for way in ways)
        mixed = self._style.trains and bool(ways[0].trainable) != bool(ways[1].trainable)
        x = self._model.input_of(node).type
        apart = len({(getattr(way, "data_format", ""), _pads(way, x)) for way in ways}) > 1
        if not single or drops or turned or mixed or apart:
            return self._each_way(node)
        if alike and fuses and not (stateful or (masked and self._style.takes_masks)):
            return self._at_once(node)
        return self._side_by_side(node) if self._style.takes_masks else self._each_way(node)

    def _at_once(self, node: Node) -> list[Node]:
        """One operator that runs both ways."""
        layer, line = node.layer.forward, self._line(node)
        mask = line.mask
        lengths = self._lengths(line) if mask else None
        if mask is not None:
            line.add("kept", KeptFirst(), line.last.type, mask, packed=mask.name)
        op = replace(self._op(layer, layer.cell, True, layer.return_sequences), bidirectional=True)
        kind = _output(line.last.type, layer, layer.cell, layer.return_sequences)
        kind = replace(kind, shape=(*kind.shape[:-1], 2 * layer.cell.units))
        more = {**_of_both(node), "packed": mask.name if mask else None}
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
            self._op(way, way.cell, self._fuses(way, masked), way.return_sequences) for way in ways
        )
        x = self._model.input_of(node).type
        ops = [_of_images(op, way, x) for op, way in zip(made, ways, strict=True)]
        both = BothWays(*ops, node.layer.merge_mode)
        return [replace(node, layer=both, pads=_pads(ways[0], x), **_of_both(node))]

    def _each_way(self, node: Node) -> list[Node]:
        """One way, then the other."""
        nodes: list[Node] = []
        ends = []
        ways = (("forward", node.layer.forward), ("backward", node.layer.backward))
        for (part, layer), own in zip(ways, _halves(node), strict=True):
            line = self._line(node, part)
            self._run(line, layer, own)
            # The second direction's steps come out in the order in which they were taken.
            if part == "backward" and layer.return_sequences:
                line.add("turned", Reverse(), line.last.type)
            nodes += line.close()
            ends.append(nodes[-1].name)
        join = Node(node.name, Join(node.layer.merge_mode), tuple(ends), node.type, node.source)
        return [*nodes, join]


def _pads(layer: Layer, x: TensorType) -> Pads | Literal["dynamic"] | None:
    """By how much a layer pads the images of a sequence; None if it has no images."""
    images = layer.layout == "channels_first"
    return amounts(layer.cell, layer.step_type(x)) if images else None


def _of_images(op: Fused | Loop, layer: Layer, x: TensorType) -> Fused | Loop:
    """What runs a cell of a layer over images, whose channels come to stand first."""
    if layer.layout != "channels_first":
        return op
    cell, step = op.cell, layer.step_type(x)
    state = cell.state_type(step)
    perm = channels_first_perm(state.rank, cell.channel_axis(state.rank))
    activations = {
        name: Activation(getattr(cell, name)).relayout(perm).activation
        for name in ("activation", "recurrent_activation")
    }
    shape = state.permuted(perm).sizes
    return replace(op, cell=replace(cell, **activations), state_shape=shape)


def _drops_by_gate(cell: Layer) -> bool:
    """Whether each gate of a cell drops inputs of its own, as Keras has it beside recurrent_dropout."""
    return bool(cell.recurrent_dropout) or hasattr(cell, "state_type")


def _halves(node: Node) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
    """The variables of both directions."""
    prefix = f"{node.layer.forward.name}/"
    count = sum(weight.name.startswith(prefix) for weight in node.weights)
    return node.weights[:count], node.weights[count:]


def _of_both(node: Node) -> dict[str, Any]:
    """What a node has that runs one cell both ways: the variables, the second ones by other names."""
    (forward,), (backward,) = map(grouped, _halves(node))
    weights = (*forward, *(replace(w, name=f"backward_{w.name}") for w in backward))
    return {"weights": weights, "trainable": _trainable(node, weights)}


Cells = list[tuple[Layer, tuple[Weight, ...]]]


def _told_apart(cell: Layer) -> tuple[type, dict[str, object]]:
    """What tells cells apart that one operator cannot run both ways."""
    said = cell.arguments()
    names = ("units", "activation", "recurrent_activation", "use_bias", "reset_after")
    return type(cell), {name: said[name] for name in names if name in said}


def _trainable(node: Node, weights: tuple[Weight, ...]) -> bool:
    return node.trainable and all(weight.trainable for weight in weights)


def _owned(
    line: _Line, cells: Cells, cell: Layer, weights: tuple[Weight, ...]
) -> dict[str, object]:
    """What a node has that runs a cell."""
    name = (cell.name or cell.auto_name) if len(cells) > 1 else ""
    part = "_".join(filter(None, (line.part, name)))
    return {"weights": weights, "trainable": _trainable(line.node, weights), "part": part}


def _output(x: TensorType, layer: Layer, cell: Layer, sequences: bool) -> TensorType:
    """The type of what a cell of a layer gives for a sequence."""
    if hasattr(cell, "state_type"):
        state = cell.state_type(layer.step_type(x))
    else:
        state = x.with_sizes((cell.units,))
    if not sequences:
        return state
    return replace(x, shape=(*x.shape[:2], *state.sizes))


def lower_recurrent(model: Model, style: Style) -> Model:
    """Say every recurrent layer by cells that run over steps."""
    return model.rewrite(_Lowering(model, style))
