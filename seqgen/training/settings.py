"""The training section of a spec: what `compile` and `fit` of Keras take, checked."""

import dataclasses
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqgen.errors import Fault, SpecError
from seqgen.layers.arguments import (
    BOOLEAN,
    POSITIVE,
    JsonSchema,
    Kind,
    choice,
    integer,
    near_miss,
    optional,
    real,
    short,
)
from seqgen.layers.objects import Named
from seqgen.training.callbacks import CALLBACK
from seqgen.training.data import DATA, Data
from seqgen.training.losses import LOSS, LOSSES
from seqgen.training.metrics import METRIC
from seqgen.training.optimizers import OPTIMIZER, OPTIMIZERS

SEED = integer(0, "a non-negative integer")
FRACTION = real(0.0, 1.0 - 1e-9, "a number from 0 to below 1")


def several(kind: Kind, expected: str) -> Kind:
    """A list of values of a kind; one alone is a list of one."""

    def parse(value: Any, rank: int) -> tuple[Any, ...]:
        values = value if isinstance(value, (list, tuple)) else [value]
        return tuple(kind.parse(item, rank) for item in values)

    def schema(rank: int) -> JsonSchema:
        one = kind.schema(rank)
        return {"anyOf": [one, {"type": "array", "items": one}]}

    return Kind(expected, parse, schema)


def _class_weight(value: Any, rank: int) -> tuple[tuple[int, float], ...]:
    if not isinstance(value, Mapping) or not value:
        raise TypeError
    # The keys of JSON and TOML are strings.
    found = {int(k): WEIGHT.parse(v, rank) for k, v in value.items()}
    if min(found) < 0:
        raise ValueError
    return tuple(sorted(found.items()))


WEIGHT = real(0.0, expected="a number of at least 0")
CLASS_WEIGHT = Kind(
    "a mapping from classes to weights",
    _class_weight,
    lambda rank: {"type": "object", "additionalProperties": WEIGHT.schema(rank)},
)


