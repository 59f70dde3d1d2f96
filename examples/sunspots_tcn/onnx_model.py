"""ONNX graph SunspotsTcn. Run as a program, it writes model.onnx."""

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
            ["input_layer", "conv1d.kernel", "conv1d.bias"],
            ["conv1d.linear"],
            kernel_shape=[3],
            pads=[2, 0],
        ),
        make_node("Relu", ["conv1d.linear"], ["conv1d"]),
        make_node(
            "Conv",
            ["conv1d", "conv1d_1.kernel", "conv1d_1.bias"],
            ["conv1d_1.linear"],
            kernel_shape=[3],
            dilations=[2],
            pads=[4, 0],
        ),
        make_node("Relu", ["conv1d_1.linear"], ["conv1d_1"]),
        make_node(
            "Conv",
            ["conv1d_1", "conv1d_2.kernel", "conv1d_2.bias"],
            ["conv1d_2.linear"],
            kernel_shape=[3],
            dilations=[4],
            pads=[8, 0],
        ),
        make_node("Relu", ["conv1d_2.linear"], ["conv1d_2"]),
        make_node("Flatten", ["conv1d_2"], ["flatten"]),
        make_node("Gemm", ["flatten", "next.kernel", "next.bias"], ["next"]),
    ]
    inputs = [
        make_tensor_value_info("input_layer", TensorProto.FLOAT, ["batch", 1, 24]),
    ]
    outputs = [
        make_tensor_value_info("next", TensorProto.FLOAT, ["batch", 1]),
    ]
    weights = load_file(path)
    arrays = {
        "conv1d.kernel": weights.pop("conv1d.kernel").transpose(2, 1, 0),
        "conv1d.bias": weights.pop("conv1d.bias"),
        "conv1d_1.kernel": weights.pop("conv1d_1.kernel").transpose(2, 1, 0),
        "conv1d_1.bias": weights.pop("conv1d_1.bias"),
        "conv1d_2.kernel": weights.pop("conv1d_2.kernel").transpose(2, 1, 0),
        "conv1d_2.bias": weights.pop("conv1d_2.bias"),
        "next.kernel": weights.pop("next.kernel")
        .reshape(24, 16, 1)
        .transpose(1, 0, 2)
        .reshape(384, 1),
        "next.bias": weights.pop("next.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "sunspots_tcn", inputs + variables, outputs)
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
