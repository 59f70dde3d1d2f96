"""ONNX graph StatefulForecaster. Run as a program, it writes model.onnx."""

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
        make_node("Transpose", ["readings"], ["lstm.transpose"], perm=[1, 0, 2]),
        integers("lstm.biases.pads", [0, 0, 0, 128]),
        make_node("Pad", ["lstm.lstm_cell.bias", "lstm.biases.pads"], ["lstm.biases"]),
        integers("lstm.front", [0]),
        make_node("Unsqueeze", ["lstm.h", "lstm.front"], ["lstm.initial_h"]),
        make_node("Unsqueeze", ["lstm.c", "lstm.front"], ["lstm.initial_c"]),
        make_node(
            "LSTM",
            [
                "lstm.transpose",
                "lstm.lstm_cell.kernel",
                "lstm.lstm_cell.recurrent_kernel",
                "lstm.biases",
                "",
                "lstm.initial_h",
                "lstm.initial_c",
            ],
            ["lstm.outputs", "lstm.last_h", "lstm.last_c"],
            hidden_size=32,
        ),
        make_node("Squeeze", ["lstm.last_h", "lstm.front"], ["lstm.next_h"]),
        make_node("Squeeze", ["lstm.last_c", "lstm.front"], ["lstm.next_c"]),
        integers("lstm.direction", [1]),
        make_node("Squeeze", ["lstm.outputs", "lstm.direction"], ["lstm"]),
        integers("lstm_1.biases.pads", [0, 0, 0, 128]),
        make_node(
            "Pad", ["lstm_1.lstm_cell.bias", "lstm_1.biases.pads"], ["lstm_1.biases"]
        ),
        integers("lstm_1.front", [0]),
        make_node("Unsqueeze", ["lstm_1.h", "lstm_1.front"], ["lstm_1.initial_h"]),
        make_node("Unsqueeze", ["lstm_1.c", "lstm_1.front"], ["lstm_1.initial_c"]),
        make_node(
            "LSTM",
            [
                "lstm",
                "lstm_1.lstm_cell.kernel",
                "lstm_1.lstm_cell.recurrent_kernel",
                "lstm_1.biases",
                "",
                "lstm_1.initial_h",
                "lstm_1.initial_c",
            ],
            ["", "lstm_1.last_h", "lstm_1.last_c"],
            hidden_size=32,
        ),
        make_node("Squeeze", ["lstm_1.last_h", "lstm_1.front"], ["lstm_1.next_h"]),
        make_node("Squeeze", ["lstm_1.last_c", "lstm_1.front"], ["lstm_1.next_c"]),
        integers("lstm_1.direction", [0]),
        make_node("Squeeze", ["lstm_1.last_h", "lstm_1.direction"], ["lstm_1"]),
        make_node(
            "Gemm",
            ["lstm_1", "next_reading.kernel", "next_reading.bias"],
            ["next_reading"],
        ),
    ]
    inputs = [
        make_tensor_value_info("readings", TensorProto.FLOAT, [4, "time", 3]),
        make_tensor_value_info("lstm.h", TensorProto.FLOAT, [4, 32]),
        make_tensor_value_info("lstm.c", TensorProto.FLOAT, [4, 32]),
        make_tensor_value_info("lstm_1.h", TensorProto.FLOAT, [4, 32]),
        make_tensor_value_info("lstm_1.c", TensorProto.FLOAT, [4, 32]),
    ]
    outputs = [
        make_tensor_value_info("next_reading", TensorProto.FLOAT, [4, 3]),
        make_tensor_value_info("lstm.next_h", TensorProto.FLOAT, [4, 32]),
        make_tensor_value_info("lstm.next_c", TensorProto.FLOAT, [4, 32]),
        make_tensor_value_info("lstm_1.next_h", TensorProto.FLOAT, [4, 32]),
        make_tensor_value_info("lstm_1.next_c", TensorProto.FLOAT, [4, 32]),
    ]
    weights = load_file(path)
    # The gates of an LSTM are i, f, c, o in Keras, and i, o, f, c here.
    arrays = {
        "lstm.lstm_cell.kernel": weights.pop("lstm.lstm_cell.kernel")
        .reshape(3, 4, 32)[:, [0, 3, 1, 2]]
        .reshape(3, 128)
        .transpose(1, 0)
        .reshape(1, 128, 3),
        "lstm.lstm_cell.recurrent_kernel": weights.pop(
            "lstm.lstm_cell.recurrent_kernel"
        )
        .reshape(32, 4, 32)[:, [0, 3, 1, 2]]
        .reshape(32, 128)
        .transpose(1, 0)
        .reshape(1, 128, 32),
        "lstm.lstm_cell.bias": weights.pop("lstm.lstm_cell.bias")
        .reshape(4, 32)[[0, 3, 1, 2]]
        .reshape(1, 128),
        "lstm_1.lstm_cell.kernel": weights.pop("lstm_1.lstm_cell.kernel")
        .reshape(32, 4, 32)[:, [0, 3, 1, 2]]
        .reshape(32, 128)
        .transpose(1, 0)
        .reshape(1, 128, 32),
        "lstm_1.lstm_cell.recurrent_kernel": weights.pop(
            "lstm_1.lstm_cell.recurrent_kernel"
        )
        .reshape(32, 4, 32)[:, [0, 3, 1, 2]]
        .reshape(32, 128)
        .transpose(1, 0)
        .reshape(1, 128, 32),
        "lstm_1.lstm_cell.bias": weights.pop("lstm_1.lstm_cell.bias")
        .reshape(4, 32)[[0, 3, 1, 2]]
        .reshape(1, 128),
        "next_reading.kernel": weights.pop("next_reading.kernel"),
        "next_reading.bias": weights.pop("next_reading.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "stateful_forecaster", inputs + variables, outputs)
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
