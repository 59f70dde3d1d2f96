"""The targets by name."""

import functools

from seqgen import plugins
from seqgen.errors import SpecError
from seqgen.layers.arguments import near_miss
from seqgen.targets.base import Target
from seqgen.targets.keras import KERAS
from seqgen.targets.onnx import ONNX
from seqgen.targets.torch import TORCH

TARGETS: dict[str, Target] = {target.name: target for target in (KERAS, TORCH, ONNX)}


@functools.cache
def all_targets() -> dict[str, Target]:
    """Every target by name, those of other packages included."""
    found = plugins.load("seqgen.targets", Target)
    return {**TARGETS, **{target.name: target for target in found.values()}}


def target_named(name: str) -> Target:
    """The target of this name. Other packages are looked through only for a name not known yet.

    Raises:
        SpecError: There is none.
    """
    target = TARGETS.get(name) or all_targets().get(name)
    if target is None:
        known = all_targets()
        hint = near_miss(name, known)
        raise SpecError(f"there is no target '{name}'{hint}; there are: {', '.join(known)}")
    return target
