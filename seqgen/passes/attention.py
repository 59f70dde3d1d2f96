"""Attention said by a mask of pairs of steps, and by what attends along the last axis but one."""

from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from seqgen.errors import UnsupportedError
from seqgen.ir.attention import Attend, AttendHeads, AttentionMask
from seqgen.ir.graph import Model, Node, Op
from seqgen.ir.types import TensorType, inverse
from seqgen.layers.attention import AdditiveAttention, _Attention, _Heads
from seqgen.layers.base import Layer
from seqgen.layers.core import Masking
from seqgen.layers.reshaping import Permute, Reshape
from seqgen.passes.layout import identity
from seqgen.passes.masks import masks_used


class After(NamedTuple):
    """A step behind what attends: what it is, what it gives, and what it reads besides."""

    layer: Layer
    type: TensorType
    reads: tuple[Node, ...] = ()


class _Lowering:
    """The nodes that stand for one layer of attention.

    Args:
        model: With the masks that layers read behind their inputs.
        node: The layer.
    """

    def __init__(self, model: Model, node: Node) -> None:
        self._node = node
        self._made: list[Node] = []
        sources, count = model.sources_of(node), len(node.masks)
        self._query, self._value, *more = sources[:count]
        self._key = more[0] if more else self._value
        self._given = more[1] if len(more) > 1 else None
        places = [place for place, _ in masks_used(model, node)]
        self._masks = dict(zip(places, sources[count:], strict=True))
        self._causal = bool(dict(node.arguments).get("use_causal_mask"))

    def _add(
        self, what: str, op: Layer | Op, kind: TensorType, *read: Node, variable: str = ""
    ) -> Node:
        inputs = tuple(node.name for node in read)
        name, source = f"{self._node.name}.{what}", self._node.source
        self._made.append(Node(name, op, inputs, kind, source, variable=variable))
        return self._made[-1]

    def _close(self, op: Op, kind: TensorType, mask: Node | None, *after: After) -> list[Node]:
        """All nodes; the last one has the name of the layer, and what attends has its weights.

        Args:
            op: What attends.
            kind: What it gives.
            mask: That of the pairs of steps, if there is one.
            after: What follows.
        """
        name, count = self._node.name, len(after)
        inner = [f"{name}.attended", *(f"{name}.step_{i}" for i in range(1, count))]
        names = [*inner[:count], name]
        read = (self._query, self._value, self._key, *([mask] if mask else []))
        bare = replace(self._node, layer=op, type=kind, masks=(), arguments=())
        last = replace(bare, name=names[0], inputs=tuple(node.name for node in read))
        made = [last]
        for own, step in zip(names[1:], after, strict=True):
            inputs = (last.name, *(node.name for node in step.reads))
            last = replace(
                bare, name=own, layer=step.layer, type=step.type, inputs=inputs, weights=()
            )
            made.append(last)
        return [*self._made, *made]

    def _mask(self, parts: list[tuple[str, Node]], window: int | None) -> Node:
        """The mask of pairs of steps that is made of others, and of where the steps stand."""
        query, value = self._query.type, self._value.type
        op = AttentionMask(tuple(name for name, _ in parts), self._causal, window)
        batch = query.shape[: query.rank - 2] if parts else ()
        every = not op.counts_steps and all(name == "value" for name, _ in parts)
        shape = (*batch, 1 if every else query.shape[-2], value.shape[-2])
        kind = TensorType(shape, (*query.axes[: len(batch)], "queries", "steps"), "bool")
        read = [self._query, self._value] if op.counts_steps else []
        read += [node for _, node in parts]
        return self._add("attention_mask", op, kind, *read, variable="attention_mask")

    def without_heads(self) -> list[Node]:
        """The nodes for attention without heads."""
        layer, kind = self._node.layer, self._node.type
        parts = [("value", self._masks[1])] if 1 in self._masks else []
        mask = self._mask(parts, None) if parts or self._causal else None
        score = "additive" if isinstance(layer, AdditiveAttention) else layer.score_mode
        gaps = [After(Masking(), kind, (self._masks[0],))] if 0 in self._masks else []
        return self._close(Attend(score, layer.dropout), kind, mask, *gaps)

    def with_heads(self) -> list[Node]:
        """The nodes for attention of several heads."""
        layer, query = self._node.layer, self._query.type
        axes = layer.attended(query)
        rest = [axis for axis in range(1, query.rank - 1) if axis not in axes]
        parts = self._parts(len(axes))
        self._fold((0, *rest, *axes, query.rank - 1), len(axes))
        alone = not parts and layer.sliding_window is None
        mask = None if alone else self._mask(parts, layer.sliding_window)
        op = AttendHeads(
            layer.sizes.heads,
            layer.sizes.key_heads,
            layer.dropout,
            self._causal and alone,
            mask is not None and layer.gives_zeros(query.rank),
        )
        whole = self._node.type
        order = (0, *rest, *axes, *range(query.rank - 1, whole.rank))
        apart, first = whole.permuted(order), len(rest)
        sizes, last = apart.sizes, first + len(axes)
        flat = apart.with_sizes((*sizes[:first], *_one(sizes[first:last]), *sizes[last:]))
        after = [After(Reshape(apart.sizes), apart)] if len(axes) > 1 else []
        if order != identity(whole.rank):
            after.append(After(Permute(inverse(order)[1:]), whole))
        return self._close(op, flat, mask, *after)

    def _parts(self, count: int) -> list[tuple[str, Node]]:
        """What the mask of pairs is made of, for attention over a number of axes."""
        parts = [("value" if place else "query", mask) for place, mask in self._masks.items()]
        # That of a key which is the value says nothing new.
        parts = list({(name, mask.name): (name, mask) for name, mask in parts}.values())
        if self._given is None:
            return parts
        pairs = self._given
        if count > 1:
            sizes = pairs.type.sizes
            rest, steps = sizes[: -2 * count], sizes[-2 * count :]
            if not all(isinstance(size, int) and size > 1 for size in sizes):
                raise self._open(pairs)
            pairs = self._reshaped(
                "pairs", pairs, (*rest, prod(steps[:count]), prod(steps[count:]))
            )
        return [*parts, ("pairs", pairs)]

    # Attention over other axes than the last but one

    def _fold(self, order: tuple[int, ...], count: int) -> None:
        """Let query, value and key have their steps as the one axis before the features."""
        made: dict[str, Node] = {}
        for name in ("query", "value", "key"):
            x = getattr(self, f"_{name}")
            if x.name not in made:
                made[x.name] = self._folded(name, x, order, count)
            setattr(self, f"_{name}", made[x.name])

    def _folded(self, what: str, x: Node, order: tuple[int, ...], count: int) -> Node:
        if order != identity(len(order)):
            permute = Permute(order[1:])
            x = self._add(f"{what}_permuted", permute, permute.output_type(x.type), x)
        if count == 1:
            return x
        *sizes, features = x.type.sizes
        if not all(isinstance(size, int) for size in sizes):
            raise self._open(x)
        return self._reshaped(what, x, (*sizes[:-count], *_one(sizes[-count:]), features))

    def _open(self, x: Node) -> UnsupportedError:
        return UnsupportedError(
            f"{self._node.layer.label}: attention over several axes is said for known sizes only, "
            f"each above 1 in an attention_mask; received {x.type.keras_shape}"
        )

    def _reshaped(self, what: str, x: Node, sizes: tuple[Any, ...]) -> Node:
        return self._add(f"{what}_flat", Reshape(sizes), x.type.with_sizes(sizes), x)


def _one(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Axes as one; a single one may have an open size."""
    return sizes if len(sizes) == 1 else (prod(sizes),)


def lower_attention(model: Model) -> Model:
    """Say layers of attention by the steps in seqgen/ir/attention.py."""

    def lowered(node: Node) -> list[Node] | None:
        if not isinstance(node.layer, _Attention):
            return None
        made = _Lowering(model, node)
        return made.with_heads() if isinstance(node.layer, _Heads) else made.without_heads()

    return model.rewrite(lowered)
