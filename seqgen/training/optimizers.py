"""The optimizers and learning-rate schedules of Keras 3.15: names, arguments and defaults."""

import re

from seqgen.layers.arguments import (
    BOOLEAN,
    NON_NEGATIVE_REAL,
    POSITIVE,
    PROBABILITY,
    REAL,
    TEXT,
    JsonSchema,
    Kind,
    integer,
    optional,
    real,
)
from seqgen.layers.objects import REQUIRED, Named, Signature, named

COUNT = integer(0, "a non-negative integer")
STEPS = integer(1, "a positive number of steps")
POSITIVE_REAL = real(1e-45, expected="a positive number")


def _reals(value: object, rank: int) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise TypeError
    return tuple(REAL.parse(item, rank) for item in value)


REALS = Kind(
    "a list of numbers",
    _reals,
    lambda rank: {"type": "array", "minItems": 1, "items": REAL.schema(rank)},
)


def _patterns(value: object, rank: int) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)):
        raise TypeError
    patterns = tuple(TEXT.parse(item, rank) for item in found)
    try:
        for pattern in patterns:
            re.compile(pattern)
    except re.error as error:
        raise ValueError(f"; {error}") from None
    return patterns


PATTERNS = Kind(
    "a list of regular expressions",
    _patterns,
    lambda rank: {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
)
RATE_AT_FIRST = {"initial_learning_rate": (POSITIVE_REAL, REQUIRED)}
DECAY: Signature = {
    **RATE_AT_FIRST,
    "decay_steps": (STEPS, REQUIRED),
    "decay_rate": (POSITIVE_REAL, REQUIRED),
    "staircase": (BOOLEAN, False),
}
SCHEDULES: dict[str, Signature] = {
    "CosineDecay": {
        **RATE_AT_FIRST,
        "decay_steps": (STEPS, REQUIRED),
        "alpha": (NON_NEGATIVE_REAL, 0.0),
        "warmup_target": (optional(POSITIVE_REAL), None),
        "warmup_steps": (COUNT, 0),
    },
    "CosineDecayRestarts": {
        **RATE_AT_FIRST,
        "first_decay_steps": (STEPS, REQUIRED),
        "t_mul": (POSITIVE_REAL, 2.0),
        "m_mul": (POSITIVE_REAL, 1.0),
        "alpha": (NON_NEGATIVE_REAL, 0.0),
    },
    "ExponentialDecay": DECAY,
    "InverseTimeDecay": DECAY,
    "PiecewiseConstantDecay": {"boundaries": (REALS, REQUIRED), "values": (REALS, REQUIRED)},
    "PolynomialDecay": {
        **RATE_AT_FIRST,
        "decay_steps": (STEPS, REQUIRED),
        "end_learning_rate": (NON_NEGATIVE_REAL, 0.0001),
        "power": (POSITIVE_REAL, 1.0),
        "cycle": (BOOLEAN, False),
    },
}
SCHEDULE = named("a learning-rate schedule", SCHEDULES)


def _rate(value: object, rank: int) -> float | Named:
    if isinstance(value, (str, dict, Named)):
        made: Named = SCHEDULE.parse(value, rank)
        return made
    number: float = POSITIVE_REAL.parse(value, rank)
    return number


def _rate_schema(rank: int) -> JsonSchema:
    return {"anyOf": [POSITIVE_REAL.schema(rank), SCHEDULE.schema(rank)]}


LEARNING_RATE = Kind("a positive number, or a learning-rate schedule", _rate, _rate_schema)
EPSILON = {"epsilon": (NON_NEGATIVE_REAL, 1e-7)}
BETAS: Signature = {"beta_1": (PROBABILITY, 0.9), "beta_2": (PROBABILITY, 0.999)}


def _signature(own: Signature, rate: float = 0.001, decay: float | None = None) -> Signature:
    """All arguments of an optimizer: its own, and those that every one has."""
    return {
        "learning_rate": (LEARNING_RATE, rate),
        **own,
        "weight_decay": (optional(NON_NEGATIVE_REAL), decay),
        "clipnorm": (optional(POSITIVE_REAL), None),
        "clipvalue": (optional(POSITIVE_REAL), None),
        "global_clipnorm": (optional(POSITIVE_REAL), None),
        "use_ema": (BOOLEAN, False),
        "ema_momentum": (PROBABILITY, 0.99),
        "ema_overwrite_frequency": (optional(POSITIVE), None),
        "gradient_accumulation_steps": (optional(integer(2, "an integer of at least 2")), None),
    }


ADAM: Signature = {**BETAS, **EPSILON, "amsgrad": (BOOLEAN, False)}
OPTIMIZERS: dict[str, Signature] = {
    "SGD": _signature({"momentum": (PROBABILITY, 0.0), "nesterov": (BOOLEAN, False)}, 0.01),
    "RMSprop": _signature(
        {
            "rho": (PROBABILITY, 0.9),
            "momentum": (PROBABILITY, 0.0),
            **EPSILON,
            "centered": (BOOLEAN, False),
        }
    ),
    "Adam": _signature(ADAM),
    "AdamW": _signature(ADAM, decay=0.004),
    "Adadelta": _signature({"rho": (PROBABILITY, 0.95), **EPSILON}),
    "Adagrad": _signature({"initial_accumulator_value": (NON_NEGATIVE_REAL, 0.1), **EPSILON}),
    "Adamax": _signature({**BETAS, **EPSILON}),
    "Nadam": _signature({**BETAS, **EPSILON}),
    "Ftrl": _signature(
        {
            "learning_rate_power": (real(high=0.0, expected="a number of at most 0"), -0.5),
            "initial_accumulator_value": (NON_NEGATIVE_REAL, 0.1),
            "l1_regularization_strength": (NON_NEGATIVE_REAL, 0.0),
            "l2_regularization_strength": (NON_NEGATIVE_REAL, 0.0),
            "l2_shrinkage_regularization_strength": (NON_NEGATIVE_REAL, 0.0),
            "beta": (NON_NEGATIVE_REAL, 0.0),
        }
    ),
    "Lion": _signature({"beta_1": (PROBABILITY, 0.9), "beta_2": (PROBABILITY, 0.99)}),
    "Lamb": _signature({**BETAS, **EPSILON}),
    "Adafactor": _signature(
        {
            "beta_2_decay": (real(high=0.0, expected="a number of at most 0"), -0.8),
            "epsilon_1": (NON_NEGATIVE_REAL, 1e-30),
            "epsilon_2": (NON_NEGATIVE_REAL, 1e-3),
            "clip_threshold": (POSITIVE_REAL, 1.0),
            # Of no effect in Keras, whose steps have a limit that falls with time in any case.
            "relative_step": (BOOLEAN, True),
        }
    ),
    "Muon": _signature(
        {
            "adam_beta_1": (PROBABILITY, 0.9),
            "adam_beta_2": (PROBABILITY, 0.999),
            "adam_weight_decay": (optional(NON_NEGATIVE_REAL), 0.004),
            **EPSILON,
            "exclude_layers": (optional(PATTERNS), None),
            "exclude_embeddings": (BOOLEAN, True),
            "muon_a": (REAL, 3.4445),
            "muon_b": (REAL, -4.775),
            "muon_c": (REAL, 2.0315),
            "adam_lr_ratio": (NON_NEGATIVE_REAL, 1),
            "momentum": (PROBABILITY, 0.95),
            "ns_steps": (COUNT, 5),
            "nesterov": (BOOLEAN, True),
            "rms_rate": (optional(NON_NEGATIVE_REAL), 0.2),
        },
        decay=0.004,
    ),
    "ScheduleFreeAdamW": _signature(
        {**BETAS, "epsilon": (NON_NEGATIVE_REAL, 1e-8), "warmup_steps": (COUNT, 0)}, 0.0025
    ),
}
OPTIMIZER = named("an optimizer", OPTIMIZERS, {name.lower(): name for name in OPTIMIZERS})
