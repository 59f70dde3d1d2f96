"""ONNX graph GuideCnn. Run as a program, it writes model.onnx."""

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
            ["input_layer", "conv2d.kernel", "conv2d.bias"],
            ["conv2d.linear"],
            kernel_shape=[5, 5],
            strides=[2, 2],
        ),
        make_node("Relu", ["conv2d.linear"], ["conv2d"]),
        make_node(
            "Conv",
            ["conv2d", "conv2d_1.kernel", "conv2d_1.bias"],
            ["conv2d_1.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d_1.linear"], ["conv2d_1"]),
        make_node(
            "MaxPool",
            ["conv2d_1"],
            ["max_pooling2d"],
            kernel_shape=[3, 3],
            strides=[3, 3],
        ),
        make_node(
            "Conv",
            ["max_pooling2d", "conv2d_2.kernel", "conv2d_2.bias"],
            ["conv2d_2.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d_2.linear"], ["conv2d_2"]),
        make_node(
            "Conv",
            ["conv2d_2", "conv2d_3.kernel", "conv2d_3.bias"],
            ["conv2d_3.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d_3.linear"], ["conv2d_3"]),
        make_node(
            "MaxPool",
            ["conv2d_3"],
            ["max_pooling2d_1"],
            kernel_shape=[3, 3],
            strides=[3, 3],
        ),
        make_node(
            "Conv",
            ["max_pooling2d_1", "conv2d_4.kernel", "conv2d_4.bias"],
            ["conv2d_4.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d_4.linear"], ["conv2d_4"]),
        make_node(
            "Conv",
            ["conv2d_4", "conv2d_5.kernel", "conv2d_5.bias"],
            ["conv2d_5.linear"],
            kernel_shape=[3, 3],
        ),
        make_node("Relu", ["conv2d_5.linear"], ["conv2d_5"]),
        make_node(
            "MaxPool",
            ["conv2d_5"],
            ["max_pooling2d_2"],
            kernel_shape=[2, 2],
            strides=[2, 2],
        ),
        integers("global_max_pooling2d.axes", [2, 3]),
        make_node(
            "ReduceMax",
            ["max_pooling2d_2", "global_max_pooling2d.axes"],
            ["global_max_pooling2d"],
            keepdims=0,
        ),
        make_node(
            "Gemm", ["global_max_pooling2d", "logits.kernel", "logits.bias"], ["logits"]
        ),
    ]
    inputs = [
        make_tensor_value_info(
            "input_layer", TensorProto.FLOAT, ["batch", 3, 250, 250]
        ),
    ]
    outputs = [
        make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10]),
    ]
    weights = load_file(path)
    arrays = {
        "conv2d.kernel": weights.pop("conv2d.kernel").transpose(3, 2, 0, 1),
        "conv2d.bias": weights.pop("conv2d.bias"),
        "conv2d_1.kernel": weights.pop("conv2d_1.kernel").transpose(3, 2, 0, 1),
        "conv2d_1.bias": weights.pop("conv2d_1.bias"),
        "conv2d_2.kernel": weights.pop("conv2d_2.kernel").transpose(3, 2, 0, 1),
        "conv2d_2.bias": weights.pop("conv2d_2.bias"),
        "conv2d_3.kernel": weights.pop("conv2d_3.kernel").transpose(3, 2, 0, 1),
        "conv2d_3.bias": weights.pop("conv2d_3.bias"),
        "conv2d_4.kernel": weights.pop("conv2d_4.kernel").transpose(3, 2, 0, 1),
        "conv2d_4.bias": weights.pop("conv2d_4.bias"),
        "conv2d_5.kernel": weights.pop("conv2d_5.kernel").transpose(3, 2, 0, 1),
        "conv2d_5.bias": weights.pop("conv2d_5.bias"),
        "logits.kernel": weights.pop("logits.kernel"),
        "logits.bias": weights.pop("logits.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "guide_cnn", inputs + variables, outputs)
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
