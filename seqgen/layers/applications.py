"""Layers of models in keras.applications that keras.layers does not have."""

# ruff: noqa: D102 (what the methods do is said where Layer declares them)

from seqgen.ir.types import TensorType
from seqgen.layers.arguments import POSITIVE, PROBABILITY, REAL, arg
from seqgen.layers.axes import computed
from seqgen.layers.base import Layer, Weight
from seqgen.layers.objects import Named
from seqgen.layers.operations import broadcast_shape, check_floating


class LayerScale(Layer):
    """`x * gamma` with a learned factor for each channel, as ConvNeXt has it."""

    keras_path = "keras.src.applications.convnext:LayerScale"

    init_values: float = arg(REAL)
    projection_dim: int = arg(POSITIVE)

    def output_type(self, x: TensorType) -> TensorType:
        if x.rank < 2 or x.shape[-1] != self.projection_dim:
            message = f"expected the size of the last axis of an input {x.keras_shape}, received "
            raise self.fault(f"{message}{self.projection_dim}", "projection_dim")
        return computed(self, x)

    def weight_types(self, x: TensorType) -> tuple[Weight, ...]:
        initializer = Named("Constant", (("value", self.init_values),))
        # Keras numbers it with all variables that got no name: variable, variable_1 ...
        return (Weight("gamma", (self.projection_dim,), initializer),)


class CustomScaleLayer(Layer):
    """The first tensor plus `scale` times the second one, as InceptionResNetV2 has it."""

    keras_path = "keras.src.applications.inception_resnet_v2:CustomScaleLayer"
    inputs = (2, 2)

    scale: float = arg(REAL)

    @property
    def any_order(self) -> bool:
        """Both tensors would have to have their features in the same order."""
        return False

    def output_type(self, *xs: TensorType) -> TensorType:
        check_floating(self, xs)
        first, _ = xs
        return TensorType(broadcast_shape(self, xs), first.axes, first.dtype)


class StochasticDepth(Layer):
    """In training, drops whole samples and scales the others up, as ConvNeXt has it."""

    keras_path = "keras.src.applications.convnext:StochasticDepth"

    drop_path_rate: float = arg(PROBABILITY)
