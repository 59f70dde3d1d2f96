"""The callbacks of Keras 3.15 that programs have: names, arguments and defaults."""

import json
import re
from typing import Any

from seqgen.layers.arguments import (
    BOOLEAN,
    NON_NEGATIVE_REAL,
    POSITIVE,
    REAL,
    TEXT,
    Kind,
    choice,
    optional,
)
from seqgen.layers.objects import REQUIRED, Signature, named
from seqgen.training.optimizers import COUNT, POSITIVE_REAL


def only(value: Any, why: str) -> Kind:
    """Nothing but the default of an argument that is refused for the reason given."""

    def parse(given: Any, rank: int) -> Any:
        if given != value or type(given) is not type(value):
            raise ValueError
        return value

    return Kind(f"{json.dumps(value)}, since {why},", parse, lambda rank: {"const": value})


def _function(value: Any, rank: int) -> str:
    if not isinstance(value, str) or not FUNCTION_NAME.fullmatch(value):
        raise TypeError
    return value


def _file(value: Any, rank: int) -> str:
    text: str = TEXT.parse(value, rank)
    # Batches are counted from where training went on.
    if not text.endswith((".keras", ".h5")) or "{batch" in text:
        raise ValueError
    return text


def _frequency(value: Any, rank: int) -> int | str:
    if value == "epoch":
        return "epoch"
    number: int = POSITIVE.parse(value, rank)
    return number


FUNCTION_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
FUNCTION = Kind(
    "a function as 'module:function'",
    _function,
    lambda rank: {"type": "string", "pattern": f"^{FUNCTION_NAME.pattern}$"},
)
FILE = Kind(
    "a file name without {batch} that ends in .keras, .h5 or .weights.h5",
    _file,
    lambda rank: {"type": "string", "pattern": r"\.(keras|h5)$"},
)
FREQUENCY = Kind(
    "'epoch' or a number of batches",
    _frequency,
    lambda rank: {"anyOf": [{"const": "epoch"}, POSITIVE.schema(rank)]},
)
SCALARS = "programs write the scalars of each epoch"
WATCHED: Signature = {"monitor": (TEXT, "val_loss")}
MODE = (choice("auto", "min", "max"), "auto")
CALLBACKS: dict[str, Signature] = {
    "BackupAndRestore": {
        "backup_dir": (TEXT, REQUIRED),
        "save_freq": (FREQUENCY, "epoch"),
        "double_checkpoint": (
            only(False, "a checkpoint replaces the one before as a whole"),
            False,
        ),
        "delete_checkpoint": (BOOLEAN, True),
    },
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
    "LearningRateScheduler": {"schedule": (FUNCTION, REQUIRED)},
    "ModelCheckpoint": {
        "filepath": (FILE, REQUIRED),
        **WATCHED,
        "save_best_only": (BOOLEAN, False),
        "save_weights_only": (BOOLEAN, False),
        "mode": MODE,
        "save_freq": (FREQUENCY, "epoch"),
        "initial_value_threshold": (optional(REAL), None),
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
    "SwapEMAWeights": {"swap_on_epoch": (BOOLEAN, False)},
    "TensorBoard": {
        "log_dir": (TEXT, "logs"),
        "histogram_freq": (only(0, SCALARS), 0),
        "write_graph": (BOOLEAN, True),
        "write_images": (only(False, SCALARS), False),
        "write_steps_per_second": (only(False, SCALARS), False),
        "update_freq": (only("epoch", SCALARS), "epoch"),
        "profile_batch": (only(0, SCALARS), 0),
        "embeddings_freq": (only(0, SCALARS), 0),
        "embeddings_metadata": (only(None, SCALARS), None),
    },
    "TerminateOnNaN": {},
}
CALLBACK = named("a callback", CALLBACKS)
