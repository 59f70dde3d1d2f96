"""Operations of keras.ops in the configs of functional models, as items of a spec.

A node of such a model is a layer, or an operation: an object whose `module` begins with
`keras.src.ops`. What a function of keras.ops is called with stands partly in the `config` of that
object (axes and other settings), partly in its one inbound node (tensors, and the numbers beside
them).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqgen.errors import SpecError, UnsupportedError
from seqgen.importers.objects import is_object
from seqgen.layers import find_layer
from seqgen.layers.arguments import short
from seqgen.layers.objects import to_snake_case
from seqgen.layers.operations import Operation

MODULE = "keras.src.ops"
# The dtypes that NumPy knows and Python's numbers are wider than.
SHORTENED = ("float16", "float32")
ARRAYS = ("__numpy__", "__tensor__")


class Call(NamedTuple):
    """An operation as a spec has it.

    Attributes:
        name: What it is called in specs, such as `ops.add`.
        arguments: Its arguments there: numbers beside the tensors, axes and the like.
        tensors: What it takes, in order, as the config has each.
    """

    name: str
    arguments: dict[str, Any]
    tensors: tuple[Any, ...]


def is_operation(item: Mapping[str, Any]) -> bool:
    """Whether an item of the `layers` of a config is an operation and no layer."""
    return str(item.get("module")).startswith(MODULE)


def operation(
    class_name: str,
    config: Mapping[str, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dtype: str | None,
) -> Call:
    """An operation of a config as a spec has it.

    Args:
        class_name: Its class, such as `Add`.
        config: Its own config.
        args: What its inbound node has by place.
        kwargs: What its inbound node has by name.
        dtype: That of the model.

    Raises:
        UnsupportedError: There is no such operation here, or it cannot say an argument.
    """
    name = f"ops.{to_snake_case(class_name)}"
    kind = find_layer(name)
    if kind is None or not issubclass(kind, Operation):
        raise UnsupportedError(f"the operation {class_name} of keras.ops is not supported")
    taken = dict(zip(kind.signature(), args, strict=False)) | dict(kwargs)
    tensors: list[Any] = []
    arguments = {key: value for key, value in config.items() if key != "name"}
    for key, value in taken.items():
        if _is_tensor(value):
            tensors.append(value)
        elif isinstance(value, (list, tuple)) and value and all(map(_is_tensor, value)):
            tensors += value
        else:
            arguments[key] = _constant(value, dtype)
    try:
        made = kind.from_arguments(arguments)
    except SpecError as error:
        raise UnsupportedError(f"keras.{name}: {error}") from None
    return Call(name, {k: kind.kinds[k].brief(v) for k, v in made.arguments().items()}, (*tensors,))


def _is_tensor(value: Any) -> bool:
    return is_object(value) and value["class_name"] == "__keras_tensor__"


def _shortest(value: Any, dtype: str) -> Any:
    """Numbers of an array as short as its dtype has them: 0.1, and not 0.10000000149011612."""
    if isinstance(value, (list, tuple)):
        return [_shortest(item, dtype) for item in value]
    narrow = isinstance(value, float) and dtype in SHORTENED
    return float(str(np.dtype(dtype).type(value))) if narrow else value


def _constant(value: Any, dtype: str | None) -> Any:
    """A value of a config that is no tensor; slices and `...` have a form of their own there."""
    if isinstance(value, (list, tuple)):
        return [_constant(item, dtype) for item in value]
    if not isinstance(value, Mapping):
        return value
    if is_object(value) and value["class_name"] == "__slice__":
        return slice(*(value["config"].get(key) for key in ("start", "stop", "step")))
    if value.get("class_name") == "__ellipsis__":
        return ...
    if is_object(value) and value["class_name"] in ARRAYS:
        own = value["config"].get("dtype")
        if own != dtype:
            # Keras would go on in the wider one of the two.
            message = f"expected an array of {dtype}, as the model has it, received one of {own}"
            raise UnsupportedError(message)
        return _shortest(value["config"].get("value"), own)
    raise UnsupportedError(f"expected a tensor or a number, received {short(dict(value))}")
