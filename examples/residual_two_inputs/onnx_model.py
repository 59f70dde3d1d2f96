"""ONNX graph ResidualTwoInputs. Run as a program, it writes model.onnx."""

import argparse
import os
import tempfile
from pathlib import Path

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


def integers(name: str, values: list[int]) -> onnx.NodeProto:
    """Make a node whose output is a vector of integers, as axes and shapes are given."""
    return make_node("Constant", [], [name], value_ints=values)


def build_model(path: str = "weights.safetensors") -> onnx.ModelProto:
    """Return the graph with the weights of a .safetensors file in Keras layout."""
    nodes = [
        make_node(
            "Conv",
            ["image", "conv2d.kernel"],
            ["conv2d"],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "conv2d",
                "batch_normalization.gamma",
                "batch_normalization.beta",
                "batch_normalization.moving_mean",
                "batch_normalization.moving_variance",
            ],
            ["batch_normalization"],
            epsilon=0.001,
        ),
        make_node("Relu", ["batch_normalization"], ["stem"]),
        make_node(
            "Conv",
            ["stem", "conv2d_1.kernel"],
            ["conv2d_1"],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "conv2d_1",
                "batch_normalization_1.gamma",
                "batch_normalization_1.beta",
                "batch_normalization_1.moving_mean",
                "batch_normalization_1.moving_variance",
            ],
            ["batch_normalization_1"],
            epsilon=0.001,
        ),
        make_node("Relu", ["batch_normalization_1"], ["re_lu"]),
        make_node(
            "Conv",
            ["re_lu", "conv2d_2.kernel"],
            ["conv2d_2"],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        make_node(
            "BatchNormalization",
            [
                "conv2d_2",
                "residual.gamma",
                "residual.beta",
                "residual.moving_mean",
                "residual.moving_variance",
            ],
            ["residual"],
            epsilon=0.001,
        ),
        make_node("Add", ["stem", "residual"], ["add"]),
        make_node("Relu", ["add"], ["re_lu_1"]),
        integers("features.axes", [2, 3]),
        make_node("ReduceMean", ["re_lu_1", "features.axes"], ["features"], keepdims=0),
        make_node("Gemm", ["table", "known.kernel", "known.bias"], ["known.linear"]),
        make_node("Relu", ["known.linear"], ["known"]),
        make_node("Concat", ["features", "known"], ["all"], axis=-1),
        make_node("Gemm", ["all", "price.kernel", "price.bias"], ["price"]),
        make_node("Gemm", ["all", "kind.kernel", "kind.bias"], ["kind.linear"]),
        make_node("Softmax", ["kind.linear"], ["kind"]),
    ]
    inputs = [
        make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32]),
        make_tensor_value_info("table", TensorProto.FLOAT, ["batch", 8]),
    ]
    outputs = [
        make_tensor_value_info("kind", TensorProto.FLOAT, ["batch", 10]),
        make_tensor_value_info("price", TensorProto.FLOAT, ["batch", 1]),
    ]
    weights = load_file(path)
    arrays = {
        "conv2d.kernel": weights.pop("conv2d.kernel").transpose(3, 2, 0, 1),
        "batch_normalization.gamma": weights.pop("batch_normalization.gamma"),
        "batch_normalization.beta": weights.pop("batch_normalization.beta"),
        "batch_normalization.moving_mean": weights.pop(
            "batch_normalization.moving_mean"
        ),
        "batch_normalization.moving_variance": weights.pop(
            "batch_normalization.moving_variance"
        ),
        "conv2d_1.kernel": weights.pop("conv2d_1.kernel").transpose(3, 2, 0, 1),
        "batch_normalization_1.gamma": weights.pop("batch_normalization_1.gamma"),
        "batch_normalization_1.beta": weights.pop("batch_normalization_1.beta"),
        "batch_normalization_1.moving_mean": weights.pop(
            "batch_normalization_1.moving_mean"
        ),
        "batch_normalization_1.moving_variance": weights.pop(
            "batch_normalization_1.moving_variance"
        ),
        "conv2d_2.kernel": weights.pop("conv2d_2.kernel").transpose(3, 2, 0, 1),
        "residual.gamma": weights.pop("residual.gamma"),
        "residual.beta": weights.pop("residual.beta"),
        "residual.moving_mean": weights.pop("residual.moving_mean"),
        "residual.moving_variance": weights.pop("residual.moving_variance"),
        "known.kernel": weights.pop("known.kernel"),
        "known.bias": weights.pop("known.bias"),
        "price.kernel": weights.pop("price.kernel"),
        "price.bias": weights.pop("price.bias"),
        "kind.kernel": weights.pop("kind.kernel"),
        "kind.bias": weights.pop("kind.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "residual_two_inputs", inputs + variables, outputs)
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
