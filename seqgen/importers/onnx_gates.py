"""The activations of ONNX's recurrent operators in Keras's words."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from seqgen.importers.onnx_activations import hard_sigmoid_name
from seqgen.importers.onnx_file import Operator

# Keras's names, and the numbers alpha and beta where a function takes them.
KNOWN: dict[str, tuple[str, float | None, float | None]] = {
    "affine": ("linear", 1.0, 0.0),
    "elu": ("elu", 1.0, None),
    "hardsigmoid": ("hard_sigmoid", 0.2, 0.5),
    "leakyrelu": ("leaky_relu", 0.01, None),
    "relu": ("relu", None, None),
    "sigmoid": ("sigmoid", None, None),
    "softplus": ("softplus", None, None),
    "softsign": ("softsign", None, None),
    "tanh": ("tanh", None, None),
}
DEFAULTS = {"GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "RNN": ("Tanh",)}


def activations(operator: Operator, directions: int) -> dict[str, Any]:
    """The arguments `activation` and `recurrent_activation`, which are alike both ways."""
    own = DEFAULTS[operator.kind]
    names = _texts(operator) or own * directions
    if len(names) != len(own) * directions:
        message = f"expected {len(own) * directions} functions, received {len(names)}"
        operator.refuse(message, "activations")
    alphas, betas = (iter(_numbers(operator, f"activation_{name}")) for name in ("alpha", "beta"))
    made = [_said(operator, name, alphas, betas) for name in names]
    first = made[: len(own)]
    if made != first * directions:
        operator.refuse("expected the same functions for both directions", "activations")
    if operator.kind == "RNN":
        return {"activation": first[0]}
    gate, *others = first
    if any(other != others[0] for other in others):
        message = "expected one function for what goes into the state of an LSTM and what is shown"
        operator.refuse(f"{message} of it, as Keras has it", "activations")
    return {"activation": others[0], "recurrent_activation": gate}


def _texts(operator: Operator) -> tuple[str, ...]:
    given = operator.attributes.get("activations", ())
    if not isinstance(given, tuple) or not all(isinstance(name, bytes) for name in given):
        operator.refuse("expected names of functions", "activations")
    return tuple(name.decode(errors="replace") for name in given)


def _numbers(operator: Operator, attribute: str) -> tuple[float, ...]:
    given = operator.attributes.get(attribute, ())
    if not isinstance(given, tuple) or not all(isinstance(n, (int, float)) for n in given):
        return operator.refuse("expected numbers", attribute)
    return given


def _said(operator: Operator, name: str, alphas: Iterator[float], betas: Iterator[float]) -> Any:
    """A function as an argument of a layer; those with numbers take the next ones."""
    if name.lower() not in KNOWN:
        operator.refuse(f"expected one of {', '.join(KNOWN)}, received {name!r}", "activations")
    said, alpha, beta = KNOWN[name.lower()]
    alpha = alpha if alpha is None else next(alphas, alpha)
    beta = beta if beta is None else next(betas, beta)
    if said == "linear" and (alpha, beta) != (1, 0):
        operator.refuse(f"expected Affine with 1 and 0, received {alpha} and {beta}", "activations")
    if said == "hard_sigmoid":
        return hard_sigmoid_name(operator, alpha or 0.0, beta or 0.0)
    argument = {"elu": "alpha", "leaky_relu": "negative_slope"}.get(said)
    return said if argument is None else {said: {argument: _short(alpha or 0.0)}}


def _short(number: float) -> float:
    """A float32 in the fewest digits that say it."""
    return float(str(np.float32(number)))
