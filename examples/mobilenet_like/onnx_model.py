"""ONNX graph MobilenetLike. Run as a program, it writes model.onnx."""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
    np_dtype_to_tensor_dtype,
)
from safetensors.numpy import load_file


def constant(name: str, value: object) -> onnx.NodeProto:
    """Make a node whose output is a number, or an array, in the dtype of the model."""
    array = np.asarray(value, np.float64)
    tensor = onnx.helper.make_tensor(
        name, TensorProto.FLOAT, array.shape, array.ravel()
    )
    return make_node("Constant", [], [name], value=tensor)


def integers(name: str, values: list[int]) -> onnx.NodeProto:
    """Make a node whose output is a vector of integers, as axes and shapes are given."""
    return make_node("Constant", [], [name], value_ints=values)


def build_model(path: str = "weights.safetensors") -> onnx.ModelProto:
    """Return the graph with the weights of a .safetensors file in Keras layout."""
    nodes = [
        constant("rescaling.scale", 1 / 127.5),
        constant("rescaling.offset", -1),
        make_node("Mul", ["image", "rescaling.scale"], ["rescaling.scaled"]),
        make_node("Add", ["rescaling.scaled", "rescaling.offset"], ["rescaling"]),
        make_node(
            "Conv",
            ["rescaling", "stem.kernel"],
            ["stem"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[0, 0, 1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "stem",
                "stem_bn.gamma",
                "stem_bn.beta",
                "stem_bn.moving_mean",
                "stem_bn.moving_variance",
            ],
            ["stem_bn"],
            epsilon=0.001,
        ),
        constant("stem_relu.min", 0.0),
        constant("stem_relu.max", 6),
        make_node("Clip", ["stem_bn", "stem_relu.min", "stem_relu.max"], ["stem_relu"]),
        make_node(
            "Conv",
            ["stem_relu", "block_1.depthwise.kernel"],
            ["block_1/depthwise"],
            kernel_shape=[3, 3],
            group=16,
            pads=[1, 1, 1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "block_1/depthwise",
                "block_1.depthwise_bn.gamma",
                "block_1.depthwise_bn.beta",
                "block_1.depthwise_bn.moving_mean",
                "block_1.depthwise_bn.moving_variance",
            ],
            ["block_1/depthwise_bn"],
            epsilon=0.001,
        ),
        constant("block_1/depthwise_relu.min", 0.0),
        constant("block_1/depthwise_relu.max", 6),
        make_node(
            "Clip",
            [
                "block_1/depthwise_bn",
                "block_1/depthwise_relu.min",
                "block_1/depthwise_relu.max",
            ],
            ["block_1/depthwise_relu"],
        ),
        make_node(
            "Conv",
            ["block_1/depthwise_relu", "block_1.pointwise.kernel"],
            ["block_1/pointwise"],
            kernel_shape=[1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "block_1/pointwise",
                "block_1.pointwise_bn.gamma",
                "block_1.pointwise_bn.beta",
                "block_1.pointwise_bn.moving_mean",
                "block_1.pointwise_bn.moving_variance",
            ],
            ["block_1/pointwise_bn"],
            epsilon=0.001,
        ),
        constant("block_1/pointwise_relu.min", 0.0),
        constant("block_1/pointwise_relu.max", 6),
        make_node(
            "Clip",
            [
                "block_1/pointwise_bn",
                "block_1/pointwise_relu.min",
                "block_1/pointwise_relu.max",
            ],
            ["block_1/pointwise_relu"],
        ),
        make_node(
            "Conv",
            ["block_1/pointwise_relu", "block_2.depthwise.kernel"],
            ["block_2/depthwise"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            group=32,
            pads=[0, 0, 1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "block_2/depthwise",
                "block_2.depthwise_bn.gamma",
                "block_2.depthwise_bn.beta",
                "block_2.depthwise_bn.moving_mean",
                "block_2.depthwise_bn.moving_variance",
            ],
            ["block_2/depthwise_bn"],
            epsilon=0.001,
        ),
        constant("block_2/depthwise_relu.min", 0.0),
        constant("block_2/depthwise_relu.max", 6),
        make_node(
            "Clip",
            [
                "block_2/depthwise_bn",
                "block_2/depthwise_relu.min",
                "block_2/depthwise_relu.max",
            ],
            ["block_2/depthwise_relu"],
        ),
        make_node(
            "Conv",
            ["block_2/depthwise_relu", "block_2.pointwise.kernel"],
            ["block_2/pointwise"],
            kernel_shape=[1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "block_2/pointwise",
                "block_2.pointwise_bn.gamma",
                "block_2.pointwise_bn.beta",
                "block_2.pointwise_bn.moving_mean",
                "block_2.pointwise_bn.moving_variance",
            ],
            ["block_2/pointwise_bn"],
            epsilon=0.001,
        ),
        constant("block_2/pointwise_relu.min", 0.0),
        constant("block_2/pointwise_relu.max", 6),
        make_node(
            "Clip",
            [
                "block_2/pointwise_bn",
                "block_2/pointwise_relu.min",
                "block_2/pointwise_relu.max",
            ],
            ["block_2/pointwise_relu"],
        ),
        integers("global_average_pooling2d.axes", [2, 3]),
        make_node(
            "ReduceMean",
            ["block_2/pointwise_relu", "global_average_pooling2d.axes"],
            ["global_average_pooling2d"],
            keepdims=0,
        ),
        make_node("Identity", ["global_average_pooling2d"], ["dropout"]),
        make_node(
            "Gemm",
            ["dropout", "probabilities.kernel", "probabilities.bias"],
            ["probabilities.linear"],
        ),
        make_node("Softmax", ["probabilities.linear"], ["probabilities"]),
    ]
    inputs = [
        make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 96, 96]),
    ]
    outputs = [
        make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
    ]
    weights = load_file(path)
    arrays = {
        "stem.kernel": weights.pop("stem.kernel").transpose(3, 2, 0, 1),
        "stem_bn.gamma": weights.pop("stem_bn.gamma"),
        "stem_bn.beta": weights.pop("stem_bn.beta"),
        "stem_bn.moving_mean": weights.pop("stem_bn.moving_mean"),
        "stem_bn.moving_variance": weights.pop("stem_bn.moving_variance"),
        "block_1.depthwise.kernel": weights.pop("block_1.depthwise.kernel").transpose(
            2, 3, 0, 1
        ),
        "block_1.depthwise_bn.gamma": weights.pop("block_1.depthwise_bn.gamma"),
        "block_1.depthwise_bn.beta": weights.pop("block_1.depthwise_bn.beta"),
        "block_1.depthwise_bn.moving_mean": weights.pop(
            "block_1.depthwise_bn.moving_mean"
        ),
        "block_1.depthwise_bn.moving_variance": weights.pop(
            "block_1.depthwise_bn.moving_variance"
        ),
        "block_1.pointwise.kernel": weights.pop("block_1.pointwise.kernel").transpose(
            3, 2, 0, 1
        ),
        "block_1.pointwise_bn.gamma": weights.pop("block_1.pointwise_bn.gamma"),
        "block_1.pointwise_bn.beta": weights.pop("block_1.pointwise_bn.beta"),
        "block_1.pointwise_bn.moving_mean": weights.pop(
            "block_1.pointwise_bn.moving_mean"
        ),
        "block_1.pointwise_bn.moving_variance": weights.pop(
            "block_1.pointwise_bn.moving_variance"
        ),
        "block_2.depthwise.kernel": weights.pop("block_2.depthwise.kernel").transpose(
            2, 3, 0, 1
        ),
        "block_2.depthwise_bn.gamma": weights.pop("block_2.depthwise_bn.gamma"),
        "block_2.depthwise_bn.beta": weights.pop("block_2.depthwise_bn.beta"),
        "block_2.depthwise_bn.moving_mean": weights.pop(
            "block_2.depthwise_bn.moving_mean"
        ),
        "block_2.depthwise_bn.moving_variance": weights.pop(
            "block_2.depthwise_bn.moving_variance"
        ),
        "block_2.pointwise.kernel": weights.pop("block_2.pointwise.kernel").transpose(
            3, 2, 0, 1
        ),
        "block_2.pointwise_bn.gamma": weights.pop("block_2.pointwise_bn.gamma"),
        "block_2.pointwise_bn.beta": weights.pop("block_2.pointwise_bn.beta"),
        "block_2.pointwise_bn.moving_mean": weights.pop(
            "block_2.pointwise_bn.moving_mean"
        ),
        "block_2.pointwise_bn.moving_variance": weights.pop(
            "block_2.pointwise_bn.moving_variance"
        ),
        "probabilities.kernel": weights.pop("probabilities.kernel"),
        "probabilities.bias": weights.pop("probabilities.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "mobilenet_like", inputs + variables, outputs)
    model = make_model(graph, opset_imports=[make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    del model.graph.input[len(inputs) :]
    for name, array in arrays.items():
        model.graph.initializer.add(
            name=name,
            data_type=np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            raw_data=array.tobytes(),
        )
    return model


def main() -> None:
    """Write the model with its weights."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--weights", default="weights.safetensors")
    parser.add_argument("--output", default="model.onnx")
    options = parser.parse_args()
    output = Path(options.output)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        # Moved when complete, so that an error leaves no half of a model.
        staged = Path(folder, output.name)
        onnx.save(build_model(options.weights), staged)
        os.replace(staged, output)


if __name__ == "__main__":
    main()
