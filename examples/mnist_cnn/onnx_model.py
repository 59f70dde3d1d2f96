"""ONNX graph MnistCnn. Run as a program, it writes model.onnx."""

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
            ["input_layer", "conv2d.kernel", "conv2d.bias"],
            ["conv2d.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d.linear"], ["conv2d"]),
        make_node(
            "MaxPool",
            ["conv2d"],
            ["max_pooling2d"],
            kernel_shape=[2, 2],
            strides=[2, 2],
        ),
        make_node(
            "Conv",
            ["max_pooling2d", "conv2d_1.kernel", "conv2d_1.bias"],
            ["conv2d_1.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d_1.linear"], ["conv2d_1"]),
        make_node(
            "MaxPool",
            ["conv2d_1"],
            ["max_pooling2d_1"],
            kernel_shape=[2, 2],
            strides=[2, 2],
        ),
        make_node("Flatten", ["max_pooling2d_1"], ["flatten"]),
        make_node("Identity", ["flatten"], ["dropout"]),
        make_node(
            "Gemm",
            ["dropout", "probabilities.kernel", "probabilities.bias"],
            ["probabilities.linear"],
        ),
        make_node("Softmax", ["probabilities.linear"], ["probabilities"]),
    ]
    inputs = [
        make_tensor_value_info("input_layer", TensorProto.FLOAT, ["batch", 1, 28, 28]),
    ]
    outputs = [
        make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
    ]
    weights = load_file(path)
    arrays = {
        "conv2d.kernel": weights.pop("conv2d.kernel").transpose(3, 2, 0, 1),
        "conv2d.bias": weights.pop("conv2d.bias"),
        "conv2d_1.kernel": weights.pop("conv2d_1.kernel").transpose(3, 2, 0, 1),
        "conv2d_1.bias": weights.pop("conv2d_1.bias"),
        "probabilities.kernel": weights.pop("probabilities.kernel")
        .reshape(5, 5, 64, 10)
        .transpose(2, 0, 1, 3)
        .reshape(1600, 10),
        "probabilities.bias": weights.pop("probabilities.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "mnist_cnn", inputs + variables, outputs)
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
