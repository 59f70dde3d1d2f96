"""Layers that passes replace by others, for every target that has no word of its own for them."""

REWRITTEN = frozenset(
    {
        "Permute",
        "SeparableConv1D",
        "SeparableConv2D",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "SpectralNormalization",
    }
)
