"""What optimizers keep of each variable: Keras's slots, and where PyTorch's programs keep them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqgen.targets.base import Move
from seqgen.targets.torch_training import dims, optimizer
from seqgen.targets.training import Settings
from seqgen.verify.variables import Pair, Placing

# Keras's array and the arguments of the optimizer; gives the array that PyTorch has.
Relation = Callable[[np.ndarray, Mapping[str, Any]], np.ndarray]


@dataclass(frozen=True)
class Slot:
    """Where PyTorch keeps a slot of Keras.

    Attributes:
        name: What it is called there.
        relation: Makes PyTorch's quantity of Keras's, where that is another one by design.
        why: Why it is another one.
    """

    name: str
    relation: Relation | None = None
    why: str = ""


def _same(**names: str) -> dict[str, Slot]:
    return {keras: Slot(torch) for keras, torch in names.items()}


ADAM = _same(momentums="exp_avg", velocities="exp_avg_sq", velocity_hats="max_exp_avg_sq")
# By the class of the program, and by Keras's name of the slot.
SLOTS: dict[str, dict[str, Slot]] = {
    "torch.optim.SGD": {
        "momentums": Slot(
            "momentum_buffer",
            lambda kept, given: kept / -given["learning_rate"],
            "Keras adds up steps, and PyTorch the gradients they are made of",
        )
    },
    "torch.optim.Adadelta": _same(
        accumulated_grads="square_avg", accumulated_delta_vars="acc_delta"
    ),
    "torch.optim.Adagrad": {
        "accumulators": Slot(
            "sum",
            lambda kept, given: kept + given["epsilon"],
            "epsilon is part of the sum, to stand in the root as it does in Keras",
        )
    },
    "torch.optim.NAdam": ADAM,
    "Adam": ADAM,
    "AdamW": ADAM,
    "SGD": _same(momentums="momentum"),
    "RMSprop": _same(velocities="square", momentums="momentum", average_gradients="mean"),
    "Adamax": _same(m="mean", u="largest"),
    "Ftrl": _same(accumulators="sum", linears="linear"),
    "Lion": _same(momentums="mean"),
    "Lamb": _same(momentums="mean", velocities="square"),
    "Adafactor": _same(v="variance"),
    "Muon": _same(momentums="momentum", adam_velocities="square"),
    "ScheduleFreeAdamW": _same(momentums="steps", velocities="square"),
}
ALL: dict[str, Slot] = {
    "model_variables_moving_average": Slot("average"),
    "accumulated_gradients": Slot(
        "gradient",
        lambda kept, given: kept / given["gradient_accumulation_steps"],
        "Keras divides the sum of gradients, and PyTorch what it adds",
    ),
}
# Adafactor's means of squares along an axis of the Keras array; what it makes of the two for a
# matrix is no slot in PyTorch.
MEANS = {"r": -1, "c": -2}

# The slot and the variable, and arrays by these.
Kept = Mapping[tuple[str, str], np.ndarray]


def spread(move: Move, slot: str, kept: np.ndarray) -> tuple[str, np.ndarray]:
    """PyTorch's name of a mean along an axis, and the mean at each place of the Keras array."""
    name = ("column", "row")[dims(move, MEANS[slot])[0]]
    return name, np.broadcast_to(np.expand_dims(kept, MEANS[slot]), move.weight.shape)


def slot_pairs(placing: Placing, expected: Kept, received: Kept) -> list[Pair]:
    """The slots of the oracle that a program has too, each beside the program's.

    What an optimizer keeps once, and not for each variable, counts steps, and shows in the
    variables.
    """
    if placing.target != "torch":
        # By Keras's own names.
        same = expected.items()
        return [placing.pair(key, kept, received, slot, slot) for (slot, key), kept in same]
    settings = Settings(placing.bench.graph)
    made, given, found = optimizer(settings), settings.optimizer, []
    if made.deviation:
        # PyTorch's own class, which computes something else, keeps something else.
        return []
    for (slot, key), kept in expected.items():
        move = placing.moves[key][0]
        if made.cls == "Adafactor" and slot in MEANS:
            own, kept = spread(move, slot, kept)
        elif made.cls == "Adafactor" and slot == "v" and kept.ndim > 1:
            continue
        else:
            known = {**ALL, **SLOTS[made.cls]}[slot]
            own = known.name
            kept = known.relation(kept, given) if known.relation else kept
        found.append(placing.pair(key, kept, received, slot, own))
    return found
