"""Layers that move values without changing them."""

import math
from typing import Any

from seqgen.ir.types import TensorType
from seqgen.layers.arguments import DATA_FORMAT, INTEGER, Kind, arg, integers
from seqgen.layers.base import Layer


class Flatten(Layer):
    """All axes but the batch as one, in the order of the spec."""

    layout = "spec"

    data_format: str = arg(DATA_FORMAT, "channels_last")

    def output_type(self, x: TensorType) -> TensorType:
        return x.with_sizes((math.prod(x.sizes) if x.static else None,))
