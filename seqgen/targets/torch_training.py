"""How PyTorch programs train: which optimizer stands for which, and where the two disagree."""

from dataclasses import dataclass
from typing import Any

from seqgen.errors import UnsupportedError
from seqgen.ir.types import inverse
from seqgen.layers.objects import Named
from seqgen.targets.base import Move
from seqgen.targets.training import Rule, Settings


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of a PyTorch program.

    Attributes:
        name: What Keras calls it.
        cls: What the program calls it: a class of torch.optim, or one that it defines.
        base: The class of torch.optim that this one changes, or is.
        helper: The template of the class; empty where it is torch's own.
        arguments: What it is made with besides parameters and learning rate.
        deviation: How torch's own class differs from Keras; empty if it does not.
    """

    name: str
    cls: str
    base: str
    helper: str
    arguments: dict[str, Any]
    deviation: str = ""


# PyTorch's class, the deviation it has with the same arguments, and the template that has none.
OWN = {
    "Adam": ("Adam", "epsilon is added after the root's bias is corrected, not before", "Adam"),
    "AdamW": ("AdamW", "epsilon is added after the root's bias is corrected, not before", "Adam"),
    "RMSprop": (
        "RMSprop",
        "epsilon is added outside the root, and momentum holds gradients",
        "RMSprop",
    ),
    "Adamax": ("Adamax", "epsilon is added to each gradient's size, not to the largest", "Adamax"),
    "Adadelta": ("Adadelta", "", ""),
    "Adagrad": ("Adagrad", "", ""),
    "Nadam": ("NAdam", "", ""),
    "SGD": ("SGD", "", ""),
}


def optimizer(settings: Settings) -> Optimizer:
    """The optimizer that stands for the one of the settings."""
    name, given = settings.said.optimizer.name, settings.optimizer
    arguments = _arguments(name, given)
    exact = settings.said.parity == "exact"
    if name not in OWN:
        return Optimizer(name, name, "", name, arguments)
    base, deviation, helper = OWN[name]
    if name == "Adam" and given["weight_decay"] is not None:
        base = "AdamW"
    if name == "SGD" and given["momentum"] and settings.varies:
        deviation, helper = "momentum holds gradients, which a new rate scales again", "SGD"
    if exact and helper:
        if helper != "Adam":
            return Optimizer(name, helper, base, helper, _own_arguments(name, given, arguments))
        return Optimizer(name, base, base, helper, arguments)
    return Optimizer(name, f"torch.optim.{base}", base, "", arguments, deviation)


def _own_arguments(name: str, given: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a class that the program defines."""
    if name != "RMSprop":
        return arguments
    names = {"rho": "rho", "momentum": "momentum", "epsilon": "eps", "centered": "centered"}
    return {own: given[keras] for keras, own in names.items()}


