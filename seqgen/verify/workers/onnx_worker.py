"""Runs ONNX under onnxruntime: the generated program's graph, and files that exporters wrote."""

import inspect
import os
from typing import Any

import numpy as np
import onnx
import onnxruntime
from protocol import NotHere, Request, load_program, read_arrays, serve, write_arrays

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# What onnxruntime says when it has no kernel for an operator in a dtype.
NO_KERNEL = ("NOT_IMPLEMENTED", "Could not find an implementation")
DTYPES = {1: "float32", 10: "float16", 11: "float64", 6: "int32", 7: "int64"}


# Where onnxruntime looks for weights that a graph in memory does not hold.
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


def session(
    model: onnx.ModelProto | str, device: str, folder: str | None = None
) -> onnxruntime.InferenceSession:
    """A session on the device asked for, and on no other.

    Args:
        model: A graph, or the path of one.
        device: `cpu` or `cuda`.
        folder: The folder of the file that holds the weights of a graph, if it does not itself.
    """
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise NotHere(f"onnxruntime has no {provider} here")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if folder is not None:
        options.add_session_config_entry(EXTERNAL_FOLDER, folder)
    source = model if isinstance(model, str) else model.SerializeToString()
    settings: Any = provider
    if device == "cuda":
        settings = (provider, {"use_tf32": 0})
    try:
        made = onnxruntime.InferenceSession(source, options, providers=[settings])
    except Exception as error:
        if any(words in str(error) for words in NO_KERNEL):
            raise NotHere(f"onnxruntime has no kernel: {str(error)[:200]}") from None
        raise
    if made.get_providers()[0] != provider:
        raise NotHere(f"onnxruntime fell back to {made.get_providers()[0]}")
    return made


def run(made: onnxruntime.InferenceSession, arrays: list[np.ndarray]) -> list[list[np.ndarray]]:
    """All outputs for each input."""
    entry = made.get_inputs()[0]
    dtype = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(float16)": "f2"}
    cast = dtype.get(entry.type)
    return [made.run(None, {entry.name: array.astype(cast) if cast else array}) for array in arrays]


def with_all_outputs(model: onnx.ModelProto) -> list[str]:
    """Make every tensor of a graph an output; the names in order."""
    names = [name for node in model.graph.node for name in node.output if name]
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in present
    )
    return [output.name for output in model.graph.output]


def build(file: str, weights: str) -> tuple[onnx.ModelProto, str | None]:
    """The graph of a generated program, and the folder of its weights if it does not hold them."""
    build_model = load_program(file).build_model
    if "data" not in inspect.signature(build_model).parameters:
        return build_model(weights), None
    return build_model(weights, f"{weights}.data"), os.path.dirname(weights)


def run_program(request: Request) -> dict[str, Any]:
    """Run the graph of the generated program."""
    model, folder = build(request["file"], request["weights"])
    inputs = read_arrays(request["inputs"])
    if request["intermediate"]:
        order = {n: i for i, node in enumerate(model.graph.node) for n in node.output}
        names = with_all_outputs(model)
        values = run(session(model, request["device"], folder), inputs[:1])[0]
        pairs = sorted(zip(names, values, strict=True), key=lambda pair: order.get(pair[0], -1))
        write_arrays(request["output"], [value for _, value in pairs])
        return {"names": [name for name, _ in pairs]}
    made = session(model, request["device"], folder)
    write_arrays(request["output"], [values[0] for values in run(made, inputs)])
    sizes = {t.name: int(np.prod(t.dims, dtype=int)) for t in model.graph.initializer}
    return {"counts": {"total": sum(sizes.values())}, "variables": sizes}


def run_file(request: Request) -> dict[str, Any]:
    """Run an ONNX file."""
    made = session(request["file"], request["device"])
    write_arrays(
        request["output"], [values[0] for values in run(made, read_arrays(request["inputs"]))]
    )
    return {}


def hello(request: Request) -> dict[str, Any]:
    """Who answers."""
    providers = onnxruntime.get_available_providers()
    return {"version": onnxruntime.__version__, "devices": providers}


if __name__ == "__main__":
    serve({"hello": hello, "program": run_program, "file": run_file})
