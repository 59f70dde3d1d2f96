"""How PyTorch programs train: which optimizer stands for which, and where the two disagree."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model
from seqgen.ir.types import inverse
from seqgen.layers.normalization import BatchNormalization
from seqgen.layers.objects import REGULARIZERS, Named
from seqgen.layers.within import within
from seqgen.targets.base import Move
from seqgen.targets.normalization import masked_norms, stepped_norms
from seqgen.targets.torch_initializers import groups
from seqgen.targets.training import Rule, Settings
from seqgen.training.settings import full

ROWS = "OrthogonalRegularizer"
# Layers whose modules give what the layer gives, but for the activation at its end.
GIVES_ITS_OUTPUT = (
    "ActivityRegularization",
    "BatchNormalization",
    "Dense",
    "Embedding",
    "LayerNormalization",
    *(f"{kind}Conv{rank}D" for kind in ("", "Depthwise") for rank in (1, 2, 3)),
    *(f"Conv{rank}DTranspose" for rank in (1, 2, 3)),
)
# The ways of each variable into the program, by its key.
Moves = dict[str, list[Move]]


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
        excluded: Names of the matrices that Muon leaves to Adam.
    """

    name: str
    cls: str
    base: str
    helper: str
    arguments: dict[str, Any]
    deviation: str = ""
    excluded: tuple[str, ...] = ()


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
    "Adafactor": (
        "Adafactor",
        "mean squares are at least epsilon_1 and do not include it, and kernels of convolutions "
        "have them along their windows",
        "Adafactor",
    ),
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
    if name == "Adafactor":
        names = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold")
        return {name: given[name] for name in names}
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
        # One kernel for all of a step, several times as fast as a loop over the parameters.
        return {"betas": betas, **epsilon, **decayed, **more, "fused": True}
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
    if name == "Adafactor":
        floors = (math.sqrt(given["epsilon_1"]), given["epsilon_2"])
        return {
            "beta2_decay": given["beta_2_decay"],
            "eps": floors,
            "d": given["clip_threshold"],
            "weight_decay": 0.0,
        }
    if name == "ScheduleFreeAdamW":
        more = {"warmup_steps": given["warmup_steps"]} if given["warmup_steps"] else {}
        return {"beta_2": given["beta_2"], **epsilon, **more}
    if name == "Muon":
        return _muon_arguments(given)
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


def _muon_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """What the program's Muon takes for the arguments of Keras's."""
    rates = {} if given["rms_rate"] is None else {"rms_rate": given["rms_rate"]}
    if given["adam_lr_ratio"] != 1:
        rates["adam_lr_ratio"] = given["adam_lr_ratio"]
    return {
        "momentum": given["momentum"],
        "ns_steps": given["ns_steps"],
        "ns_weights": (given["muon_a"], given["muon_b"], given["muon_c"]),
        **rates,
        "betas": (given["adam_beta_1"], given["adam_beta_2"]),
        "eps": given["epsilon"],
    }


def decays_itself(settings: Settings) -> bool:
    """Whether the class takes care of the weight decay."""
    return settings.said.optimizer.name in ("Adam", "AdamW", "Nadam", "Muon")


def rank(move: Move) -> int:
    """The number of dims that a variable has in PyTorch."""
    return len(move.shapes[-1])


def dims(move: Move, axes: Any) -> tuple[int, ...]:
    """The dims of a tensor that axes of the Keras array became.

    Raises:
        UnsupportedError: The axes were merged or split on the way.
    """
    became = dims_of_axes(move)
    if became is None:
        message = "target 'torch' has no norms along axes of a variable that is reordered"
        raise UnsupportedError(f"{move.weight.key}: {message}; use another constraint")
    return tuple(sorted(became[axis] for axis in (axes if isinstance(axes, tuple) else (axes,))))


def dims_of_axes(move: Move) -> tuple[int, ...] | None:
    """For each axis of the Keras array the dim that it became; None if one was merged or split."""
    ways = [_runs_along(move, axis) for axis in range(len(move.weight.shape))]
    spare = [dim for dim, size in enumerate(move.shapes[-1]) if size == 1 and (dim,) not in ways]
    ways = [way or tuple(spare.pop(0) for _ in spare[:1]) for way in ways]
    whole = all(len(way) == 1 for way in ways) and len(set(ways)) == rank(move)
    return tuple(way[0] for way in ways) if whole else None


def _runs_along(move: Move, axis: int) -> tuple[int, ...]:
    """The dims of a tensor along which the places on an axis of the Keras array differ."""
    if all(step == "transpose" for step, _ in move.steps):
        for _, numbers in move.steps:
            axis = numbers.index(axis)
        return (axis,)
    # What is taken apart on the way may be together at its end.
    shape = move.weight.shape
    along = [size if place == axis else 1 for place, size in enumerate(shape)]
    numbers = np.arange(shape[axis]).reshape(along)
    places = move.apply(np.broadcast_to(numbers, shape))
    return tuple(dim for dim in range(places.ndim) if np.ptp(places, axis=dim).any())


def penalty(rule: Rule, names: list[str], moves: list[Move]) -> list[tuple[str, str]]:
    """For each parameter that a regularizer adds to the loss, its name and the expression.

    Raises:
        UnsupportedError: The regularizer looks at what PyTorch has not.
    """
    function = rule.function
    if function.name == ROWS:
        given = function.kwargs
        if len(rule.weight.shape) != 2 or len(names) > 1:
            message = "OrthogonalRegularizer is for matrices, which target 'torch' has in one part"
            raise UnsupportedError(f"{rule.weight.key}: {message}; use another regularizer")
        (rows,) = dims(moves[0], 0 if given.get("mode", "rows") == "rows" else 1)
        matrix = "w.T" if rows else "w"
        return [(names[0], f"{given.get('factor', 0.01)!r} * mean_cosine({matrix})")]
    total = size(function, "w")
    return [(name, total) for name in names if total]


