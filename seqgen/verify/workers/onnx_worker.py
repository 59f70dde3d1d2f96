"""Runs ONNX under onnxruntime: the generated program's graph, and files that exporters wrote."""

import inspect
import os
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from protocol import (
    NotHere,
    Request,
    load_program,
    load_training,
    noting,
    read_batches,
    read_steps,
    serve,
    write_arrays,
)

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


class MaxPool(OpRun):
    """The operator of onnxruntime: that of onnx's evaluator is wrong where windows are padded."""

    op_domain = ""

    def _run(self, x: np.ndarray, **given: Any) -> tuple[np.ndarray, ...]:
        kind = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
        info = onnx.helper.make_tensor_value_info
        results = [info(name, kind, None) for name in self.onnx_node.output[:1]]
        results += [info(name, onnx.TensorProto.INT64, None) for name in self.onnx_node.output[1:]]
        taken = [info(self.onnx_node.input[0], kind, x.shape)]
        graph = onnx.helper.make_graph([self.onnx_node], "pool", taken, results)
        opset = onnx.helper.make_opsetid("", 21)
        made = session(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), "cpu")
        return tuple(made.run(None, {self.onnx_node.input[0]: x}))


def evaluator(graph: onnx.ModelProto, device: str) -> ReferenceEvaluator:
    """What runs a graph in float64; onnxruntime has convolutions in float32 only."""
    return ReferenceEvaluator(graph, new_ops=[MaxPool])


def with_outputs(graph: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A graph that gives more of its tensors, as the last outputs."""
    more = onnx.ModelProto()
    more.CopyFrom(graph)
    more.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return more


def train(request: Request) -> dict[str, Any]:
    """Train by the generated program: losses, first gradients, variables and results after it."""
    program, made = load_training(request["file"])
    program.session = evaluator if request["dtype"] == "float64" else session
    steps = read_steps(request)
    batches = [program.batch(step, np.arange(len(step["x"]))) for step in steps]
    model = made.build_model(request["weights"])
    trainer = program.Trainer(model, device=request["device"])
    graph = with_outputs(program.build_step(model), [f"{n}.gradient" for n in program.TRAINED])
    whole, trainer.session = trainer.session, program.session(graph, request["device"])
    before, gradients = dict(trainer.state), []
    run, count = trainer.session.run, len(program.TRAINED)

    def first(names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        results = run(names, feed)
        gradients.extend(results[len(results) - count :])
        return results[: len(results) - count]

    trainer.session.run = first
    trainer.step(batches[0])
    trainer.session, trainer.state, trainer.steps = whole, before, 0
    losses = [trainer.step(batch)[0] for batch in batches]
    _, last = trainer.evaluate(batches[0])
    weights = [tensor.name for tensor in model.graph.initializer]
    slots = [(s, n) for n in program.TRAINED for s in getattr(program, "SLOTS", ())]
    kept = [trainer.state[f"{name}.{slot}"] for slot, name in slots]
    variables = [trainer.state[name] for name in weights]
    arrays = [np.array(losses), np.asarray(last), *gradients, *variables, *kept]
    write_arrays(request["output"], arrays)
    return {"gradients": list(program.TRAINED), "variables": weights, "slots": slots}


def hello(request: Request) -> dict[str, Any]:
    """Who answers."""
    providers = onnxruntime.get_available_providers()
    return {"version": onnxruntime.__version__, "devices": providers}


if __name__ == "__main__":
    serve(
        {
            "hello": hello,
            "program": run_program,
            "trace": trace,
            "file": run_file,
            "train": train,
        }
    )
