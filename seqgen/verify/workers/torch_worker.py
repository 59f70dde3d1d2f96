"""Runs the generated PyTorch program."""

import ast
import contextlib
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
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
from torch.utils._python_dispatch import TorchDispatchMode

DTYPES = {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64")}


def device_of(request: Request) -> torch.device:
    """The device asked for."""
    if request["device"] == "cuda" and not torch.cuda.is_available():
        raise NotHere("PyTorch sees no CUDA device")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(request["device"])


def built(request: Request) -> torch.nn.Module:
    """The model of the generated program, with its weights, in inference mode."""
    program = load_program(request["file"])
    model = program.build_model()
    program.load_weights(model, request["weights"])
    return model.to(device_of(request)).eval()


def tensors(request: Request) -> list[list[torch.Tensor]]:
    """The inputs of each batch on the device, of the dtypes that the manifest has."""
    device, dtypes = device_of(request), [DTYPES.get(name) for name in request["dtypes"]]

    def tensor(array: np.ndarray, dtype: torch.dtype | None) -> torch.Tensor:
        made = torch.from_numpy(array).to(device)
        return made.to(dtype) if dtype else made

    return [list(map(tensor, batch, dtypes)) for batch in read_batches(request)]


def outputs(made: Any) -> list[np.ndarray]:
    """The results of a model, one or several."""
    return [to_numpy(tensor) for tensor in (made if isinstance(made, tuple) else (made,))]


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """An array that NumPy can save; bfloat16 widens to float32 without a change of value."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def variables(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name; constants and what only counts batches are no variables."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    kept = model.state_dict().keys()
    return {k: v for k, v in named.items() if k in kept and not k.endswith("num_batches_tracked")}


def run_program(request: Request) -> dict[str, Any]:
    """Run the generated program."""
    model, inputs = built(request), tensors(request)
    named = variables(model)
    with torch.no_grad():
        if request["training"]:
            model.train()
        arrays = [array for batch in inputs for array in outputs(model(*batch))]
        if request["training"]:
            arrays += [to_numpy(v) for v in named.values()]
    write_arrays(request["output"], arrays)
    sizes = {name: v.numel() for name, v in named.items()}
    trainable = [name for name, v in model.named_parameters() if v.requires_grad]
    counts = {"total": sum(sizes.values()), "trainable": sum(sizes[name] for name in trainable)}
    return {"counts": counts, "trainable": trainable, "variables": sizes, "state": list(sizes)}


class Recorder(TorchDispatchMode):
    """Keeps the result of every operation, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[np.ndarray] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.records += copies(result)
        return result


def copies(result: Any) -> list[np.ndarray]:
    """The tensors of a result as they are now: later operations may work in place."""
    found = result if isinstance(result, (tuple, list)) else (result,)
    return [to_numpy(t).copy() for t in found if isinstance(t, torch.Tensor)]


def target_of(statement: ast.stmt) -> str:
    """The variable that a statement sets, the first of several; empty if it sets none."""
    if not isinstance(statement, ast.Assign):
        return ""
    target = statement.targets[0]
    first = target.elts[0] if isinstance(target, ast.Tuple) else target
    return first.id if isinstance(first, ast.Name) else ""


class Statements:
    """Keeps what each statement of `forward` of some classes sets; a trace function."""

    def __init__(self, file: str, classes: list[str]) -> None:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
        own = [item for item in tree.body if isinstance(item, ast.ClassDef)]
        methods = [step for item in own if item.name in classes for step in item.body]
        bodies = [step.body for step in methods if isinstance(step, ast.FunctionDef)]
        self._file = file
        self._starts = {step.lineno: target_of(step) for body in bodies for step in body}
        self._watched = {f"{n}.{method}" for n in classes for method in ("forward", "logits")}
        self.records: list[np.ndarray] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Watch a call of `forward` of one of the classes, and no other."""
        code = frame.f_code
        if code.co_filename != self._file or code.co_qualname not in self._watched:
            return None
        last: list[int] = []

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            # A statement of several lines comes back to its first one.
            if event == "line" and frame.f_lineno in self._starts and last != [frame.f_lineno]:
                if last:
                    self.records += copies(frame.f_locals.get(self._starts[last[0]]))[:1]
                last[:] = [frame.f_lineno]
            return line

        return line


def watch(
    model: torch.nn.Module, batch: list[torch.Tensor], statements: Statements
) -> dict[str, Any]:
    """Run a model and keep what its statements and then what its operations give, in order."""
    recorder, before, complete = Recorder(), sys.gettrace(), False
    sys.settrace(statements)
    # What was computed before an error still tells where it came from.
    with contextlib.suppress(Exception), recorder:
        model(*batch)
        complete = True
    sys.settrace(before)
    arrays = statements.records + recorder.records
    return {"arrays": arrays, "statements": len(statements.records), "complete": complete}


def loaded(request: Request, evidence: list[str]) -> torch.nn.Module | None:
    """The model with the weights that fit it; None if none could be loaded."""
    with noting(evidence, request["file"]):
        program = load_program(request["file"])
        model = program.build_model()
        try:
            program.load_weights(model, request["weights"])
        except RuntimeError as error:
            evidence.append(str(error))
            # PyTorch loads what fits before it complains of the rest.
            if "loading state_dict" not in str(error):
                raise
        return model.to(device_of(request))
    return None


def trace(request: Request) -> dict[str, Any]:
    """Every value on the way through the program, as far as it comes, and what goes wrong."""
    evidence: list[str] = []
    said: dict[str, Any] = {"arrays": [], "statements": 0, "complete": False}
    model = loaded(request, evidence)
    if model is not None:
        model.train(request["training"])
        inputs = tensors(request)
        with torch.no_grad():
            # They may change variables and states.
            for batch in inputs[: request["index"]]:
                model(*batch)
            said = watch(
                model, inputs[request["index"]], Statements(request["file"], request["classes"])
            )
    write_arrays(request["output"], said.pop("arrays"))
    return {**said, "evidence": evidence, "loaded": model is not None}


def export(request: Request) -> dict[str, Any]:
    """Let PyTorch export the program's model to ONNX, every open size dynamic."""
    model, inputs = built(request), tensors(request)
    dynamic = tuple(dict.fromkeys(axes, torch.export.Dim.AUTO) for axes in request["open_axes"])
    options = {"dynamo": True, "verbose": False, "dynamic_shapes": dynamic}
    torch.onnx.export(model, tuple(inputs[0]), request["output"], **options)
    return {}


def slots(trainer: Any) -> dict[tuple[str, str], np.ndarray]:
    """What training keeps of each parameter, by its own name of it and the parameter's."""
    found = {}
    for name, p in trainer.model.named_parameters():
        state = trainer.optimizer.state.get(p, {})
        for slot, value in {**state, "gradient": p.grad}.items():
            # Not what counts steps.
            if isinstance(value, torch.Tensor) and value.ndim == p.ndim:
                found[slot, name] = to_numpy(value)
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    for p, average in zip(trainer.parameters, getattr(trainer, "average", ()), strict=False):
        found["average", names[id(p)]] = to_numpy(average)
    return found


def train(request: Request) -> dict[str, Any]:
    """Train by the generated program: losses, first gradients, variables and results after it."""
    program, made = load_training(request["file"])
    model = made.build_model()
    made.load_weights(model, request["weights"])
    model.to(device_of(request)).train()
    trainer, steps = program.Trainer(model), read_steps(request)
    batches = [program.tensors(s, np.arange(len(s["x"])), device_of(request)) for s in steps]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y, weight = batches[0]
    trainer.loss(trainer.outputs(x), y, weight).backward()
    gradients = {
        name: np.zeros(p.shape) if p.grad is None else to_numpy(p.grad).copy()
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    model.zero_grad()
    model.load_state_dict(before)
    losses = [to_numpy(trainer.step(*batch)[0]) for batch in batches]
    named = variables(model)
    model.eval()
    with torch.no_grad():
        last = to_numpy(program.probabilities(trainer.outputs(x)))
    kept = slots(trainer)
    arrays = [np.array(losses), last, *gradients.values(), *map(to_numpy, named.values())]
    write_arrays(request["output"], [*arrays, *kept.values()])
    return {"gradients": list(gradients), "variables": list(named), "slots": list(kept)}


def hello(request: Request) -> dict[str, Any]:
    """Who answers."""
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"version": torch.__version__, "devices": ["cpu", *cards]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(
        {"hello": hello, "program": run_program, "trace": trace, "export": export, "train": train}
    )
