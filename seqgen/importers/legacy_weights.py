"""Variables in HDF5 files of the format of Keras 2, which Keras 3 writes for `.h5` still.

A layer has a group, and its variables are listed in an attribute: those that are trained first.
Which ones that were depends on what was frozen and on the version that wrote the file, so their
names, which are listed too, decide between the orders that there are.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seqgen.errors import MismatchError, UnsupportedError
from seqgen.importers.archive import Store
from seqgen.importers.legacy_config import CORRELATES
from seqgen.layers.base import Layer, Weight
from seqgen.spec.flatten import flatten
from seqgen.weights import Lazy

if TYPE_CHECKING:
    from seqgen.spec.whole import Whole

# The variables of a layer or model in the order of the layers, each with whether its layer is
# trained.
Listed = Sequence[tuple[Weight, bool]]

LAYER_NAMES, WEIGHT_NAMES = "layer_names", "weight_names"
TOP_LEVEL = "top_level_model_weights"
# What training does not change by gradients, whether frozen or not.
STATISTICS = ("moving_mean", "moving_variance", "mean", "variance", "count", "vector_u")
# Other names of variables in files: those that Keras 2 had, and those of variables without a name.
OLD_NAMES = {
    "gamma": ("variable", "Variable"),
    "kernel": ("depthwise_kernel",),
    "vector_u": ("sn_u",),
}
NUMBER = re.compile(r"(_\d+)?(:\d+)?$")


def _below(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name


def _variable(weight: Weight) -> str:
    return weight.name.rpartition("/")[2]


def _is_called(name: str, weight: Weight) -> bool:
    """Whether a name of the file, such as `dense_1/kernel_1:0`, is that of a variable."""
    last, variable = name.rpartition("/")[2], _variable(weight)
    known = (variable, *OLD_NAMES.get(variable, ()))
    return last in known or NUMBER.sub("", last) in known


def _is_of_layer(name: str, weight: Weight) -> bool:
    """Whether a name of the file has the name of the variable's layer in front of it."""
    return name.split("/")[-2:-1] == weight.key.split(".")[-2:-1]


def _orders(weights: Listed) -> list[tuple[Weight, ...]]:
    """The orders in which the variables of a layer or model may be listed."""
    plain = [weight for weight, _ in weights]
    statistics = sorted(plain, key=lambda w: _variable(w) in STATISTICS)
    frozen = [w for w, trained in sorted(weights, key=lambda x: not (x[1] and x[0].trainable))]
    return list(dict.fromkeys(map(tuple, (statistics, frozen, plain))))


def _ordered(
    label: str, weights: Listed, names: Sequence[str], found: Sequence[Lazy]
) -> tuple[Weight, ...]:
    """The variables in the order of their names in the file."""
    orders = _orders(weights)
    if len(names) != len(weights):
        expected = ", ".join(f"'{weight.key}'" for weight in orders[0])
        raise MismatchError(
            f"{label}: expected {len(weights)} variables ({expected}), the file has {len(names)}: "
            f"{', '.join(names)}"
        )
    tests: tuple[Callable[[Weight, str, Lazy], bool], ...] = (
        lambda weight, name, entry: _is_called(name, weight),
        lambda weight, name, entry: weight.shape == entry.shape,
        lambda weight, name, entry: _is_of_layer(name, weight),
    )
    for number, test in enumerate(tests):
        fitting = [o for o in orders if all(map(test, o, names, found))]
        if not fitting and number == 0:
            expected = ", ".join(f"'{weight.key}'" for weight in orders[0])
            raise MismatchError(f"{label}: expected {expected}; the file has {', '.join(names)}")
        orders = fitting or orders
        if len(orders) == 1:
            return orders[0]
    raise MismatchError(
        f"{label}: which variables are which cannot be told from the names {', '.join(names)}; "
        "give the layers of the spec the names that they have in the file"
    )


def _groups(model: "Whole") -> Iterator[tuple[str, Listed]]:
    """Every layer of a model with its variables, those that others have as well included."""
    known = {weight.key: weight for weight in model.graph().weights}
    keys = {id(variable): key for key, variable in model.keyed_variables.items()}
    for item in model.items:
        layers = [item] if isinstance(item, Layer) else [leaf.layer for leaf in flatten(item)]
        found = [
            (known[keys[id(variable)]], model.trainable and bool(layer.trainable))
            for layer in layers
            for variable in layer.variables
        ]
        yield item.name or "", found


