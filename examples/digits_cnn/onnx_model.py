"""ONNX graph DigitsCnn. Run as a program, it writes model.onnx."""

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


def build_model(path: str = "weights.safetensors") -> onnx.ModelProto:
    """Return the graph with the weights of a .safetensors file in Keras layout."""
    nodes = [
        make_node(
            "Conv",
            ["input_layer", "conv2d.kernel"],
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
        make_node("Relu", ["batch_normalization"], ["re_lu"]),
        make_node(
            "MaxPool", ["re_lu"], ["max_pooling2d"], kernel_shape=[2, 2], strides=[2, 2]
        ),
        make_node(
            "Conv",
            ["max_pooling2d", "conv2d_1.kernel", "conv2d_1.bias"],
            ["conv2d_1.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d_1.linear"], ["conv2d_1"]),
        make_node("Flatten", ["conv2d_1"], ["flatten"]),
        make_node("Gemm", ["flatten", "digit.kernel", "digit.bias"], ["digit.linear"]),
        make_node("Softmax", ["digit.linear"], ["digit"]),
    ]
    inputs = [
        make_tensor_value_info("input_layer", TensorProto.FLOAT, ["batch", 1, 8, 8]),
    ]
    outputs = [
        make_tensor_value_info("digit", TensorProto.FLOAT, ["batch", 10]),
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
        "conv2d_1.bias": weights.pop("conv2d_1.bias"),
        "digit.kernel": weights.pop("digit.kernel")
        .reshape(2, 2, 64, 10)
        .transpose(2, 0, 1, 3)
        .reshape(256, 10),
        "digit.bias": weights.pop("digit.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "digits_cnn", inputs + variables, outputs)
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
