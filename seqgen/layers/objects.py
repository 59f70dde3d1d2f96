"""Arguments that are named functions with arguments of their own.

Activations, initializers, regularizers and constraints: a table says which exist in Keras and
what they take; `Named` is a value of such an argument.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from seqgen.layers.arguments import (
    AXES,
    BOOLEAN,
    INTEGER,
    NON_NEGATIVE_REAL,
    NUMBERS,
    REAL,
    TEXT,
    JsonSchema,
    Kind,
    choice,
    integers,
    near_miss,
    optional,
    real,
    short,
)

Signature = dict[str, tuple[Kind, Any]]
REQUIRED = object()


@dataclass(frozen=True)
class Named:
    """A function of a table by its Keras name, with the arguments that differ from the defaults."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments as a dictionary."""
        return dict(self.arguments)

    def to_plain(self) -> Any:
        """The value as a spec file holds it: a name, or `{name: {argument: value}}`."""
        if not self.arguments:
            return self.name
        return {self.name: {k: list(v) if isinstance(v, tuple) else v for k, v in self.arguments}}


ALPHA = (REAL, 1.0)
AXIS = {"axis": (AXES, -1)}
SLOPE = {"negative_slope": (REAL, 0.2)}

# Under which Keras programs register what Keras has no public name for and they write out, so that
# imports know it in files that they save.
PACKAGE = "seqgen"
# What Keras 2 called hard_sigmoid: 0.2 * x + 0.5 between 0 and 1. Keras 3 has no function for it.
KERAS_2_HARD_SIGMOID = "hard_sigmoid_keras_2"
# The names and defaults of keras.activations in Keras 3.15, and what models of Keras 2 need.
ACTIVATIONS: dict[str, Signature] = {
    "celu": {"alpha": ALPHA},
    "elu": {"alpha": ALPHA},
    "exponential": {},
    "gelu": {"approximate": (BOOLEAN, False)},
    "glu": {"axis": (INTEGER, -1)},
    "hard_shrink": {"threshold": (REAL, 0.5)},
    "hard_sigmoid": {},
    KERAS_2_HARD_SIGMOID: {},
    "hard_silu": {},
    "hard_tanh": {},
    "leaky_relu": SLOPE,
    "linear": {},
    "log_sigmoid": {},
    "log_softmax": AXIS,
    "mish": {},
    "relu": {
        "negative_slope": (REAL, 0.0),
        "max_value": (optional(NON_NEGATIVE_REAL), None),
        "threshold": (REAL, 0.0),
    },
    "relu6": {},
    "selu": {},
    "sigmoid": {},
    "silu": {},
    "soft_shrink": {"threshold": (REAL, 0.5)},
    "softmax": AXIS,
    "softplus": {},
    "softsign": {},
    "sparse_plus": {},
    "sparse_sigmoid": {},
    "sparsemax": {"axis": (INTEGER, -1)},
    "squareplus": {"b": (REAL, 4)},
    "tanh": {},
    "tanh_shrink": {},
    "threshold": {"threshold": (REAL, REQUIRED), "default_value": (REAL, REQUIRED)},
}
# Activations that look along axes instead of at single values.
AXIS_ACTIVATIONS = ("glu", "log_softmax", "softmax", "sparsemax")
ACTIVATION_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}

SEED: Signature = {"seed": (optional(INTEGER), None)}
FANS: Signature = {
    **SEED,
    "input_axes": (optional(integers(-8, "axes")), None),
    "output_axes": (optional(integers(-8, "axes")), None),
}
INITIALIZERS: dict[str, Signature] = {
    "Zeros": {},
    "Ones": {},
    "Constant": {"value": (NUMBERS, 0.0)},
    "Identity": {"gain": (REAL, 1.0)},
    "Orthogonal": {"gain": (REAL, 1.0), **SEED},
    "RandomNormal": {"mean": (REAL, 0.0), "stddev": (NON_NEGATIVE_REAL, 0.05), **SEED},
    "RandomUniform": {"minval": (REAL, -0.05), "maxval": (REAL, 0.05), **SEED},
    "TruncatedNormal": {"mean": (REAL, 0.0), "stddev": (NON_NEGATIVE_REAL, 0.05), **SEED},
    "VarianceScaling": {
        "scale": (real(1e-45, expected="a positive number"), 1.0),
        "mode": (choice("fan_in", "fan_out", "fan_avg"), "fan_in"),
        "distribution": (
            choice("truncated_normal", "untruncated_normal", "uniform"),
            "truncated_normal",
        ),
        **FANS,
    },
    "GlorotNormal": FANS,
    "GlorotUniform": FANS,
    "HeNormal": FANS,
    "HeUniform": FANS,
    "LecunNormal": FANS,
    "LecunUniform": FANS,
}
# What only layers make, of an initializer that a spec names: an LSTM's bias starts with ones where
# it tells what to forget.
FORGET_BIAS = "UnitForgetBias"
INITIALIZER_ALIASES = {
    "OrthogonalInitializer": "Orthogonal",
    "IdentityInitializer": "Identity",
    "normal": "RandomNormal",
    "one": "Ones",
    "uniform": "RandomUniform",
    "zero": "Zeros",
}

