"""The errors a user can cause. Every one of them derives from `SeqgenError`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


class SeqgenError(Exception):
    """Base of all errors that seqgen raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a spec, and where it stands.

    `message` says what was expected, what was received and what to do.
    """

    message: str
    argument: str | None = None
    layer: str | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        argument = f"argument '{self.argument}'" if self.argument else None
        return ": ".join(part for part in (place, self.layer, argument, self.message) if part)

    def at(self, **place: str | int | None) -> "Fault":
        """The same fault with the parts of its place that were still open filled in."""
        known = {key: getattr(self, key) for key in place}
        return replace(self, **{k: v if known[k] is None else known[k] for k, v in place.items()})


class SpecError(SeqgenError):
    """A spec, an argument or a shape is wrong. `faults` lists everything that is."""

    def __init__(self, faults: str | Fault | Iterable[Fault]) -> None:
        if isinstance(faults, str):
            faults = Fault(faults)
        self.faults: Sequence[Fault] = [faults] if isinstance(faults, Fault) else list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def at(self, **place: str | int | None) -> "SpecError":
        """The same error with layer, file or line filled in where it was not known before."""
        return SpecError(fault.at(**place) for fault in self.faults)


class UnsupportedError(SeqgenError):
    """A target or an importer cannot say something exactly, and so does not say it at all."""


class MismatchError(SeqgenError):
    """Weights do not fit the model: missing, unexpected, or of another shape or dtype."""
