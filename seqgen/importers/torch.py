"""A live `nn.Sequential` of PyTorch into a spec with its weights. PyTorch is not imported."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from seqgen import initializers
from seqgen.errors import MismatchError, UnsupportedError
from seqgen.importers.torch_layers import ANY_LAYOUT, CHANNELS, CONVERTERS
from seqgen.importers.torch_modules import Nest, Part, leaves_of, tree_of, weights_dtype
from seqgen.importers.torch_reshaping import changes_nothing
from seqgen.importers.torch_walk import Value, Walk
from seqgen.ir.build import input_type
from seqgen.layers.objects import to_snake_case
from seqgen.spec.entry import Input
from seqgen.spec.sequential import Sequential
from seqgen.weights import Lazy, Weights


def from_torch(
    module: Any, input_shape: Sequence[int | None], dtype: str | None = None
) -> Sequential:
    """A spec with the weights of a live `nn.Sequential`, of nested ones too.

    The spec computes what the module computes in eval mode. Where the layers work on channels, it
    has the channels last, as Keras has them: its input is PyTorch's with the axis behind the batch
    moved to the end, and so is its output where such layers are the last to tell axes apart. Where
    the first layer works on the last axis (Linear, LayerNorm, Embedding), the input stays as it is,
    and a Permute stands where the two meet. The PyTorch program that is generated from the spec
    takes and returns the very tensors of the module, and its manifest has the permutations. Layers
    are called as in the module; those that it only numbers get the names that Keras gives.

    While training, three things differ, since Keras's layers are other ones: the moving variance
    of a BatchNormalization takes the biased variance of a batch, not the unbiased one; one whose
    parameters are all frozen stays in inference mode; and the row `padding_idx` of an Embedding is
    trained. What is frozen (`requires_grad`) is frozen in the spec.

    Args:
        module: The module. Its weights are read when they are asked for.
        input_shape: Shape of its input without the batch, channels first; None for an open size.
        dtype: That of the input. By itself int64 where an Embedding comes first, and else that of
            the weights.

    Raises:
        UnsupportedError: It is no `nn.Sequential`, or parts of it have no exact Keras layer; they
            are named by path, class and argument.
        SpecError: The input shape or a name is not allowed.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(module, torch.nn.Module):
        raise UnsupportedError(f"expected a torch.nn.Sequential, received {type(module).__name__}")
    tree = tree_of(module)
    leaves = leaves_of(tree)
    own, first = weights_dtype(leaves), _deciding(leaves, input_shape[1:])
    last = first.startswith(CHANNELS) and len(input_shape) > 1
    shape = (*input_shape[1:], input_shape[0]) if last else tuple(input_shape)
    entry = Input(shape, dtype=dtype or ("int64" if first == "Embedding" else own))
    start = input_type(entry.shape or (), entry.dtype or own, "channels_last")
    walk = Walk(start, last, own, [part.kind for part in leaves])
    items = _items(tree, walk)
    walk.leave()
    name = to_snake_case(type(module).__name__)
    model = Sequential(
        [entry, *items, *walk.made], name=name, dtype=None if own == "float32" else own
    )
    model.set_store(Weights(dict(_stored(torch, model, walk.values))))
    return model


def _deciding(leaves: list[Part], spatial: Sequence[int | None]) -> str:
    """The class of the first module that tells axes apart; empty if all take what comes."""
    for part in leaves:
        anyhow = part.kind in ANY_LAYOUT or changes_nothing(part.kind, part.module, spatial)
        if not anyhow:
            return part.kind
    return ""


def _items(tree: Sequence[Part | Nest], walk: Walk) -> list[Any]:
    """Layers, and models among them, for modules."""
    items: list[Any] = []
    for item in tree:
        if isinstance(item, Nest):
            items.append(Sequential(_items(item.items, walk), name=item.name))
        else:
            walk.enter(item)
            CONVERTERS[item.kind](walk, item.module)
            items += walk.made
    return items


def _stored(torch: Any, model: Sequential, values: list[Value]) -> Iterator[tuple[str, Lazy]]:
    """Every variable of the spec, made of a tensor of the module when it is asked for."""
    specs = model.graph().weights
    shapes = [tuple(value.change(value.tensor.detach().to("meta")).shape) for value in values]
    if shapes != [spec.shape for spec in specs]:
        raise MismatchError(f"expected weights of shapes {[s.shape for s in specs]}, got {shapes}")
    for spec, value in zip(specs, values, strict=True):
        dtype = str(value.tensor.dtype).removeprefix("torch.")
        yield spec.key, Lazy(spec.shape, dtype, _loader(torch, value, dtype))


def _loader(torch: Any, value: Value, dtype: str) -> Callable[[], np.ndarray]:
    def load() -> np.ndarray:
        tensor = value.change(value.tensor.detach().cpu()).contiguous()
        if dtype == "bfloat16":  # which NumPy does not know
            bits = tensor.view(torch.int16).numpy()
            return np.array(bits.view(initializers.array_dtype(dtype)))
        return np.array(tensor.numpy())

    return load
