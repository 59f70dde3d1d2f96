"""ONNX graph CausalGru. Run as a program, it writes model.onnx."""

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
            ["series", "conv1d.kernel", "conv1d.bias"],
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
        make_node("Transpose", ["conv1d_2"], ["gru.transpose"], perm=[2, 0, 1]),
        make_node(
            "GRU",
            [
                "gru.transpose",
                "gru.gru_cell.kernel",
                "gru.gru_cell.recurrent_kernel",
                "gru.gru_cell.bias",
            ],
            ["", "gru.last_h"],
            hidden_size=64,
            linear_before_reset=1,
        ),
        integers("gru.direction", [0]),
        make_node("Squeeze", ["gru.last_h", "gru.direction"], ["gru"]),
        make_node("Gemm", ["gru", "forecast.kernel", "forecast.bias"], ["forecast"]),
    ]
    inputs = [
        make_tensor_value_info("series", TensorProto.FLOAT, ["batch", 8, "time"]),
    ]
    outputs = [
        make_tensor_value_info("forecast", TensorProto.FLOAT, ["batch", 1]),
    ]
    weights = load_file(path)
    arrays = {
        "conv1d.kernel": weights.pop("conv1d.kernel").transpose(2, 1, 0),
        "conv1d.bias": weights.pop("conv1d.bias"),
        "conv1d_1.kernel": weights.pop("conv1d_1.kernel").transpose(2, 1, 0),
        "conv1d_1.bias": weights.pop("conv1d_1.bias"),
        "conv1d_2.kernel": weights.pop("conv1d_2.kernel").transpose(2, 1, 0),
        "conv1d_2.bias": weights.pop("conv1d_2.bias"),
        "gru.gru_cell.kernel": weights.pop("gru.gru_cell.kernel")
        .transpose(1, 0)
        .reshape(1, 192, 64),
        "gru.gru_cell.recurrent_kernel": weights.pop("gru.gru_cell.recurrent_kernel")
        .transpose(1, 0)
        .reshape(1, 192, 64),
        "gru.gru_cell.bias": weights.pop("gru.gru_cell.bias").reshape(1, 384),
        "forecast.kernel": weights.pop("forecast.kernel"),
        "forecast.bias": weights.pop("forecast.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "causal_gru", inputs + variables, outputs)
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
