"""Layers that passes replace by others, for every target that has no word of its own for them."""

REWRITTEN = frozenset(
    {
        "Bidirectional",
        "ConvLSTM1D",
        "ConvLSTM2D",
        "ConvLSTM3D",
        "GRU",
        "GRUCell",
        "LSTM",
        "LSTMCell",
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
        "TimeDistributed",
    }
)
