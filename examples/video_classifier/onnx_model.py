"""ONNX graph VideoClassifier. Run as a program, it writes model.onnx."""

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
        make_node("Shape", ["frames"], ["time_distributed.steps"], start=0, end=2),
        integers("time_distributed.merged.shape", [-1, 3, 32, 32]),
        make_node(
            "Reshape",
            ["frames", "time_distributed.merged.shape"],
            ["time_distributed.merged"],
        ),
        make_node(
            "Conv",
            [
                "time_distributed.merged",
                "time_distributed.frame_encoder.conv2d.kernel",
                "time_distributed.frame_encoder.conv2d.bias",
            ],
            ["time_distributed/conv2d.linear"],
            kernel_shape=[3, 3],
        ),
        make_node(
            "Relu", ["time_distributed/conv2d.linear"], ["time_distributed/conv2d"]
        ),
        make_node(
            "MaxPool",
            ["time_distributed/conv2d"],
            ["time_distributed/max_pooling2d"],
            kernel_shape=[2, 2],
            strides=[2, 2],
        ),
        make_node(
            "Conv",
            [
                "time_distributed/max_pooling2d",
                "time_distributed.frame_encoder.conv2d_1.kernel",
                "time_distributed.frame_encoder.conv2d_1.bias",
            ],
            ["time_distributed/conv2d_1.linear"],
            kernel_shape=[3, 3],
        ),
        make_node(
            "Relu", ["time_distributed/conv2d_1.linear"], ["time_distributed/conv2d_1"]
        ),
        integers("time_distributed/global_average_pooling2d.axes", [2, 3]),
        make_node(
            "ReduceMean",
            [
                "time_distributed/conv2d_1",
                "time_distributed/global_average_pooling2d.axes",
            ],
            ["time_distributed/global_average_pooling2d"],
            keepdims=0,
        ),
        integers("time_distributed.rest", [32]),
        make_node(
            "Concat",
            ["time_distributed.steps", "time_distributed.rest"],
            ["time_distributed.shape"],
            axis=0,
        ),
        make_node(
            "Reshape",
            ["time_distributed/global_average_pooling2d", "time_distributed.shape"],
            ["time_distributed"],
        ),
        make_node(
            "Transpose", ["time_distributed"], ["lstm.transpose"], perm=[1, 0, 2]
        ),
        integers("lstm.biases.pads", [0, 0, 0, 256]),
        make_node("Pad", ["lstm.lstm_cell.bias", "lstm.biases.pads"], ["lstm.biases"]),
        make_node(
            "LSTM",
            [
                "lstm.transpose",
                "lstm.lstm_cell.kernel",
                "lstm.lstm_cell.recurrent_kernel",
                "lstm.biases",
            ],
            ["", "lstm.last_h"],
            hidden_size=64,
        ),
        integers("lstm.direction", [0]),
        make_node("Squeeze", ["lstm.last_h", "lstm.direction"], ["lstm"]),
        make_node("Identity", ["lstm"], ["dropout"]),
        make_node(
            "Gemm", ["dropout", "action.kernel", "action.bias"], ["action.linear"]
        ),
        make_node("Softmax", ["action.linear"], ["action"]),
    ]
    inputs = [
        make_tensor_value_info(
            "frames", TensorProto.FLOAT, ["batch", "time", 3, 32, 32]
        ),
    ]
    outputs = [
        make_tensor_value_info("action", TensorProto.FLOAT, ["batch", 5]),
    ]
    weights = load_file(path)
    # The gates of an LSTM are i, f, c, o in Keras, and i, o, f, c here.
    arrays = {
        "time_distributed.frame_encoder.conv2d.kernel": weights.pop(
            "time_distributed.frame_encoder.conv2d.kernel"
        ).transpose(3, 2, 0, 1),
        "time_distributed.frame_encoder.conv2d.bias": weights.pop(
            "time_distributed.frame_encoder.conv2d.bias"
        ),
        "time_distributed.frame_encoder.conv2d_1.kernel": weights.pop(
            "time_distributed.frame_encoder.conv2d_1.kernel"
        ).transpose(3, 2, 0, 1),
        "time_distributed.frame_encoder.conv2d_1.bias": weights.pop(
            "time_distributed.frame_encoder.conv2d_1.bias"
        ),
        "lstm.lstm_cell.kernel": weights.pop("lstm.lstm_cell.kernel")
        .reshape(32, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(32, 256)
        .transpose(1, 0)
        .reshape(1, 256, 32),
        "lstm.lstm_cell.recurrent_kernel": weights.pop(
            "lstm.lstm_cell.recurrent_kernel"
        )
        .reshape(64, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(64, 256)
        .transpose(1, 0)
        .reshape(1, 256, 64),
        "lstm.lstm_cell.bias": weights.pop("lstm.lstm_cell.bias")
        .reshape(4, 64)[[0, 3, 1, 2]]
        .reshape(1, 256),
        "action.kernel": weights.pop("action.kernel"),
        "action.bias": weights.pop("action.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "video_classifier", inputs + variables, outputs)
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
