"""Trains the ONNX model cancer_mlp with onnxruntime: Adam on BinaryCrossentropy.

    python onnx_train.py --data cancer.npz --epochs 30

A step of training is one ordinary graph: a batch, the weights and what the optimizer keeps go in;
the loss, and all of these as they are after the step, come out. Its forward part is that of
onnx_model.py; `backward` adds the gradients, by the rule of each operator. From the same weights and
with the same data it follows keras_train.py and torch_train.py.
"""

import argparse
import csv
import json
import math
import os
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import (
    get_attribute_value,
    make_graph,
    make_model,
    make_node,
    make_tensor_value_info,
)
from onnx_model import build_model

DTYPE = np.float32
# What the optimizer changes.
TRAINED = [
    "batch_normalization.gamma",
    "batch_normalization.beta",
    "dense.kernel",
    "dense.bias",
    "dense_1.kernel",
    "dense_1.bias",
    "malignant.kernel",
    "malignant.bias",
]
# What it keeps of each of them.
SLOTS = ("momentums", "velocities")
# What the sizes and the squares of a weight add to the loss.
PENALTIES = {
    "dense.kernel": (0.0, 0.001),
    "dense_1.kernel": (0.0, 0.001),
}
# Momentum and epsilon of each normalization by the batch.
NORMALIZED = {
    "batch_normalization": (0.9, 0.001),
}
# Rate and shape, without samples, of each dropout.
DROPPED = {
    "dropout": (0.2, (32,)),
}


def attributes(node: NodeProto) -> dict:
    """Return the attributes of a node."""
    return {item.name: get_attribute_value(item) for item in node.attribute}


class Graph:
    """A graph in the making; each call adds a node and returns the name of what it gives.

    Args:
        model: The model, whose input and weights the graph takes as inputs, beside labels and the
            weights of samples.
    """

    def __init__(self, model: ModelProto) -> None:
        self.nodes: list[NodeProto] = []
        self.opsets, self.ir_version = model.opset_import, model.ir_version
        self.inputs = [*model.graph.input]
        self.inputs += [
            make_tensor_value_info(t.name, t.data_type, t.dims)
            for t in model.graph.initializer
        ]
        self.inputs.append(
            make_tensor_value_info("batch.labels", TensorProto.FLOAT, ["batch", 1])
        )
        self.add_input("batch.weights", ["batch"])
        self.infer()

    def __call__(self, op: str, *inputs: str, out: str = "", **given: object) -> str:
        """Add a node."""
        name = out or f"{op}.{len(self.nodes)}"
        self.nodes.append(make_node(op, list(inputs), [name], **given))
        return name

    def add_input(self, name: str, shape: list) -> None:
        """Add an input of the graph."""
        self.inputs.append(make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, value: object) -> str:
        """Add a number, or an array of numbers."""
        return self("Constant", value=numpy_helper.from_array(np.array(value, DTYPE)))

    def integers(self, values: list[int]) -> str:
        """Add a list of integers, such as axes and shapes."""
        return self(
            "Constant", value=numpy_helper.from_array(np.array(values, np.int64))
        )

    def infer(self) -> None:
        """Find the shapes of all that the nodes give so far; the samples are a name."""
        graph = make_graph(self.nodes, "shapes", self.inputs, [])
        model = make_model(graph, opset_imports=self.opsets, ir_version=self.ir_version)
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self.shapes = {
            value.name: [
                axis.dim_value or axis.dim_param or None
                for axis in value.type.tensor_type.shape.dim
            ]
            for value in (*self.inputs, *known.value_info)
        }

    def build(self, name: str, outputs: list[str]) -> ModelProto:
        """Return the model of the nodes that the outputs need."""
        nodes, needed = [], set(outputs)
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                nodes.insert(0, node)
                needed.update(node.input)
        self.infer()
        results = [
            make_tensor_value_info(output, TensorProto.FLOAT, self.shapes[output])
            for output in outputs
        ]
        graph = make_graph(nodes, name, self.inputs, results)
        model = make_model(graph, opset_imports=self.opsets, ir_version=self.ir_version)
        onnx.checker.check_model(model, full_check=True)
        return model

    def summed(self, dy: str, y: str, x: str, end: int | None = None) -> str:
        """Sum a gradient over the axes along which `x` was repeated to become like `y`.

        Only the axes before `end` count.
        """
        wide, shape = self.shapes[y], self.shapes[x]
        added = len(wide) - len(shape)
        axes = [
            i
            for i in range(len(wide))[:end]
            if i < added or shape[i - added] == 1 != wide[i]
        ]
        if axes:
            dy = self("ReduceSum", dy, self.integers(axes))
        return self("Squeeze", dy, self.integers(list(range(added)))) if added else dy

    def shaped(self, dy: str, x: str) -> str:
        """Give a gradient the shape of a tensor."""
        return self("Reshape", dy, self("Shape", x))

    def mean(self, x: str, axes: list[int]) -> str:
        """Add the mean over axes, which are kept."""
        return self("ReduceMean", x, self.integers(axes))

    def mean_spread(self, dy: str, x: str) -> str:
        """Spread the gradient of a mean evenly over what it is the mean of."""
        counts = (
            self("Cast", self("Size", name), to=TensorProto.FLOAT) for name in (dy, x)
        )
        return self("Expand", self("Mul", dy, self("Div", *counts)), self("Shape", x))


