"""ONNX graph Autoencoder. Run as a program, it writes model.onnx."""

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
            ["image", "conv2d.kernel", "conv2d.bias"],
            ["conv2d.linear"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[0, 0, 1, 1],
        ),
        make_node("Relu", ["conv2d.linear"], ["conv2d"]),
        make_node(
            "Conv",
            ["conv2d", "conv2d_1.kernel", "conv2d_1.bias"],
            ["conv2d_1.linear"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[0, 0, 1, 1],
        ),
        make_node("Relu", ["conv2d_1.linear"], ["conv2d_1"]),
        make_node("Flatten", ["conv2d_1"], ["flatten"]),
        make_node("Gemm", ["flatten", "code.kernel", "code.bias"], ["code"]),
        make_node("Gemm", ["code", "dense.kernel", "dense.bias"], ["dense.linear"]),
        make_node("Relu", ["dense.linear"], ["dense"]),
        integers("reshape.shape", [-1, 32, 7, 7]),
        make_node("Reshape", ["dense", "reshape.shape"], ["reshape"]),
        make_node(
            "ConvTranspose",
            ["reshape", "conv2d_transpose.kernel", "conv2d_transpose.bias"],
            ["conv2d_transpose.linear"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[0, 0, 1, 1],
        ),
        make_node("Relu", ["conv2d_transpose.linear"], ["conv2d_transpose"]),
        make_node(
            "ConvTranspose",
            [
                "conv2d_transpose",
                "conv2d_transpose_1.kernel",
                "conv2d_transpose_1.bias",
            ],
            ["conv2d_transpose_1.linear"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[0, 0, 1, 1],
        ),
        make_node("Relu", ["conv2d_transpose_1.linear"], ["conv2d_transpose_1"]),
        make_node(
            "Conv",
            ["conv2d_transpose_1", "reconstruction.kernel", "reconstruction.bias"],
            ["reconstruction.linear"],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        make_node("Sigmoid", ["reconstruction.linear"], ["reconstruction"]),
    ]
    inputs = [
        make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28]),
    ]
    outputs = [
        make_tensor_value_info(
            "reconstruction", TensorProto.FLOAT, ["batch", 1, 28, 28]
        ),
    ]
    weights = load_file(path)
    arrays = {
        "conv2d.kernel": weights.pop("conv2d.kernel").transpose(3, 2, 0, 1),
        "conv2d.bias": weights.pop("conv2d.bias"),
        "conv2d_1.kernel": weights.pop("conv2d_1.kernel").transpose(3, 2, 0, 1),
        "conv2d_1.bias": weights.pop("conv2d_1.bias"),
        "code.kernel": weights.pop("code.kernel")
        .reshape(7, 7, 32, 32)
        .transpose(2, 0, 1, 3)
        .reshape(1568, 32),
        "code.bias": weights.pop("code.bias"),
        "dense.kernel": weights.pop("dense.kernel")
        .reshape(32, 7, 7, 32)
        .transpose(0, 3, 1, 2)
        .reshape(32, 1568),
        "dense.bias": weights.pop("dense.bias")
        .reshape(7, 7, 32)
        .transpose(2, 0, 1)
        .reshape(1568),
        "conv2d_transpose.kernel": weights.pop("conv2d_transpose.kernel").transpose(
            3, 2, 0, 1
        ),
        "conv2d_transpose.bias": weights.pop("conv2d_transpose.bias"),
        "conv2d_transpose_1.kernel": weights.pop("conv2d_transpose_1.kernel").transpose(
            3, 2, 0, 1
        ),
        "conv2d_transpose_1.bias": weights.pop("conv2d_transpose_1.bias"),
        "reconstruction.kernel": weights.pop("reconstruction.kernel").transpose(
            3, 2, 0, 1
        ),
        "reconstruction.bias": weights.pop("reconstruction.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "autoencoder", inputs + variables, outputs)
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