def setting(kind: Kind, default: Any = dataclasses.MISSING) -> Any:
    """Declare a setting."""
    return dataclasses.field(default=default, metadata={"kind": kind})


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is trained; each setting is named as Keras's `compile` and `fit` name it.

    Attributes:
        optimizer: By what the weights are changed.
        loss: What is made small.
        metrics: What is reported besides.
        weighted_metrics: What is reported of samples by their weights.
        batch_size: Samples of a step; the last of an epoch may have fewer.
        epochs: How often every sample is seen, if `steps_per_epoch` does not say otherwise.
        steps_per_epoch: Batches of an epoch, which goes on in the data where the last one ended.
        shuffle: Whether each epoch has an order of its own.
        seed: Of the orders, and of dropout.
        validation_split: The part of the samples, at the end, that is not trained on.
        class_weight: The weight of the samples of each class; 1 where none is given.
        callbacks: What happens after an epoch.
        data: What to train on, which `--data` of the programs replaces.
        distributed: Whether programs can run in several processes, each with a part of every batch.
            If nothing is said, the PyTorch program can where its model lets it.
        parity: `exact`, or `idiomatic`: PyTorch's own classes, whose deviations are listed.
    """

    optimizer: Named = setting(OPTIMIZER, Named("RMSprop"))
    loss: Named = setting(LOSS)
    metrics: tuple[Named, ...] = setting(several(METRIC, "a list of metrics"), ())
    weighted_metrics: tuple[Named, ...] = setting(several(METRIC, "a list of metrics"), ())
    batch_size: int = setting(POSITIVE, 32)
    epochs: int = setting(POSITIVE, 1)
    steps_per_epoch: int | None = setting(optional(POSITIVE), None)
    shuffle: bool = setting(BOOLEAN, True)
    seed: int = setting(SEED, 0)
    validation_split: float = setting(FRACTION, 0.0)
    class_weight: tuple[tuple[int, float], ...] | None = setting(optional(CLASS_WEIGHT), None)
    callbacks: tuple[Named, ...] = setting(several(CALLBACK, "a list of callbacks"), ())
    data: Data | None = setting(optional(DATA), None)
    distributed: bool | None = setting(optional(BOOLEAN), None)
    parity: str = setting(choice("exact", "idiomatic"), "exact")

    @classmethod
    def kinds(cls) -> dict[str, Kind]:
        """What each setting takes."""
        return {field.name: field.metadata["kind"] for field in dataclasses.fields(cls)}

    @classmethod
    def parse(cls, given: Any) -> "Training":
        """The settings of plain values.

        Raises:
            SpecError: With every fault.
        """
        if isinstance(given, Training):
            return given
        if not isinstance(given, Mapping):
            message = f"expected keys such as optimizer and loss, received {short(given)}"
            raise SpecError(Fault(message, None, "training"))
        kinds, faults, values = cls.kinds(), [], {}
        for name, value in given.items():
            if name not in kinds:
                message = f"there is no such setting{near_miss(str(name), kinds)}"
                faults.append(Fault(message, str(name)[:60], "training"))
                continue
            try:
                values[name] = kinds[name].parse(value, 0)
            except (TypeError, ValueError) as error:
                hint = str(error) if str(error).startswith(";") else ""
                message = f"expected {kinds[name].expected}, received {short(value)}{hint}"
                faults.append(Fault(message, name, "training"))
        if "loss" not in given:
            faults.append(Fault(f"expected {LOSS.expected}, but it is missing", "loss", "training"))
        if faults:
            raise SpecError(faults)
        made = cls(**values)
        made.check()
        return made

    def check(self) -> None:
        """Raise a `SpecError` if settings do not go together."""
        rate = self.optimizer.kwargs.get("learning_rate")
        names = [callback.name for callback in self.callbacks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            message = f"expected each callback once, received {twice} twice"
            raise SpecError(Fault(message, "callbacks", "training"))
        clips = [name for name in CLIPS if self.optimizer.kwargs.get(name) is not None]
        for name in ("LearningRateScheduler", "ReduceLROnPlateau"):
            if isinstance(rate, Named) and name in names:
                message = f"{name} cannot change a learning rate that a schedule gives"
                raise SpecError(Fault(message, "callbacks", "training"))
        if "SwapEMAWeights" in names and not self.optimizer.kwargs.get("use_ema"):
            message = "SwapEMAWeights needs an optimizer with use_ema: true"
            raise SpecError(Fault(message, "callbacks", "training"))
        self._check_files()
        if len(clips) > 1:
            message = f"expected at most one of {', '.join(CLIPS)}, received {', '.join(clips)}"
            raise SpecError(Fault(message, "optimizer", "training"))

    def _check_files(self) -> None:
        for callback in self.callbacks:
            given = callback.kwargs
            if callback.name != "ModelCheckpoint":
                continue
            weights = given["filepath"].endswith(".weights.h5")
            if weights != bool(given.get("save_weights_only")):
                message = "a file of weights ends in .weights.h5, one of a model in .keras or .h5"
                raise SpecError(Fault(f"ModelCheckpoint: {message}", "callbacks", "training"))

    def to_plain(self) -> dict[str, Any]:
        """The settings as a spec file holds them, without those that are the default."""
        fields = dataclasses.fields(self)
        given = {f.name: getattr(self, f.name) for f in fields}
        kept = {f.name: plain(given[f.name]) for f in fields if given[f.name] != f.default}
        if self.class_weight is not None:
            kept["class_weight"] = {str(k): weight for k, weight in self.class_weight}
        return kept

    def rounded(self) -> "Training":
        """The settings with every number as Keras holds it: in float32, in whatever it computes."""
        return dataclasses.replace(
            self,
            optimizer=single(said(self.optimizer, OPTIMIZERS)),
            loss=single(said(self.loss, LOSSES)),
            class_weight=single(self.class_weight),
        )


CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


def plain(value: Any) -> Any:
    """A setting as a spec file holds it."""
    if isinstance(value, Data):
        return value.to_plain()
    if isinstance(value, Named):
        arguments = {name: plain(item) for name, item in value.arguments}
        return {value.name: arguments} if arguments else value.name
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def single(value: Any) -> Any:
    """A value with every number of it rounded to float32."""
    if isinstance(value, Named):
        return Named(value.name, tuple((name, single(item)) for name, item in value.arguments))
    if isinstance(value, tuple):
        return tuple(map(single, value))
    return struct.unpack("f", struct.pack("f", value))[0] if isinstance(value, float) else value


def full(value: Named, table: Mapping[str, Mapping[str, tuple[Kind, Any]]]) -> dict[str, Any]:
    """All arguments of an entry of a table, those that are the default too."""
    return {name: default for name, (_, default) in table[value.name].items()} | value.kwargs


def said(value: Named, table: Mapping[str, Mapping[str, tuple[Kind, Any]]]) -> Named:
    """An entry of a table with its defaults among its arguments."""
    return Named(value.name, tuple(full(value, table).items()))