# Gradients of operators: from that of the result, `dy`, those of all inputs; "" where there is none.


def abs_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    return [g("Mul", dy, g("Sign", node.input[0]))]


def add_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    a, b = node.input
    y = node.output[0]
    return [g.summed(dy, y, a), g.summed(dy, y, b)]


def div_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    a, b = node.input
    y = node.output[0]
    da = g("Div", dy, b)
    return [g.summed(da, y, a), g.summed(g("Neg", g("Mul", da, y)), y, b)]


def gemm_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    x, w, b = node.input
    return [
        g("MatMul", dy, g("Transpose", w, perm=[1, 0])),
        g("MatMul", g("Transpose", x, perm=[1, 0]), dy),
        g.summed(dy, node.output[0], b),
    ]


def identity_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    return [dy]


def mul_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    a, b = node.input
    y = node.output[0]
    return [g.summed(g("Mul", dy, b), y, a), g.summed(g("Mul", dy, a), y, b)]


def reduce_mean_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    x, axes = node.input
    if not attributes(node).get("keepdims", 1):
        dy = g("Unsqueeze", dy, axes)
    return [g.mean_spread(dy, x), ""]


def reduce_sum_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    x, axes = node.input
    if not attributes(node).get("keepdims", 1):
        dy = g("Unsqueeze", dy, axes)
    return [g("Expand", dy, g("Shape", x)), ""]


def relu_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    return [
        g("Where", g("Greater", node.output[0], g.constant(0.0)), dy, g.constant(0.0))
    ]


def reshape_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    return [g.shaped(dy, node.input[0]), ""]


def sigmoid_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    y = node.output[0]
    return [g("Mul", dy, g("Mul", y, g("Sub", g.constant(1.0), y)))]


def softplus_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    return [g("Mul", dy, g("Sigmoid", node.input[0]))]


def sqrt_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    return [g("Div", g("Mul", dy, g.constant(0.5)), node.output[0])]


def sub_gradient(g: Graph, node: NodeProto, dy: str) -> list[str]:
    a, b = node.input
    y = node.output[0]
    return [g.summed(dy, y, a), g.summed(g("Neg", dy), y, b)]


# By which rule a gradient passes each operator.
GRADIENTS = {
    "Abs": abs_gradient,
    "Add": add_gradient,
    "Div": div_gradient,
    "Gemm": gemm_gradient,
    "Identity": identity_gradient,
    "Mul": mul_gradient,
    "ReduceMean": reduce_mean_gradient,
    "ReduceSum": reduce_sum_gradient,
    "Relu": relu_gradient,
    "Reshape": reshape_gradient,
    "Sigmoid": sigmoid_gradient,
    "Softplus": softplus_gradient,
    "Sqrt": sqrt_gradient,
    "Sub": sub_gradient,
}


