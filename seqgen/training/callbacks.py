"""The callbacks of Keras 3.15 that programs have: names, arguments and defaults."""

from seqgen.layers.arguments import BOOLEAN, NON_NEGATIVE_REAL, REAL, TEXT, choice, optional
from seqgen.layers.objects import REQUIRED, Signature, named
from seqgen.training.optimizers import COUNT, POSITIVE_REAL

WATCHED: Signature = {"monitor": (TEXT, "val_loss")}
MODE = (choice("auto", "min", "max"), "auto")
CALLBACKS: dict[str, Signature] = {
    "CSVLogger": {"filename": (TEXT, REQUIRED), "separator": (TEXT, ",")},
    "EarlyStopping": {
        **WATCHED,
        "min_delta": (NON_NEGATIVE_REAL, 0),
        "patience": (COUNT, 0),
        "mode": MODE,
        "baseline": (optional(REAL), None),
        "restore_best_weights": (BOOLEAN, False),
        "start_from_epoch": (COUNT, 0),
    },
    "ReduceLROnPlateau": {
        **WATCHED,
        "factor": (POSITIVE_REAL, 0.1),
        "patience": (COUNT, 10),
        "mode": MODE,
        "min_delta": (NON_NEGATIVE_REAL, 0.0001),
        "cooldown": (COUNT, 0),
        "min_lr": (NON_NEGATIVE_REAL, 0.0),
    },
    "TerminateOnNaN": {},
}
CALLBACK = named("a callback", CALLBACKS)
