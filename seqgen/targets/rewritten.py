"""Layers that passes replace by others, for every target that has no word of its own for them."""

from seqgen.layers import LAYERS
from seqgen.layers.operations import Function

FUNCTIONS = frozenset(name for name, layer in LAYERS.items() if issubclass(layer, Function))
REWRITTEN = FUNCTIONS | frozenset(
    {
        "AdditiveAttention",
        "Attention",
        "Bidirectional",
        "ConvLSTM1D",
        "ConvLSTM2D",
        "ConvLSTM3D",
        "Dot",
        "GRU",
        "GRUCell",
        "GroupQueryAttention",
        "LSTM",
        "LSTMCell",
        "MultiHeadAttention",
        "Permute",
        "RNN",
        "SeparableConv1D",
        "SeparableConv2D",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "SimpleRNN",
        "SimpleRNNCell",
        "SpectralNormalization",
        "StackedRNNCells",
        "StochasticDepth",
        "TimeDistributed",
        "ops.concatenate",
        "ops.reshape",
        "ops.transpose",
    }
)