def backward(g: Graph, loss: str) -> dict[str, str]:
    """Add the nodes of all gradients of a loss; return their names by those of the weights."""
    varied = set(TRAINED)
    for node in g.nodes:
        if varied.intersection(node.input):
            varied.update(node.output)
    gradients = {loss: g.constant(1.0)}
    for node in reversed(g.nodes[:]):
        dy = gradients.get(node.output[0])
        if dy is None or not varied.intersection(node.input):
            continue
        for name, gradient in zip(
            node.input, GRADIENTS[node.op_type](g, node, dy), strict=True
        ):
            if gradient and name in varied:
                known = gradients.get(name)
                gradients[name] = g("Add", known, gradient) if known else gradient
    return {
        name: g("Identity", gradients[name], out=f"{name}.gradient") for name in TRAINED
    }


def losses(g: Graph, z: str, y: str) -> str:
    """Add the loss of each sample for logits and labels."""
    return g(
        "ReduceMean",
        g("Sub", g("Softplus", z), g("Mul", z, y)),
        g.integers([-1]),
        keepdims=0,
    )


def total(g: Graph, z: str, y: str) -> str:
    """Add the loss of a batch, weighted, and penalties."""
    each = g("Mul", losses(g, z, y), "batch.weights")
    loss = g("ReduceMean", each, g.integers([0]), keepdims=0)
    for w, (l1, l2) in PENALTIES.items():
        axes = g.integers(list(range(len(g.shapes[w]))))
        for amount, sizes in ((l1, g("Abs", w)), (l2, g("Mul", w, w))):
            added = g(
                "Mul", g.constant(amount), g("ReduceSum", sizes, axes, keepdims=0)
            )
            loss = g("Add", loss, added)
    return loss


def normalize(g: Graph, node: NodeProto) -> None:
    """Add a normalization by the mean and variance of the batch, which the moving ones follow."""
    x, gamma, beta, moving_mean, moving_variance = node.input
    momentum, epsilon = NORMALIZED[node.output[0]]
    rank = len(g.shapes[x])
    axes = [axis for axis in range(rank) if axis != 1]
    shape = g.integers([-1] + [1] * (rank - 2))
    mean = g.mean(x, axes)
    centered = g("Sub", x, mean)
    variance = g.mean(g("Mul", centered, centered), axes)
    root = g("Sqrt", g("Add", variance, g.constant(epsilon)))
    scaled = g("Mul", g("Div", centered, root), g("Reshape", gamma, shape))
    g("Add", scaled, g("Reshape", beta, shape), out=node.output[0])
    for name, value in ((moving_mean, mean), (moving_variance, variance)):
        old = g("Mul", name, g.constant(momentum))
        new = g("Mul", g("Reshape", value, g.integers([-1])), g.constant(1 - momentum))
        g("Add", old, new, out=f"{name}.new")


def update(g: Graph, gradients: dict[str, str]) -> None:
    """Add what Adam makes of the weights: those called `<name>.new`."""
    one = g.constant(1.0)
    # Both corrections of the averages' bias belong to the rate, so that epsilon is added before.
    root = g("Sqrt", g("Sub", one, g("Pow", g.constant(0.999), "step.number")))
    corrected = g("Div", root, g("Sub", one, g("Pow", g.constant(0.9), "step.number")))
    rate, epsilon = g("Mul", "step.rate", corrected), g.constant(1e-07)
    for name, gradient in gradients.items():
        m, v = f"{name}.momentums", f"{name}.velocities"
        square = g("Mul", gradient, gradient)
        m = g(
            "Add",
            m,
            g("Mul", g("Sub", gradient, m), g.constant(1 - 0.9)),
            out=f"{m}.new",
        )
        v = g(
            "Add",
            v,
            g("Mul", g("Sub", square, v), g.constant(1 - 0.999)),
            out=f"{v}.new",
        )
        step = g("Div", g("Mul", rate, m), g("Add", g("Sqrt", v), epsilon))
        g("Sub", name, step, out=f"{name}.new")


