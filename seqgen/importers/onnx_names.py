"""Names of layers after the names that a file has for operators and constants."""

import re
from collections import Counter
from collections.abc import Iterable

from seqgen.importers.onnx_arrays import Array
from seqgen.importers.onnx_file import Operator
from seqgen.layers.objects import auto_name

# The last words of names of constants: those of PyTorch, of Keras, and what TensorFlow adds.
OF_WEIGHTS = {
    *("weight", "bias", "running_mean", "running_var", "kernel", "gamma", "beta", "alpha"),
    *("moving_mean", "moving_variance", "depthwise_kernel", "embeddings", "scale"),
}
# Graphs whose names say which program wrote them.
OF_PROGRAMS = ("main", "graph", "torch", "tf2onnx", "jit")
LONGEST = 60


def valid(text: str) -> str:
    """A text as an identifier; empty if nothing is left of it."""
    cleaned = re.sub(r"_+", "_", re.sub(r"\W", "_", text, flags=re.ASCII)).strip("_")
    return cleaned[:LONGEST] if re.match(r"[A-Za-z]", cleaned) else ""


def _of_weight(array: Array) -> str:
    """What stands before the last word of a constant's name, if that word is one of a variable."""
    owner, _, word = str(array.key[0]).rpartition(".")
    return owner if word in OF_WEIGHTS else ""


def _of_operator(operator: Operator) -> str:
    """The part of an operator's path that a person chose; empty if a program numbered it."""
    parts = [part for part in operator.name.split("/") if part]
    if len(parts) > 1:
        # PyTorch begins with a slash and ends with the operator; TensorFlow has the model first.
        return parts[-2] if operator.name.startswith("/") else parts[1]
    name = parts[0] if parts else ""
    numbered = re.fullmatch(rf"(node_)?{re.escape(operator.kind)}(_+\d+)?", name, re.IGNORECASE)
    return "" if numbered or re.match(r"node_|n\d+$", name) else name


def good_name(operator: Operator, weights: Iterable[Array]) -> str:
    """A name for the layer of an operator; empty if the file has none that says anything."""
    owners = (_of_weight(array) for array in weights)
    return valid(next(filter(None, owners), "") or _of_operator(operator))


def input_name(name: str) -> str:
    """The name of an input; empty if Keras numbered it."""
    return "" if re.match(r"keras_tensor(_\d+)?$", name) else valid(name)


def unique(name: str, counts: Counter[str], taken: set[str]) -> str:
    """A name that nothing has yet."""
    made = auto_name(name, counts, taken)
    taken.add(made)
    return made


def model_name(name: str) -> str | None:
    """The name of a graph as that of a model; None if it is one that programs give."""
    made = valid(name)
    by_program = any(word in OF_PROGRAMS for word in made.lower().split("_"))
    return None if not made or by_program else made
