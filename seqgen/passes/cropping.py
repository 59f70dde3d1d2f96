"""What a transposed convolution crops off its result, by amounts."""

from dataclasses import replace

from seqgen.ir.graph import Model, Node
from seqgen.layers.convolution import _ConvTranspose


def crop(span: int, stride: int, padding: str, extra: int | None) -> tuple[int, int]:
    """Amounts cropped (before, after) along one axis; a negative one adds zeros after.

    Uncropped, the result has `(size - 1) * stride + span` values. What remains of it hangs on no
    size, so open ones are no special case. TensorFlow, which Keras follows, takes the odd one off
    after; an amount that would be negative is added after as a whole.
    """
    if padding == "valid":
        return 0, -(max(0, stride - span) if extra is None else extra)
    total = span - stride if extra is None else span - span % 2 - extra
    before = max(0, total) // 2
    return before, total - before


def explicit_cropping(model: Model) -> Model:
    """Put the amounts that every transposed convolution crops on its node."""

    def cropped(node: Node) -> list[Node] | None:
        layer = node.layer
        if not isinstance(layer, _ConvTranspose):
            return None
        extra = layer.output_padding or (None,) * layer.rank
        axes = zip(layer.kernel_size, layer.dilation_rate, layer.strides, extra, strict=True)
        return [
            replace(
                node,
                pads=tuple(
                    crop((window - 1) * dilation + 1, stride, layer.padding, more)
                    for window, dilation, stride, more in axes
                ),
            )
        ]

    return model.rewrite(cropped)
