"""ONNX graph SentimentBilstm. Run as a program, it writes model.onnx."""

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
        make_node("Cast", ["words"], ["embedding.mask"], to=TensorProto.BOOL),
        make_node("Gather", ["embedding.embeddings", "words"], ["embedding"]),
        make_node(
            "Cast",
            ["embedding.mask"],
            ["embedding.mask.lengths.steps"],
            to=TensorProto.INT32,
        ),
        integers("embedding.mask.lengths.axes", [1]),
        make_node(
            "ReduceSum",
            ["embedding.mask.lengths.steps", "embedding.mask.lengths.axes"],
            ["embedding.mask.lengths"],
            keepdims=0,
        ),
        make_node(
            "Cast",
            ["embedding.mask"],
            ["bidirectional.kept.kept"],
            to=TensorProto.INT32,
        ),
        make_node("Shape", ["embedding.mask"], ["bidirectional.kept.count"], start=1),
        make_node(
            "TopK",
            ["bidirectional.kept.kept", "bidirectional.kept.count"],
            ["bidirectional.kept.sorted", "bidirectional.kept.order"],
        ),
        integers("bidirectional.kept.features", [-1]),
        make_node(
            "Unsqueeze",
            ["bidirectional.kept.order", "bidirectional.kept.features"],
            ["bidirectional.kept.places"],
        ),
        make_node(
            "GatherND",
            ["embedding", "bidirectional.kept.places"],
            ["bidirectional.kept"],
            batch_dims=1,
        ),
        make_node(
            "Transpose",
            ["bidirectional.kept"],
            ["bidirectional.transpose"],
            perm=[1, 0, 2],
        ),
        make_node(
            "Concat",
            [
                "bidirectional.forward_lstm.lstm_cell.kernel",
                "bidirectional.backward_lstm.lstm_cell.kernel",
            ],
            ["bidirectional.kernel"],
            axis=0,
        ),
        make_node(
            "Concat",
            [
                "bidirectional.forward_lstm.lstm_cell.recurrent_kernel",
                "bidirectional.backward_lstm.lstm_cell.recurrent_kernel",
            ],
            ["bidirectional.recurrent_kernel"],
            axis=0,
        ),
        make_node(
            "Concat",
            [
                "bidirectional.forward_lstm.lstm_cell.bias",
                "bidirectional.backward_lstm.lstm_cell.bias",
            ],
            ["bidirectional.bias"],
            axis=0,
        ),
        integers("bidirectional.biases.pads", [0, 0, 0, 256]),
        make_node(
            "Pad",
            ["bidirectional.bias", "bidirectional.biases.pads"],
            ["bidirectional.biases"],
        ),
        make_node(
            "LSTM",
            [
                "bidirectional.transpose",
                "bidirectional.kernel",
                "bidirectional.recurrent_kernel",
                "bidirectional.biases",
                "embedding.mask.lengths",
            ],
            ["bidirectional.outputs"],
            hidden_size=64,
            direction="bidirectional",
        ),
        make_node(
            "Transpose",
            ["bidirectional.outputs"],
            ["bidirectional.side_by_side"],
            perm=[0, 2, 1, 3],
        ),
        integers("bidirectional.shape", [0, 0, -1]),
        make_node(
            "Reshape",
            ["bidirectional.side_by_side", "bidirectional.shape"],
            ["bidirectional"],
        ),
        make_node(
            "Concat",
            [
                "bidirectional_1.forward_lstm_1.lstm_cell.kernel",
                "bidirectional_1.backward_lstm_1.lstm_cell.kernel",
            ],
            ["bidirectional_1.kernel"],
            axis=0,
        ),
        make_node(
            "Concat",
            [
                "bidirectional_1.forward_lstm_1.lstm_cell.recurrent_kernel",
                "bidirectional_1.backward_lstm_1.lstm_cell.recurrent_kernel",
            ],
            ["bidirectional_1.recurrent_kernel"],
            axis=0,
        ),
        make_node(
            "Concat",
            [
                "bidirectional_1.forward_lstm_1.lstm_cell.bias",
                "bidirectional_1.backward_lstm_1.lstm_cell.bias",
            ],
            ["bidirectional_1.bias"],
            axis=0,
        ),
        integers("bidirectional_1.biases.pads", [0, 0, 0, 256]),
        make_node(
            "Pad",
            ["bidirectional_1.bias", "bidirectional_1.biases.pads"],
            ["bidirectional_1.biases"],
        ),
        make_node(
            "LSTM",
            [
                "bidirectional",
                "bidirectional_1.kernel",
                "bidirectional_1.recurrent_kernel",
                "bidirectional_1.biases",
                "embedding.mask.lengths",
            ],
            ["", "bidirectional_1.last_h"],
            hidden_size=64,
            direction="bidirectional",
        ),
        make_node(
            "Transpose",
            ["bidirectional_1.last_h"],
            ["bidirectional_1.side_by_side"],
            perm=[1, 0, 2],
        ),
        integers("bidirectional_1.shape", [0, -1]),
        make_node(
            "Reshape",
            ["bidirectional_1.side_by_side", "bidirectional_1.shape"],
            ["bidirectional_1"],
        ),
        make_node("Identity", ["bidirectional_1"], ["dropout"]),
        make_node(
            "Gemm", ["dropout", "positive.kernel", "positive.bias"], ["positive.linear"]
        ),
        make_node("Sigmoid", ["positive.linear"], ["positive"]),
    ]
    inputs = [
        make_tensor_value_info("words", TensorProto.INT32, ["batch", "time"]),
    ]
    outputs = [
        make_tensor_value_info("positive", TensorProto.FLOAT, ["batch", 1]),
    ]
    weights = load_file(path)
    # The gates of an LSTM are i, f, c, o in Keras, and i, o, f, c here.
    arrays = {
        "embedding.embeddings": weights.pop("embedding.embeddings"),
        "bidirectional.forward_lstm.lstm_cell.kernel": weights.pop(
            "bidirectional.forward_lstm.lstm_cell.kernel"
        )
        .reshape(128, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(128, 256)
        .transpose(1, 0)
        .reshape(1, 256, 128),
        "bidirectional.forward_lstm.lstm_cell.recurrent_kernel": weights.pop(
            "bidirectional.forward_lstm.lstm_cell.recurrent_kernel"
        )
        .reshape(64, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(64, 256)
        .transpose(1, 0)
        .reshape(1, 256, 64),
        "bidirectional.forward_lstm.lstm_cell.bias": weights.pop(
            "bidirectional.forward_lstm.lstm_cell.bias"
        )
        .reshape(4, 64)[[0, 3, 1, 2]]
        .reshape(1, 256),
        "bidirectional.backward_lstm.lstm_cell.kernel": weights.pop(
            "bidirectional.backward_lstm.lstm_cell.kernel"
        )
        .reshape(128, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(128, 256)
        .transpose(1, 0)
        .reshape(1, 256, 128),
        "bidirectional.backward_lstm.lstm_cell.recurrent_kernel": weights.pop(
            "bidirectional.backward_lstm.lstm_cell.recurrent_kernel"
        )
        .reshape(64, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(64, 256)
        .transpose(1, 0)
        .reshape(1, 256, 64),
        "bidirectional.backward_lstm.lstm_cell.bias": weights.pop(
            "bidirectional.backward_lstm.lstm_cell.bias"
        )
        .reshape(4, 64)[[0, 3, 1, 2]]
        .reshape(1, 256),
        "bidirectional_1.forward_lstm_1.lstm_cell.kernel": weights.pop(
            "bidirectional_1.forward_lstm_1.lstm_cell.kernel"
        )
        .reshape(128, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(128, 256)
        .transpose(1, 0)
        .reshape(1, 256, 128),
        "bidirectional_1.forward_lstm_1.lstm_cell.recurrent_kernel": weights.pop(
            "bidirectional_1.forward_lstm_1.lstm_cell.recurrent_kernel"
        )
        .reshape(64, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(64, 256)
        .transpose(1, 0)
        .reshape(1, 256, 64),
        "bidirectional_1.forward_lstm_1.lstm_cell.bias": weights.pop(
            "bidirectional_1.forward_lstm_1.lstm_cell.bias"
        )
        .reshape(4, 64)[[0, 3, 1, 2]]
        .reshape(1, 256),
        "bidirectional_1.backward_lstm_1.lstm_cell.kernel": weights.pop(
            "bidirectional_1.backward_lstm_1.lstm_cell.kernel"
        )
        .reshape(128, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(128, 256)
        .transpose(1, 0)
        .reshape(1, 256, 128),
        "bidirectional_1.backward_lstm_1.lstm_cell.recurrent_kernel": weights.pop(
            "bidirectional_1.backward_lstm_1.lstm_cell.recurrent_kernel"
        )
        .reshape(64, 4, 64)[:, [0, 3, 1, 2]]
        .reshape(64, 256)
        .transpose(1, 0)
        .reshape(1, 256, 64),
        "bidirectional_1.backward_lstm_1.lstm_cell.bias": weights.pop(
            "bidirectional_1.backward_lstm_1.lstm_cell.bias"
        )
        .reshape(4, 64)[[0, 3, 1, 2]]
        .reshape(1, 256),
        "positive.kernel": weights.pop("positive.kernel"),
        "positive.bias": weights.pop("positive.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "sentiment_bilstm", inputs + variables, outputs)
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
