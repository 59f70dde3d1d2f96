"""The targets by name."""

from seqgen.targets.base import Target
from seqgen.targets.keras import KERAS
from seqgen.targets.onnx import ONNX
from seqgen.targets.torch import TORCH

TARGETS: dict[str, Target] = {target.name: target for target in (KERAS, TORCH, ONNX)}
