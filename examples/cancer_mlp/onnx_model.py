"""ONNX graph CancerMlp. Run as a program, it writes model.onnx."""

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
            "BatchNormalization",
            [
                "input_layer",
                "batch_normalization.gamma",
                "batch_normalization.beta",
                "batch_normalization.moving_mean",
                "batch_normalization.moving_variance",
            ],
            ["batch_normalization"],
            epsilon=0.001,
        ),
        make_node(
            "Gemm",
            ["batch_normalization", "dense.kernel", "dense.bias"],
            ["dense.linear"],
        ),
        make_node("Relu", ["dense.linear"], ["dense"]),
        make_node("Identity", ["dense"], ["dropout"]),
        make_node(
            "Gemm", ["dropout", "dense_1.kernel", "dense_1.bias"], ["dense_1.linear"]
        ),
        make_node("Relu", ["dense_1.linear"], ["dense_1"]),
        make_node(
            "Gemm",
            ["dense_1", "malignant.kernel", "malignant.bias"],
            ["malignant.linear"],
        ),
        make_node("Sigmoid", ["malignant.linear"], ["malignant"]),
    ]
    inputs = [
        make_tensor_value_info("input_layer", TensorProto.FLOAT, ["batch", 30]),
    ]
    outputs = [
        make_tensor_value_info("malignant", TensorProto.FLOAT, ["batch", 1]),
    ]
    weights = load_file(path)
    arrays = {
        "batch_normalization.gamma": weights.pop("batch_normalization.gamma"),
        "batch_normalization.beta": weights.pop("batch_normalization.beta"),
        "batch_normalization.moving_mean": weights.pop(
            "batch_normalization.moving_mean"
        ),
        "batch_normalization.moving_variance": weights.pop(
            "batch_normalization.moving_variance"
        ),
        "dense.kernel": weights.pop("dense.kernel"),
        "dense.bias": weights.pop("dense.bias"),
        "dense_1.kernel": weights.pop("dense_1.kernel"),
        "dense_1.bias": weights.pop("dense_1.bias"),
        "malignant.kernel": weights.pop("malignant.kernel"),
        "malignant.bias": weights.pop("malignant.bias"),
    }
    if weights:
        raise KeyError(f"weights that the model does not have: {sorted(weights)}")

    # The checker would copy the weights several times, so it sees them as inputs.
    variables = [
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    ]
    graph = make_graph(nodes, "cancer_mlp", inputs + variables, outputs)
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