def _arguments(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer of PyTorch takes for the arguments of Keras's."""
    betas = (given.get("beta_1"), given.get("beta_2"))
    epsilon = {"eps": given.get("epsilon")}
    decay = given["weight_decay"] or 0.0
    if name in ("Adam", "AdamW"):
        more = {"amsgrad": True} if given["amsgrad"] else {}
        decayed = {"weight_decay": decay} if name == "AdamW" or decay else {}
        return {"betas": betas, **epsilon, **decayed, **more}
    if name == "SGD":
        more = {"nesterov": True} if given["nesterov"] and given["momentum"] else {}
        return {"momentum": given["momentum"], **more} if given["momentum"] else {}
    if name == "RMSprop":
        own = {"alpha": given["rho"], **epsilon, "momentum": given["momentum"]}
        return {**own, "centered": given["centered"]}
    if name == "Adadelta":
        return {"rho": given["rho"], **epsilon}
    if name == "Adagrad":
        # Keras adds epsilon in the root: to what is added up, once.
        first = given["initial_accumulator_value"] + given["epsilon"]
        return {"initial_accumulator_value": first, "eps": 0.0}
    if name == "Nadam":
        more = {"decoupled_weight_decay": True, "weight_decay": decay} if decay else {}
        return {"betas": betas, **epsilon, "momentum_decay": 1.0, **more}
    if name == "Ftrl":
        names = {
            "power": "learning_rate_power",
            "initial": "initial_accumulator_value",
            "l1": "l1_regularization_strength",
            "l2": "l2_regularization_strength",
            "shrinkage": "l2_shrinkage_regularization_strength",
            "beta": "beta",
        }
        return {own: given[keras] for own, keras in names.items()}
    return {"betas": betas, **epsilon} if "epsilon" in given else {"betas": betas}


def decays_itself(settings: Settings) -> bool:
    """Whether the class takes care of the weight decay."""
    return settings.said.optimizer.name in ("Adam", "AdamW", "Nadam")


def dims(move: Move, axes: Any) -> tuple[int, ...]:
    """The dims of a tensor that axes of the Keras array became.

    Raises:
        UnsupportedError: The axes were merged or split on the way.
    """
    rank = len(move.weight.shape)
    wanted = [axis % rank for axis in (axes if isinstance(axes, tuple) else (axes,))]
    order = list(range(rank))
    for step, numbers in move.steps:
        if step != "transpose" or len(numbers) != rank:
            message = "target 'torch' has no norms along axes of a variable that is reordered"
            raise UnsupportedError(f"{move.weight.key}: {message}; use another constraint")
        order = [order[axis] for axis in numbers]
    return tuple(sorted(order.index(axis) for axis in wanted))


def penalty(names: list[str], function: Named) -> list[tuple[str, str]]:
    """For each parameter that a regularizer adds to the loss, its name and the expression."""
    given = function.kwargs
    if function.name == "OrthogonalRegularizer":
        raise UnsupportedError("target 'torch' has no OrthogonalRegularizer in training")
    default = {"L1": {"l1": 0.01}, "L2": {"l2": 0.01}}.get(function.name, {})
    amounts = {**default, **given}
    terms = []
    if amounts.get("l1"):
        terms.append(f"{amounts['l1']!r} * w.abs().sum()")
    if amounts.get("l2"):
        terms.append(f"{amounts['l2']!r} * w.square().sum()")
    return [(name, " + ".join(terms)) for name in names if terms]


def constraint(rule: Rule, names: list[str], moves: list[Move]) -> list[tuple[str, str]]:
    """For each parameter that a constraint changes, its name and the expression of the change."""
    given, function = rule.function.kwargs, rule.function.name
    if function == "NonNeg":
        return [(name, "w.clamp(min=0)") for name in names]
    if len(names) > 1:
        message = "target 'torch' has no norms of a variable that is in parts"
        raise UnsupportedError(f"{rule.weight.key}: {message}")
    along = dims(moves[0], given.get("axis", 0))
    norm = f"w.square().sum({along}, keepdim=True).sqrt()"
    if function == "UnitNorm":
        return [(names[0], f"w / ({norm} + 1e-7)")]
    if function == "MaxNorm":
        return [(names[0], f"w * {norm}.clamp(0, {given.get('max_value', 2)!r}) / ({norm} + 1e-7)")]
    low, high, rate = (
        given.get(k, d) for k, d in (("min_value", 0.0), ("max_value", 1.0), ("rate", 1.0))
    )
    clipped = f"{norm}.clamp({low!r}, {high!r})"
    wanted = clipped if rate == 1.0 else f"({rate!r} * {clipped} + {1 - rate!r} * {norm})"
    return [(names[0], f"w * {wanted} / ({norm} + 1e-7)")]


def page(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    """What the page of the training program is given.

    Args:
        settings: The settings.
        found: What the page of the model's program is given.

    Raises:
        UnsupportedError: PyTorch cannot train the model exactly so.
    """
    moves: dict[str, list[Move]] = {}
    names: dict[str, list[str]] = {}
    for name, move in found["moves"]:
        moves.setdefault(move.weight.key, []).append(move)
        names.setdefault(move.weight.key, []).append(name)
    if settings.per_variable:
        for key, own in names.items():
            if len(own) > 1 and moves[key][0].weight.trainable:
                message = f"target 'torch' has '{key}' in {len(own)} parts, whose norm is another"
                raise UnsupportedError(f"{message}; use global_clipnorm, or another optimizer")
    penalties = [p for r in settings.penalties for p in penalty(names[r.weight.key], r.function)]
    constraints = [
        c
        for rule in settings.constraints
        for c in constraint(rule, names[rule.weight.key], moves[rule.weight.key])
    ]
    return {
        "settings": settings,
        "optimizer": optimizer(settings),
        "decays_itself": decays_itself(settings),
        "penalties": penalties,
        "constraints": constraints,
        "inverse": inverse,
        "target_name": "torch",
    }
