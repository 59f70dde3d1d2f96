"""Attention: the steps of one sequence as mixtures of those of another."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

import string
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from seqgen.errors import Fault
from seqgen.ir.types import TensorType, axis_names
from seqgen.layers.arguments import (
    BOOLEAN,
    DTYPES,
    LARGEST_INT,
    POSITIVE,
    PROBABILITY,
    Kind,
    arg,
    choice,
    integers,
    optional,
)
from seqgen.layers.axes import computed
from seqgen.layers.base import Layer, Weight
from seqgen.layers.core import EinsumDense
from seqgen.layers.objects import CONSTRAINT, INITIALIZER, REGULARIZER, Named
from seqgen.layers.regularization import SEED

AXES = integers(-LARGEST_INT, "an axis or several, the first behind the batch being 1")
SIZES = integers(1, "a positive integer, or a sequence of them")


def never(why: str) -> Kind:
    """False, or null: an argument that Keras has and that is refused for the reason given."""

    def parse(value: Any, rank: int) -> None:
        if value is not None and value is not False:
            raise ValueError(f"; it is not supported: {why}")

    return Kind(f"false ({why})", parse, lambda rank: {"enum": [False, None]})


FLASH = never("it says how Keras computes and not what; leave it out")
SCORES = never("the scores would be a second output; leave it out")


class HeadSizes(NamedTuple):
    """The heads of an attention.

    Attributes:
        heads: How many the query has.
        key_heads: How many key and value have.
        key: Width of one of query and key.
        value: Width of one of the value.
    """

    heads: int
    key_heads: int
    key: int
    value: int


class _Attention(Layer):
    """A layer that takes a query, a value, and a key if that is not the value."""

    supports_masking = True
    uses_mask = True
    mask_of_first = True
    layout = "spec"
    call_arguments: ClassVar[dict[str, Kind]] = {
        "use_causal_mask": BOOLEAN,
        "return_attention_scores": SCORES,
    }

    def shapes_fault(self, xs: tuple[TensorType, ...], message: str) -> Exception:
        """An error that tells the shapes of query, value and key."""
        shapes = ", ".join(str(x.keras_shape) for x in xs)
        return self.fault(f"expected {message}; received query, value and key {shapes}")

    def check_tensors(self, *xs: TensorType) -> tuple[TensorType, TensorType, TensorType]:
        """Query, value and key.

        Raises:
            SpecError: They do not fit together.
        """
        query, value = xs[:2]
        key = xs[2] if len(xs) > 2 else value
        xs = (query, value, key)
        if query.rank < 3 or len({x.rank for x in xs}) > 1:
            raise self.shapes_fault(xs, "three axes or more, and as many of each")
        if any(x.dtype not in DTYPES for x in xs):
            raise self.shapes_fault(xs, "numbers of a floating dtype, not integers")
        if value.keras_shape[1:-1] != key.keras_shape[1:-1]:
            raise self.shapes_fault(xs, "as many steps of the value as of the key")
        return query, value, key


class _OfSteps(_Attention):
    """Attention without heads, over the last axis but one."""

    inputs = (2, 3)

    def masked_inputs(self, count: int) -> tuple[int, ...]:
        return (0, 1)

    def output_type(self, *xs: TensorType) -> TensorType:
        query, value, key = self.check_tensors(*xs)
        pairs = zip(query.keras_shape[1:-2], value.keras_shape[1:-2], strict=True)
        if any(a != b for a, b in pairs) or query.keras_shape[-1] != key.keras_shape[-1]:
            message = "query and key of the same features, and the same axes before the steps"
            raise self.shapes_fault((query, value, key), message)
        return computed(self, replace(query, shape=(*query.shape[:-1], value.shape[-1])))

    def check_call(
        self,
        xs: tuple[TensorType, ...],
        masks: tuple[TensorType | None, ...],
        arguments: Mapping[str, Any],
    ) -> None:
        for x, mask in zip(xs[:2], masks[:2], strict=True):
            if mask is not None and (x.rank > 3 or mask.shape != x.shape[:2]):
                message = "expected a mask of batch and steps, of an input with 3 axes; received"
                raise self.fault(f"{message} {x.keras_shape} with a mask {mask.keras_shape}")


class Attention(_OfSteps):
    """Mixes the steps of the value by the softmax of how query and key go together."""

    use_scale: bool = arg(BOOLEAN, False)
    score_mode: str = arg(choice("dot", "concat"), "dot")
    dropout: float = arg(PROBABILITY, 0.0)
    seed: int | None = arg(SEED, None)

    def weight_types(self, *xs: TensorType) -> tuple[Weight, ...]:
        scale, weight = (
            Weight(name, (), Named("Ones", ())) for name in ("scale", "concat_score_weight")
        )
        return (scale,) * self.use_scale + (weight,) * (self.score_mode == "concat")


class AdditiveAttention(_OfSteps):
    """Mixes the steps of the value by the softmax of `sum(scale * tanh(query + key))`."""

    use_scale: bool = arg(BOOLEAN, True)
    dropout: float = arg(PROBABILITY, 0.0)
    seed: int | None = arg(SEED, None, kw_only=True)

    def weight_types(self, *xs: TensorType) -> tuple[Weight, ...]:
        features = xs[0].shape[-1]
        if not self.use_scale:
            return ()
        if not isinstance(features, int):
            message = f"expected a known size of the last axis, received {xs[0].keras_shape}"
            raise self.fault(message, "use_scale")
        return (Weight("scale", (features,), Named("GlorotUniform", ())),)


class _Heads(_Attention):
    """Attention of several heads, with projections before and after."""

    inputs = (2, 4)
    ports = ("query", "value", "key", "attention_mask")
    keyword_ports = ("attention_mask",)
    boolean_inputs = (3,)
    stand_ins: ClassVar[dict[str, str]] = {"key": "value"}

    @property
    def sizes(self) -> HeadSizes:
        """How many heads there are, and how wide they are."""
        raise NotImplementedError

    def masked_inputs(self, count: int) -> tuple[int, ...]:
        return tuple(range(min(count, 3)))

    def attended(self, x: TensorType) -> tuple[int, ...]:
        """The axes of a query of this type that hold its steps."""
        return (1,)

    def width(self, query: TensorType) -> tuple[int, ...]:
        """The sizes of the output that come from the projection behind."""
        return (self._features(query),)

    def gives_zeros(self, rank: int) -> bool:
        """Whether a query that may attend to nothing gets zeros, and not the mean of all."""
        # Keras's own softmax does so. It computes with another operation where it can.
        return self.dropout > 0 or rank != 3

    def _features(self, x: TensorType) -> int:
        if not isinstance(x.shape[-1], int):
            raise self.fault(f"expected a known size of the last axis, received {x.keras_shape}")
        return x.shape[-1]

    def output_type(self, *xs: TensorType) -> TensorType:
        query, value, _ = self.check_tensors(*xs[:3])
        axes = self.attended(query)
        rest = [axis for axis in range(1, query.rank - 1) if axis not in axes]
        if any(query.keras_shape[axis] != value.keras_shape[axis] for axis in rest):
            raise self.shapes_fault(xs[:3], "the same sizes of query and value beside the steps")
        if len(xs) > 3:
            self._check_given(query, value, xs[3])
        return computed(self, query.with_sizes((*query.sizes[:-1], *self.width(query))))

    def _check_given(self, query: TensorType, value: TensorType, mask: TensorType) -> None:
        """Refuse a mask that is not one of the steps of the query by those of the value."""
        axes = self.attended(query)
        rest = [query.shape[axis] for axis in range(query.rank - 1) if axis not in axes]
        steps = [x.shape[axis] for x in (query, value) for axis in axes]
        wanted = replace(query, shape=(*rest, *steps), axes=axis_names(len(rest + steps)))
        pairs = zip(wanted.keras_shape, mask.keras_shape, strict=False)
        if wanted.rank != mask.rank or any(b not in (1, a, None) for a, b in pairs):
            message = f"expected a mask {wanted.keras_shape}, received {mask.keras_shape}"
            raise self.fault(message, "attention_mask")

    def check_call(
        self,
        xs: tuple[TensorType, ...],
        masks: tuple[TensorType | None, ...],
        arguments: Mapping[str, Any],
    ) -> None:
        query, axes = xs[0], self.attended(xs[0])
        # Keras looks for the steps behind the batch here, whatever `attention_axes` says.
        if axes != (1,) and (arguments.get("use_causal_mask") or self.sliding_window):
            message = "expected attention over axis 1 alone with use_causal_mask or sliding_window"
            raise self.fault(f"{message}, received {axes}", "attention_axes")
        for x, mask in zip(xs[:3], masks[:3], strict=True):
            if mask is not None and (axes != (query.rank - 2,) or mask.shape != x.shape[:-1]):
                message = "expected a mask of all axes but the last, which attention goes along"
                raise self.fault(
                    f"{message}; received an input {x.keras_shape} with a mask {mask.keras_shape} "
                    f"and attention over {axes}"
                )

    def weight_types(self, *xs: TensorType) -> tuple[Weight, ...]:
        query, value, key = self.check_tensors(*xs[:3])
        free, of = query.rank - 1, self.sizes
        output = query.with_sizes((*query.sizes[:-1], of.heads, of.value))
        parts = [
            ("query", query, 1, (of.heads, of.key)),
            ("key", key, 1, (of.key_heads, of.key)),
            ("gate", query, 1, (of.heads, of.value)),
            ("value", value, 1, (of.key_heads, of.value)),
            ("attention_output", output, 2, self.width(query)),
        ]
        found: list[Weight] = []
        for name, x, bound, sizes in parts:
            if name != "gate" or self.use_gate:
                dense = self._projection(name, free, bound, sizes)
                found += dense.weights_within(x, self.attribute_of(name))
        return tuple(found)

    def attribute_of(self, name: str) -> str:
        """The attribute of the Keras layer that holds a projection."""
        return f"_{name.removeprefix('attention_')}_dense"

    def _projection(self, name: str, free: int, bound: int, sizes: tuple[int, ...]) -> EinsumDense:
        letters = iter(string.ascii_lowercase)
        kept, summed, new = (
            "".join(next(letters) for _ in range(count)) for count in (free, bound, len(sizes))
        )
        return EinsumDense(
            f"{kept}{summed},{summed}{new}->{kept}{new}",
            (*(None,) * (free - 1), *sizes),
            bias_axes=new if self.use_bias else None,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            name=name,
        )


class MultiHeadAttention(_Heads):
    """Attention of several heads, each of which compares and mixes projections of its own."""

    num_heads: int = arg(POSITIVE)
    key_dim: int = arg(POSITIVE)
    value_dim: int | None = arg(optional(POSITIVE), None)
    dropout: float = arg(PROBABILITY, 0.0)
    use_bias: bool = arg(BOOLEAN, True)
    output_shape: tuple[int, ...] | None = arg(optional(SIZES), None)
    attention_axes: tuple[int, ...] | None = arg(optional(AXES), None)
    sliding_window: int | None = arg(optional(POSITIVE), None)
    flash_attention: None = arg(FLASH, None)
    kernel_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: Named = arg(INITIALIZER, "zeros")
    kernel_regularizer: Named | None = arg(REGULARIZER, None)
    bias_regularizer: Named | None = arg(REGULARIZER, None)
    activity_regularizer: Named | None = arg(REGULARIZER, None)
    kernel_constraint: Named | None = arg(CONSTRAINT, None)
    bias_constraint: Named | None = arg(CONSTRAINT, None)
    use_gate: bool = arg(BOOLEAN, False)
    seed: int | None = arg(SEED, None)

    @property
    def sizes(self) -> HeadSizes:
        value_dim = self.value_dim or self.key_dim
        return HeadSizes(self.num_heads, self.num_heads, self.key_dim, value_dim)

    def attribute_of(self, name: str) -> str:
        own = super().attribute_of(name)
        # It has properties of these names too, but for the gate, which files take first.
        return own if name == "gate" else own.removeprefix("_")

    def attended(self, x: TensorType) -> tuple[int, ...]:
        given = self.attention_axes
        if given is None:
            return tuple(range(1, x.rank - 1))
        axes = tuple(axis % x.rank if -x.rank <= axis < x.rank else 0 for axis in given)
        inner = range(1, x.rank - 1)
        if not axes or len(set(axes)) < len(axes) or any(axis not in inner for axis in axes):
            message = f"expected different axes from 1 to {x.rank - 2} for an input {x.keras_shape}"
            raise self.fault(f"{message}, received {given}", "attention_axes")
        return axes

    def width(self, query: TensorType) -> tuple[int, ...]:
        return self.output_shape or (self._features(query),)


class GroupQueryAttention(_Heads):
    """Attention of several heads, of which groups share a head of key and value."""

    head_dim: int = arg(POSITIVE)
    num_query_heads: int = arg(POSITIVE)
    num_key_value_heads: int = arg(POSITIVE)
    dropout: float = arg(PROBABILITY, 0.0)
    use_bias: bool = arg(BOOLEAN, True)
    sliding_window: int | None = arg(optional(POSITIVE), None)
    flash_attention: None = arg(FLASH, None)
    kernel_initializer: Named = arg(INITIALIZER, "glorot_uniform")
    bias_initializer: Named = arg(INITIALIZER, "zeros")
    kernel_regularizer: Named | None = arg(REGULARIZER, None)
    bias_regularizer: Named | None = arg(REGULARIZER, None)
    activity_regularizer: Named | None = arg(REGULARIZER, None)
    kernel_constraint: Named | None = arg(CONSTRAINT, None)
    bias_constraint: Named | None = arg(CONSTRAINT, None)
    use_gate: bool = arg(BOOLEAN, False)
    seed: int | None = arg(SEED, None)

    @property
    def auto_name(self) -> str:
        # Keras calls the class otherwise than `keras.layers` does.
        return "grouped_query_attention"

    @property
    def sizes(self) -> HeadSizes:
        width = self.head_dim
        return HeadSizes(self.num_query_heads, self.num_key_value_heads, width, width)

    def check(self) -> tuple[Fault, ...]:
        if self.num_query_heads % self.num_key_value_heads == 0:
            return ()
        message = f"expected a divisor of num_query_heads={self.num_query_heads}"
        return (Fault(f"{message}, received {self.num_key_value_heads}", "num_key_value_heads"),)

    def output_type(self, *xs: TensorType) -> TensorType:
        query, value, key = self.check_tensors(*xs[:3])
        if query.rank != 3:
            raise self.shapes_fault((query, value, key), "three axes")
        if query.shape[-1] != value.shape[-1]:
            raise self.shapes_fault((query, value, key), "query and value of the same features")
        if len(xs) > 3 and self.dropout and xs[3].dtype != "bool":
            message = (
                "expected no dropout with it, as Keras compares it with 0.5 then and not with 0"
            )
            raise self.fault(message, "attention_mask")
        return super().output_type(*xs)