REGULARIZERS: dict[str, Signature] = {
    "L1": {"l1": (NON_NEGATIVE_REAL, 0.01)},
    "L2": {"l2": (NON_NEGATIVE_REAL, 0.01)},
    "L1L2": {"l1": (NON_NEGATIVE_REAL, 0.0), "l2": (NON_NEGATIVE_REAL, 0.0)},
    "OrthogonalRegularizer": {
        "factor": (REAL, 0.01),
        "mode": (choice("rows", "columns"), "rows"),
    },
}
CONSTRAINT_AXIS = {"axis": (AXES, 0)}
CONSTRAINTS: dict[str, Signature] = {
    "MaxNorm": {"max_value": (REAL, 2), **CONSTRAINT_AXIS},
    "NonNeg": {},
    "UnitNorm": CONSTRAINT_AXIS,
    "MinMaxNorm": {
        "min_value": (REAL, 0.0),
        "max_value": (REAL, 1.0),
        "rate": (REAL, 1.0),
        **CONSTRAINT_AXIS,
    },
}


def to_snake_case(name: str) -> str:
    """A class name as Keras turns it into a variable name: `Conv2D` -> `conv2d`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(base: str, counts: Counter[str], taken: Collection[str | None]) -> str:
    """The next name of a class: `dense`, `dense_1` ...; one that is taken is left out."""
    while True:
        number = counts[base]
        counts[base] += 1
        name = f"{base}_{number}" if number else base
        if name not in taken:
            return name


def _arguments(given: Mapping[str, Any], signature: Signature, name: str) -> Named:
    """Check the arguments of one function; keep those that differ from its defaults."""
    for unknown in given.keys() - signature.keys():
        raise ValueError(f"; '{name}' has no argument '{unknown}'{near_miss(unknown, signature)}")
    kept = []
    for key, (kind, default) in signature.items():
        value = given.get(key, default)
        if value is REQUIRED:
            raise ValueError(f"; '{name}' needs '{key}'")
        try:
            value = kind.parse(value, 0)
        except (TypeError, ValueError):
            message = f"; '{key}' of '{name}' must be {kind.expected}, not {short(value)}"
            raise ValueError(message) from None
        if value != default:
            kept.append((key, value))
    return Named(name, tuple(kept))


def _arguments_schema(signature: Signature) -> JsonSchema:
    """The arguments of a function by name, or the first alone."""
    known = {key: kind.schema(0) for key, (kind, _) in signature.items()}
    by_name = {"type": "object", "additionalProperties": False, "properties": known}
    return {"anyOf": [by_name, next(iter(known.values()))]}


def named(what: str, table: dict[str, Signature], aliases: Mapping[str, str] = {}) -> Kind:
    """The kind of argument that names a function of `table`, with or without arguments."""
    spellings = {**{to_snake_case(name): name for name in table}, **{n: n for n in table}}
    for alias, name in aliases.items():
        spellings[alias] = spellings[to_snake_case(alias)] = name

    def parse(value: Any, rank: int) -> Named:
        if isinstance(value, Named):
            value = value.to_plain()
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, Mapping) or len(value) != 1:
            raise TypeError
        (name, arguments), *_ = value.items()
        if name not in spellings:
            raise ValueError(near_miss(str(name), spellings))
        signature = table[spellings[name]]
        if not isinstance(arguments, Mapping):
            first = next(iter(signature), None)
            arguments = {} if first is None and arguments is None else {first: arguments}
        return _arguments(arguments, signature, spellings[name])

    def schema(rank: int) -> JsonSchema:
        forms = [
            {
                "type": "object",
                "required": [name],
                "additionalProperties": False,
                "properties": {name: _arguments_schema(args)},
            }
            for name, args in table.items()
            if args
        ]
        return {"anyOf": [{"enum": sorted(spellings)}, *forms]}

    return Kind(f"the name of {what}, or {{name: {{argument: value}}}}", parse, schema)


ACTIVATION = optional(named("an activation", ACTIVATIONS, ACTIVATION_ALIASES))
INITIALIZER = named("an initializer", INITIALIZERS, INITIALIZER_ALIASES)
REGULARIZER = optional(named("a regularizer", REGULARIZERS, {"l1_l2": "L1L2"}))
CONSTRAINT = optional(named("a constraint", CONSTRAINTS))
NAME = TEXT