def size(function: Named, value: str) -> str:
    """What a regularizer makes of a tensor, as source code; empty if that is nothing."""
    amounts = full(function, REGULARIZERS)
    terms = []
    if amounts.get("l1"):
        terms.append(f"{amounts['l1']!r} * {value}.abs().sum()")
    if amounts.get("l2"):
        terms.append(f"{amounts['l2']!r} * {value}.square().sum()")
    return " + ".join(terms)


def activities(settings: Settings, found: dict[str, Any]) -> list[tuple[str, str]]:
    """For each module whose output a regularizer looks at, its path and the expression of `y`.

    Raises:
        UnsupportedError: The output of the layer is not that of a module.
    """
    model = found["loading"].model
    paths = {name: path for path, name in found["loading"].main.leaves()}
    made = []
    for node, function in settings.activities:
        own = [item for item in model.nodes if item.source == node.source]
        while own and own[-1].kind == "Transpose":
            own.pop()
        ends = [own.pop()] if own and own[-1].kind == "Activation" else []
        last = own[-1] if own else node
        if last.name not in paths or last.kind not in GIVES_ITS_OUTPUT or function.name == ROWS:
            message = "target 'torch' has no activity_regularizer of it in training"
            hint = "put an ActivityRegularization of l1 and l2 behind it instead"
            raise UnsupportedError(f"{node.layer.label}: {message}; {hint}")
        value = found["spell"](ends[0], "y") if ends else "y"
        total = size(function, value)
        if total:
            made.append((paths[last.name], total))
    return made


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


def excluded(settings: Settings, names: dict[str, list[str]], moves: Moves) -> tuple[str, ...]:
    """The matrices of the program that are not among those which Muon makes orthogonal.

    Raises:
        UnsupportedError: What is a matrix in Keras is none in the program.
    """
    left = []
    for key, ways in moves.items():
        matrices = [name for name, move in zip(names[key], ways, strict=True) if rank(move) == 2]
        if key in settings.orthogonal and len(matrices) != 1:
            message = "target 'torch' has no matrix of it, whose steps Muon could make orthogonal"
            pattern = "/".join(key.split(".")[-2:])
            hint = f"exclude_layers=['{pattern}'] leaves it out"
            raise UnsupportedError(f"'{key}': {message}; {hint}")
        if key not in settings.orthogonal and ways[0].weight.trainable:
            left += matrices
    return tuple(left)


def check_factored(moves: Moves) -> None:
    """Check that the first two dims of every parameter are the last two axes of Keras's.

    Raises:
        UnsupportedError: Those of one are not; Adafactor has its means along them.
    """
    for key, (move, *_) in moves.items():
        became = dims_of_axes(move)
        first = set(range(rank(move))[:2])
        if move.weight.trainable and (became is None or set(became[-2:]) != first):
            message = (
                "target 'torch' has other axes than Keras, along which Adafactor has its means"
            )
            raise UnsupportedError(f"'{key}': {message}; use another optimizer")


def normalized(settings: Settings) -> bool:
    """Whether a layer normalizes by the batch."""
    layers = (part for node in settings.model.layers for part in within(node.layer))
    return any(isinstance(layer, BatchNormalization) for layer in layers)


def undivided(settings: Settings, lowered: Model) -> str | None:
    """Why several processes cannot train the model, each on a part of every batch."""
    if any(settings.activities):
        return "a layer has an activity_regularizer, which looks at the whole batch"
    if normalized(settings) and (masked_norms(lowered) or stepped_norms(lowered)):
        return "a BatchNormalization is of masked samples or of single steps"
    return None


def page(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    """What the page of the training program is given.

    Args:
        settings: The settings.
        found: What the page of the model's program is given.

    Raises:
        UnsupportedError: PyTorch cannot train the model exactly so.
    """
    if (found["head"] is None) != (settings.head is None):
        message = "target 'torch' has not the axis of this activation last, as its loss needs it"
        raise UnsupportedError(f"{settings.result.layer.label}: {message}")
    moves: Moves = {}
    names: dict[str, list[str]] = {}
    for name, move in found["moves"]:
        moves.setdefault(move.weight.key, []).append(move)
        names.setdefault(move.weight.key, []).append(name)
    if settings.per_variable:
        for key, own in names.items():
            if len(own) > 1 and moves[key][0].weight.trainable:
                message = f"target 'torch' has '{key}' in {len(own)} parts, whose norm is another"
                raise UnsupportedError(f"{message}; use global_clipnorm, or another optimizer")
    distributed, obstacle = settings.said.distributed, undivided(settings, found["loading"].model)
    if distributed and obstacle:
        raise UnsupportedError(f"distributed: {obstacle}; leave it out, and train in one process")
    made = optimizer(settings)
    if made.name == "Muon":
        made = replace(made, excluded=excluded(settings, names, moves))
    if made.helper == "Adafactor":
        check_factored(moves)
    penalties, constraints = (
        [p for r in rules for p in said(r, names[r.weight.key], moves[r.weight.key])]
        for said, rules in ((penalty, settings.penalties), (constraint, settings.constraints))
    )
    return {
        "settings": settings,
        "optimizer": made,
        "initial": groups(found["moves"]),
        "decays_itself": decays_itself(settings),
        "penalties": penalties,
        "activities": activities(settings, found),
        "constraints": constraints,
        "normalized": normalized(settings),
        "distributed": distributed is not False and not obstacle,
        "obstacle": obstacle or "the spec says distributed: false",
        "inverse": inverse,
        "target_name": "torch",
    }