def build_evaluation(model: ModelProto) -> ModelProto:
    """Return the graph that gives the loss and results of a batch at inference."""
    g = Graph(model)
    g.nodes.extend(model.graph.node)
    g.infer()
    loss = total(g, "malignant.linear", "batch.labels")
    return g.build("evaluation", [loss, "malignant"])


def build_step(model: ModelProto) -> ModelProto:
    """Return the graph of a step of training.

    It takes a batch, the weights, what the optimizer keeps, and the learning rate; it gives the loss and
    the results before the step, and as `<name>.new` all that the step changes.
    """
    g = Graph(model)
    g.add_input("step.rate", [])
    g.add_input("step.number", [])
    for name, (_, shape) in DROPPED.items():
        g.add_input(f"{name}.mask", ["batch", *shape])
    for name in TRAINED:
        for slot in SLOTS:
            g.add_input(f"{name}.{slot}", g.shapes[name])
    g.nodes.extend(model.graph.node)
    g.infer()
    nodes, g.nodes = g.nodes, []
    for node in nodes:
        if node.output[0] in NORMALIZED:
            normalize(g, node)
            continue
        if node.output[0] in DROPPED:
            # At inference it is an Identity.
            g("Mul", node.input[0], f"{node.output[0]}.mask", out=node.output[0])
            continue
        g.nodes.append(node)
    loss = total(g, "malignant.linear", "batch.labels")
    g.infer()
    gradients = backward(g, loss)
    update(g, gradients)
    changed = [
        name for node in g.nodes for name in node.output if name.endswith(".new")
    ]
    return g.build("step", [loss, "malignant", *changed])


def session(graph: ModelProto, device: str) -> onnxruntime.InferenceSession:
    """Return a graph ready to run on a device."""
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    if provider not in onnxruntime.get_available_providers():
        raise SystemExit(f"this onnxruntime has no {provider}; install onnxruntime-gpu")
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=[provider])


