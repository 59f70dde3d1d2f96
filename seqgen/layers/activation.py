"""Activations as layers."""

from dataclasses import replace

from seqgen.ir.types import Permutation, TensorType
from seqgen.layers.arguments import arg
from seqgen.layers.base import Layer
from seqgen.layers.objects import ACTIVATION


class Activation(Layer):
    """Applies an activation function."""

    activation: object = arg(ACTIVATION)