def _paired(store: Store, root: str, model: "Whole") -> Iterator[tuple[str, Listed]]:
    """The groups of the file that hold variables, each with those of the model's layer."""
    saved = store.names(root, LAYER_NAMES)
    names = [name for name in saved if store.names(_below(root, name), WEIGHT_NAMES)]
    groups = [(name, variables) for name, variables in _groups(model) if variables]
    expected = [name for name, _ in groups]
    if len(names) != len(expected):
        raise MismatchError(
            f"{store.label}: expected weights of the {len(expected)} layers {expected}, "
            f"the file has those of {len(names)}: {names}"
        )
    if names != expected and sorted(names) == sorted(expected):
        raise MismatchError(
            f"{store.label} has the layers in another order: expected {expected}, received {names}"
        )
    return zip(names, (variables for _, variables in groups), strict=True)


def _check_writer(store: Store, root: str, model: "Whole") -> None:
    version = store.text("keras_version", root) or "1"
    if not version.startswith(("2.", "3.")):
        raise UnsupportedError(
            f"{store.label} was written by Keras '{version}'; files of Keras 2 and 3 are read"
        )
    backend = store.text("backend", root)
    spatial = [node.layer.label for node in model.graph().layers if node.layer.rank]
    if spatial and backend not in CORRELATES:
        raise UnsupportedError(
            f"{store.label}: {spatial[0]}: the weights were written with the back end '{backend}', "
            "which convolves with flipped kernels; save them with TensorFlow"
        )
    outside = _below(root, TOP_LEVEL)
    if store.has_attribute(outside, WEIGHT_NAMES) and store.names(outside, WEIGHT_NAMES):
        raise UnsupportedError(f"{store.label} holds variables of the model outside its layers")


def legacy_weights(store: Store, root: str, model: "Whole") -> dict[str, Lazy]:
    """Every variable of a model with its array in the file.

    Args:
        store: The file.
        root: Path of the group with the layers; empty if they are at the root.
        model: The model.

    Raises:
        MismatchError: The file has other layers, other variables, or other shapes.
        UnsupportedError: It was written by Keras 1, or with a back end that convolves otherwise.
    """
    _check_writer(store, root, model)
    entries: dict[str, Lazy] = {}
    for name, weights in _paired(store, root, model):
        group = _below(root, name)
        names = store.names(group, WEIGHT_NAMES)
        found = [store.entry(f"{group}/{weight}") for weight in names]
        order = _ordered(f"{store.label}: {name}", weights, names, found)
        by_key = {w.key: entry for w, entry in zip(order, found, strict=True)}
        for weight, _ in weights:
            by_key |= _from_cudnn(weight, by_key)
        for weight, _ in weights:
            if by_key[weight.key].shape != weight.shape:
                shape = by_key[weight.key].shape
                raise MismatchError(
                    f"{weight.key}: expected shape {weight.shape}, the file has {shape}"
                )
        entries |= by_key
    return entries


def _from_cudnn(bias: Weight, entries: dict[str, Lazy]) -> dict[str, Lazy]:
    """The variables of a CuDNNLSTM or CuDNNGRU as those of an LSTM or GRU; empty for others.

    CuDNN has a bias for the input and one for the state, and kernels transposed gate by gate
    (`preprocess_weights_for_loading` of Keras 2).
    """
    prefix, _, name = bias.key.rpartition(".")
    kernel, recurrent = f"{prefix}.kernel", f"{prefix}.recurrent_kernel"
    if name != "bias" or recurrent not in entries or len(entries[recurrent].shape) != 2:
        return {}
    units, columns = entries[recurrent].shape
    gates = columns // max(units, 1)
    expected = {3: (2, 3 * units), 4: (4 * units,)}.get(gates)
    if bias.shape != expected or entries[bias.key].shape != (2 * gates * units,):
        return {}

    def changed(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Lazy:
        entry = entries[key]
        shape = bias.shape if key == bias.key else entry.shape
        return Lazy(shape, entry.dtype, lambda: np.ascontiguousarray(change(entry.load())))

    def by_gate(array: np.ndarray, order: "Callable[[np.ndarray], np.ndarray]") -> np.ndarray:
        return np.hstack([order(part) for part in np.hsplit(array, gates)])

    return {
        kernel: changed(kernel, lambda k: by_gate(k, lambda p: p.T.reshape(p.shape, order="F"))),
        recurrent: changed(recurrent, lambda k: by_gate(k, lambda p: p.T)),
        bias.key: changed(bias.key, lambda b: b.reshape(2, -1) if gates == 3 else _summed(b)),
    }


def _summed(bias: np.ndarray) -> np.ndarray:
    return np.add(*np.split(bias, 2))
