"""Long ONNX programs: functions for layers that they have often, weights that load in a loop."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from seqgen.ir.graph import Input, Model, Node
from seqgen.ir.types import Permutation
from seqgen.naming import identifier
from seqgen.render import Macros
from seqgen.targets.base import Move
from seqgen.targets.blocks import Signature, signature
from seqgen.targets.onnx_functions import Functions
from seqgen.targets.onnx_pieces import Helper

# The most steps of a program that makes one node after the other, each with all names.
SHORT = 30
# The fewest layers for which a function stands.
FEWEST_LAYERS = 8
# What the page calls its own functions, modules and variables.
TAKEN = """argparse array arrays bfloat16 build_model constant data external file graph
    initializers inputs integer integers known laid_out lanczos_weights load_file
    main make_graph make_model make_node make_opsetid make_tensor_value_info model
    node nodes np np_dtype_to_tensor_dtype onnx os output outputs path read
    safe_open tempfile unexpected variables weights within zero""".split()  # noqa: SIM905

CONVOLUTIONS = frozenset(f"Conv{rank}D" for rank in (1, 2, 3)) | {
    f"DepthwiseConv{rank}D" for rank in (1, 2)
}
POOLINGS = frozenset(f"{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3))
PADDINGS = frozenset(f"ZeroPadding{rank}D" for rank in (1, 2, 3))
# An operator, its weights as they are called behind the layer, and what the name of the node has
# there.
Operator = tuple[str, tuple[str, ...], str]
STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")
NO_OPERATOR: Operator = ("", (), "")
# Layers whose operators take all of their weights.
TAKES_ALL = CONVOLUTIONS | {
    "BatchNormalization",
    "Dense",
    "EinsumDense",
    "Embedding",
    "LayerNormalization",
    "LayerScale",
    "PReLU",
}


@dataclass(frozen=True)
class Loading:
    """How the weights of a long program load.

    Attributes:
        single: The weights that are loaded one by one.
        kernels: Where the axes of kernels of convolutions stand; None if there are none.
        depthwise: The same for those that have groups; None if that is the same.
    """

    single: tuple[Move, ...]
    kernels: Permutation | None
    depthwise: Permutation | None


@dataclass(frozen=True)
class Long:
    """What the page of a long program is given besides.

    Attributes:
        helpers: The functions that make layers.
        nested: Whether some of these layers stand in models within.
        functions: The functions that make parts.
        pieces: The statements.
        loading: How the weights load.
    """

    helpers: tuple[Helper, ...]
    nested: bool
    functions: Functions
    loading: Loading


def long_program(
    model: Model,
    macros: Macros,
    moves: Sequence[Move],
    attributes: Callable[[Node], dict[str, Any]],
) -> Long | None:
    """What the page is given of a model with many steps; None for others.

    Args:
        model: The lowered model.
        macros: Those of ONNX.
        moves: The way of all weights into the program.
        attributes: Gives the attributes that may differ between the uses of a function.
    """
    if sum(not isinstance(node.layer, Input) for node in model.nodes) <= SHORT:
        return None
    helpers = helpers_of(model)
    # Names as helpers are given them.
    helped: set[str] = set()

    def helper(node: Node) -> Helper | None:
        found = helpers.get(operator(node))
        helped.update([node.name] if found else [])
        return found

    taken = [*TAKEN, *(found.name for found in helpers.values())]
    functions = Functions(model, macros, attributes, signature_of, helper, taken, SHORT + 1)
    nested = any("/" in name for name in helped)
    loading = loading_of(model, macros, moves, attributes)
    return Long(tuple(helpers.values()), nested, functions, loading)


def operator(node: Node) -> Operator:
    """The one operator that makes a layer, if its weights are called after it."""
    if node.kind in CONVOLUTIONS:
        op = "Conv"
    elif node.kind == "BatchNormalization":
        op = "BatchNormalization"
    elif node.kind == "Dense" and node.type.rank == 2 and len(node.weights) == 2:
        op = "Gemm"
    else:
        return NO_OPERATOR
    name = node.name.replace("/", ".")
    layer = node.weights[0].key.rpartition(".")[0]
    if name != layer and not name.startswith(f"{layer}."):
        return NO_OPERATOR
    if not all(weight.key.startswith(f"{layer}.") for weight in node.weights):
        return NO_OPERATOR
    weights = tuple(f"{{layer}}{weight.key.removeprefix(layer)}" for weight in node.weights)
    if op == "BatchNormalization":
        # It takes all of them: a constant stands for one that the layer does not have.
        weights = tuple(
            f"{{layer}}.{name}" if node.weight(name) else f"{{name}}.{name}" for name in STATISTICS
        )
    return op, weights, node.name[len(layer) :]


def signature_of(node: Node) -> Signature:
    """What two nodes must have in common: of convolutions and the like no numbers.

    These are attributes, which may be arguments.
    """
    if node.kind not in CONVOLUTIONS | POOLINGS | PADDINGS:
        return signature(node)
    weights = [(weight.name, weight.trainable, weight.dtype) for weight in node.weights]
    order = (node.perm, node.rows, node.columns, node.part, node.type.axes, node.type.dtype)
    mixes = node.kind in CONVOLUTIONS and set(node.layer.kernel_size) == {1}
    return (node.kind, node.trainable, mixes, *weights, *order)


def helpers_of(model: Model) -> dict[Operator, Helper]:
    """The functions for operators that a model has often, by the operator and its weights."""
    counts = Counter(found for found in map(operator, model.nodes) if found != NO_OPERATOR)
    helpers: dict[Operator, Helper] = {}
    for found, count in counts.most_common():
        op, weights, part = found
        word = {"BatchNormalization": "batch_norm", "Gemm": "dense"}.get(op)
        word = word or f"{weights[0].removeprefix('{layer}.').removesuffix('kernel')}conv"
        # The rarer ones say how they differ.
        taken = {helper.name for helper in helpers.values()}
        if word in taken:
            word = f"biased_{word}" if len(weights) > 1 else f"unbiased_{word}"
        if word in taken and part:
            word = identifier(f"{part}_{word}")
        if count >= FEWEST_LAYERS:
            helpers[found] = Helper(identifier(word, taken), op, weights, part)
    return helpers


def loading_of(
    model: Model,
    macros: Macros,
    moves: Sequence[Move],
    attributes: Callable[[Node], dict[str, Any]],
) -> Loading:
    """How the weights of a model load: by rules as far as these hold."""
    owners: dict[str, Node] = {}
    for node in model.nodes:
        for weight in node.weights + node.state:
            owners.setdefault(weight.key, node)
    orders: dict[bool, Counter[Permutation]] = {False: Counter(), True: Counter()}

    def has_groups(move: Move) -> bool:
        return "group" in attributes(owners[move.weight.key])

    def is_kernel(move: Move) -> bool:
        kind = owners[move.weight.key].kind
        return kind in CONVOLUTIONS and len(move.weight.shape) > 1

    for move in moves:
        if is_kernel(move) and len(move.steps) == 1 and move.steps[0][0] == "transpose":
            orders[has_groups(move)][move.steps[0][1]] += 1
    kernels, depthwise = (
        next((order for order, _ in orders[groups].most_common(1)), None)
        for groups in (False, True)
    )

    def follows_rule(move: Move) -> bool:
        owner = owners[move.weight.key]
        # What a wrapper has is for training only.
        if owner.kind not in TAKES_ALL or move.weight in owner.state or move.weight.dtype:
            return False
        # A user's own macro need not give every weight to a node.
        if not macros.is_packaged(owner):
            return False
        if not is_kernel(move):
            return not move.steps
        order = depthwise if has_groups(move) else kernels
        return move.steps == (("transpose", order),)

    single = tuple(move for move in moves if not follows_rule(move))
    if kernels is None or kernels == depthwise:
        return Loading(single, kernels or depthwise, None)
    return Loading(single, kernels, depthwise)
