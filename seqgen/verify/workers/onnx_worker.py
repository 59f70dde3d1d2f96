"""Runs ONNX under onnxruntime: the generated program's graph, and files that exporters wrote."""

import inspect
import os
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
from protocol import NotHere, Request, load_program, noting, read_batches, serve, write_arrays

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# What onnxruntime says when it has no kernel for an operator in a dtype.
NO_KERNEL = ("NOT_IMPLEMENTED", "Could not find an implementation", "does not support double")
DTYPES = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(float16)": "f2"}
# Where onnxruntime looks for weights that a graph in memory does not hold.
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


def told(error: Exception) -> Exception:
    """An error of onnxruntime; one that says that something is not there is of that kind."""
    missing = any(words in str(error) for words in NO_KERNEL)
    return NotHere(f"onnxruntime has no kernel: {str(error)[:200]}") if missing else error


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
        raise told(error) from None
    if made.get_providers()[0] != provider:
        raise NotHere(f"onnxruntime fell back to {made.get_providers()[0]}")
    return made


def zeros(made: onnxruntime.InferenceSession, count: int) -> list[np.ndarray]:
    """The first states of a graph: its inputs behind those of the model are states."""
    ports = made.get_inputs()
    if any(port.type == "tensor(bfloat16)" for port in ports):
        raise NotHere("NumPy has no bfloat16 to feed to onnxruntime")
    return [np.zeros(port.shape, DTYPES[port.type]) for port in ports[count:]]


def step(
    made: onnxruntime.InferenceSession, batch: list[np.ndarray], states: list[np.ndarray]
) -> list[np.ndarray]:
    """All outputs for a batch and the states that it meets."""
    ports = made.get_inputs()
    arrays = [
        array.astype(DTYPES.get(port.type, array.dtype))
        for port, array in zip(ports, [*batch, *states], strict=True)
    ]
    try:
        return made.run(None, {port.name: x for port, x in zip(ports, arrays, strict=True)})
    except Exception as error:
        raise told(error) from None


def run(
    made: onnxruntime.InferenceSession, batches: list[list[np.ndarray]]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The results for each batch, each with the states that those before it left; and the last."""
    results: list[np.ndarray] = []
    states = zeros(made, len(batches[0]))
    for batch in batches:
        given = step(made, batch, states)
        count = len(given) - len(states)
        results += given[:count]
        states = given[count:]
    return results, states


def build(file: str, weights: str) -> tuple[onnx.ModelProto, str | None]:
    """The graph of a generated program, and the folder of its weights if it does not hold them."""
    build_model = load_program(file).build_model
    if "data" not in inspect.signature(build_model).parameters:
        return build_model(weights), None
    return build_model(weights, f"{weights}.data"), os.path.dirname(weights)


def run_program(request: Request) -> dict[str, Any]:
    """Run the graph of the generated program."""
    model, folder = build(request["file"], request["weights"])
    made = session(model, request["device"], folder)
    results, _ = run(made, read_batches(request))
    write_arrays(request["output"], results)
    sizes = {t.name: int(np.prod(t.dims, dtype=int)) for t in model.graph.initializer}
    return {"counts": {"total": sum(sizes.values())}, "variables": sizes}


def watched(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The first nodes of a graph, every tensor that they make an output."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[count:], part.graph.output[:]
    part.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name)
        for node in part.graph.node
        for name in node.output
        if name
    )
    return part


def values(
    model: onnx.ModelProto, folder: str | None, count: int, request: Request
) -> dict[str, np.ndarray]:
    """The tensors that the first nodes of a graph make of an input, after those before it."""
    part = watched(model, count)
    *earlier, x = read_batches(request)[: request["index"] + 1]
    made = session(part, request["device"], folder)
    states = zeros(made, len(x))
    if states and earlier:
        _, states = run(session(model, request["device"], folder), earlier)
    arrays = step(made, x, states)
    return dict(zip((output.name for output in part.graph.output), arrays, strict=True))


def values_so_far(
    model: onnx.ModelProto, folder: str | None, request: Request
) -> dict[str, np.ndarray]:
    """The tensors of as many nodes of a graph as can be computed."""
    found: dict[str, np.ndarray] = {}
    good, bad = 0, len(model.graph.node) + 1
    count = bad - 1
    while bad - good > 1:
        try:
            found, good = values(model, folder, count, request), count
        except Exception:
            bad = count
        count = (good + bad) // 2
    return found


def trace(request: Request) -> dict[str, Any]:
    """Every tensor of the graph, as far as it can be computed, and what goes wrong."""
    evidence: list[str] = []
    found = None
    with noting(evidence, request["file"]), mock.patch.object(onnx.checker, "check_model"):
        model, folder = build(request["file"], request["weights"])
        found = values_so_far(model, folder, request)
    write_arrays(request["output"], list((found or {}).values()))
    return {"names": list(found or {}), "evidence": evidence, "loaded": found is not None}


def run_file(request: Request) -> dict[str, Any]:
    """Run an ONNX file."""
    results, _ = run(session(request["file"], request["device"]), read_batches(request))
    write_arrays(request["output"], results)
    return {}


def hello(request: Request) -> dict[str, Any]:
    """Who answers."""
    providers = onnxruntime.get_available_providers()
    return {"version": onnxruntime.__version__, "devices": providers}


if __name__ == "__main__":
    serve({"hello": hello, "program": run_program, "trace": trace, "file": run_file})