class Trainer:
    """A model and what training it needs: all that a checkpoint holds.

    Args:
        model: The graph with its weights.
        lr: The learning rate.
        device: Where to train: cpu or cuda.
        seed: Of dropout.
    """

    def __init__(
        self, model: ModelProto, lr: float = 0.003, device: str = "cpu", seed: int = 0
    ) -> None:
        self.model, self.lr, self.steps = model, lr, 0
        self.state = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for name in TRAINED:
            for slot in SLOTS:
                self.state[f"{name}.{slot}"] = np.zeros_like(self.state[name])
        self.random = np.random.default_rng(seed)
        step = build_step(model)
        self.changed = [
            output.name.removesuffix(".new") for output in step.graph.output[2:]
        ]
        self.session = session(step, device)
        self.evaluation = session(build_evaluation(model), device)

    def step(self, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Train on a batch; return its loss before that, and the results."""
        rate = self.lr
        self.steps += 1
        feed = {**self.state, **batch, "step.rate": np.array(rate, DTYPE)}
        feed["step.number"] = np.array(self.steps, DTYPE)
        count = len(batch["batch.labels"])
        for name, (rate, shape) in DROPPED.items():
            kept = self.random.random((count, *shape)) >= rate
            feed[f"{name}.mask"] = (kept / (1 - rate)).astype(DTYPE)
        loss, p, *new = self.session.run(None, feed)
        self.state.update(zip(self.changed, new, strict=True))
        return loss, p

    def evaluate(self, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss of a batch at inference, and the results."""
        weights = {
            tensor.name: self.state[tensor.name]
            for tensor in self.model.graph.initializer
        }
        loss, p = self.evaluation.run(None, {**weights, **batch})
        return loss, p

    def trained(self) -> ModelProto:
        """Return the model with the weights as they are now."""
        for tensor in self.model.graph.initializer:
            tensor.CopyFrom(
                numpy_helper.from_array(self.state[tensor.name], tensor.name)
            )
        return self.model


class Logs:
    """The mean loss and metrics of an epoch, each batch weighted by its samples."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, total: float, count: int) -> None:
        """Add up values that stand for `count` samples."""
        self.sums[name] = self.sums.get(name, 0.0) + float(total)
        self.counts[name] = self.counts.get(name, 0) + count

    def update(self, loss: np.ndarray, p: np.ndarray, y: np.ndarray) -> None:
        """Take in a batch."""
        self.add("loss", float(loss) * len(y), len(y))
        each = ((p > 0.5) == y).mean(-1)
        self.add("accuracy", each.sum(), each.size)

    def results(self, prefix: str = "") -> dict[str, float]:
        """Return the means by name."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        return {prefix + name: mean for name, mean in means.items()}


def mapped(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """Map an array of a .npz file that is not compressed: what is not asked for is not read."""
    with path.open("rb") as file:
        # Before the array stands a header of the archive, whose last two parts have any length.
        file.seek(member.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(name + extra, os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
        shape, fortran, dtype = getattr(np.lib.format, read)(file)
        if dtype.hasobject:
            raise SystemExit(f"{path}: {member.filename} holds objects, not numbers")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file or of a folder of .npy files."""
    if path.is_dir():
        return {file.stem: np.load(file, mmap_mode="r") for file in path.glob("*.npy")}
    with np.load(path, allow_pickle=False) as file:
        stored = {
            member.filename.removesuffix(".npy"): member
            for member in file.zip.infolist()
            if member.compress_type == zipfile.ZIP_STORED
        }
        return {
            name: mapped(path, stored[name]) if name in stored else file[name]
            for name in file
        }


def load_data(
    path: Path, split: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the arrays to train on and those to validate on, which may be none.

    They are called `x`, `y` and perhaps `sample_weight`, and perhaps `x_val` and so on.
    """
    arrays = read_arrays(path)
    names = ("x", "y", "sample_weight")
    train = {name: arrays[name] for name in names if name in arrays}
    validation = {
        name: arrays[f"{name}_val"] for name in names if f"{name}_val" in arrays
    }
    if "x" not in train or "y" not in train or len(train["x"]) != len(train["y"]):
        raise SystemExit(
            f"{path}: expected arrays x and y of the same length, found {sorted(arrays)}"
        )
    if split and not validation:
        # The last part, as Keras takes it.
        at = math.floor(len(train["x"]) * (1 - split))
        validation = {name: array[at:] for name, array in train.items()}
        train = {name: array[:at] for name, array in train.items()}
    return train, validation


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the samples in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def line(logs: dict[str, float]) -> str:
    """Return logs as a line of text."""
    return "  ".join(f"{name} {value:.4g}" for name, value in logs.items())


def write_log(path: Path, epoch: int, logs: dict[str, float]) -> None:
    """Add an epoch to a table; the first one begins it anew."""
    with path.open("a" if epoch else "w", newline="") as file:
        writer = csv.writer(file)
        if not epoch:
            writer.writerow(["epoch", *logs])
        writer.writerow([epoch, *logs.values()])


def batch(part: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return samples, labels and weights of some rows as the graphs take them."""
    x, y = part["x"][rows], part["y"][rows]
    y = y.reshape((len(rows), 1)).astype(DTYPE)
    weights = np.ones((len(rows),))
    if "sample_weight" in part:
        weights = part["sample_weight"][rows].reshape(weights.shape)
    return {
        "input_layer": np.ascontiguousarray(x, DTYPE),
        "batch.labels": y,
        "batch.weights": weights.astype(DTYPE),
    }


def evaluate(
    trainer: Trainer, part: dict[str, np.ndarray], batch_size: int
) -> dict[str, float]:
    """Return the loss and metrics of some samples at inference."""
    logs, rows = Logs(), np.arange(len(part["x"]))
    for first in range(0, len(rows), batch_size):
        given = batch(part, rows[first : first + batch_size])
        logs.update(*trainer.evaluate(given), given["batch.labels"])
    return logs.results("val_")


def train_epoch(
    trainer: Trainer, part: dict[str, np.ndarray], rows: np.ndarray, batch_size: int
) -> dict[str, float]:
    """Train on the samples in the order of `rows`; return the loss and metrics on the way."""
    logs = Logs()
    for first in range(0, len(rows), batch_size):
        given = batch(part, rows[first : first + batch_size])
        loss, p = trainer.step(given)
        logs.update(loss, p, given["batch.labels"])
    return logs.results()


def save(path: Path, trainer: Trainer, epoch: int, best: float) -> None:
    """Write a checkpoint: all of it, or the one before stays."""
    progress = {"epoch": epoch, "best": best, "steps": trainer.steps}
    progress["random"] = trainer.random.bit_generator.state
    half = path.with_suffix(".half.npz")
    np.savez(
        half,
        progress=np.array(json.dumps(progress)),
        **{f"state/{k}": v for k, v in trainer.state.items()},
    )
    os.replace(half, path)


def restore(path: Path, trainer: Trainer) -> tuple[int, float]:
    """Go on from a checkpoint; return the epochs that are done, and the best loss."""
    with np.load(path, allow_pickle=False) as file:
        trainer.state = {name: file[f"state/{name}"] for name in trainer.state}
        progress = json.loads(str(file["progress"]))
    trainer.steps = progress["steps"]
    trainer.random.bit_generator.state = progress["random"]
    return progress["epoch"], progress["best"]


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Train cancer_mlp.")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("cancer.npz"),
        help="a .npz file or a folder of .npy files",
    )
    parser.add_argument(
        "--weights",
        default="weights.safetensors",
        help="a .safetensors file of weights to begin with",
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.003, help="the learning rate")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the order of samples, and of dropout"
    )
    parser.add_argument("--validation-split", type=float, default=0.25)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("onnx_run"),
        help="folder of checkpoints and logs",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint"
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="evaluate the last checkpoint, and end"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="train on two batches only"
    )
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="where to train"
    )
    return parser.parse_args()


def main() -> None:
    """Train, and write checkpoints, logs and the trained model."""
    options = parsed()
    train, validation = load_data(options.data, options.validation_split)
    if options.smoke:
        train = {name: array[: 2 * options.batch_size] for name, array in train.items()}
    trainer = Trainer(
        build_model(options.weights), options.lr, options.device, options.seed
    )
    options.out.mkdir(parents=True, exist_ok=True)
    last, begin, best = options.out / "last.npz", 0, math.inf
    if options.resume or options.evaluate:
        begin, best = restore(last, trainer)
    if options.evaluate:
        print(line(evaluate(trainer, validation or train, options.batch_size)))
        return
    for epoch in range(begin, 1 if options.smoke else options.epochs):
        rows = order(len(train["x"]), options.seed, epoch)
        logs = train_epoch(trainer, train, rows, options.batch_size)
        if validation:
            logs |= evaluate(trainer, validation, options.batch_size)
        logs["learning_rate"] = trainer.lr
        print(f"epoch {epoch + 1}/{options.epochs}  {line(logs)}", flush=True)
        write_log(options.out / "log.csv", epoch, logs)
        value = logs.get("val_loss", logs["loss"])
        save(last, trainer, epoch + 1, min(best, value))
        if value < best:
            best = value
            save(options.out / "best.npz", trainer, epoch + 1, best)
        if not math.isfinite(logs["loss"]):
            break
    half = options.out / "model.tmp"
    onnx.save(trainer.trained(), half)
    os.replace(half, options.out / "model.onnx")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(
            "stopped; --resume goes on after the last whole epoch"
        ) from None
