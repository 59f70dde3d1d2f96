"""Runs the generated PyTorch program."""

import contextlib
from typing import Any

import numpy as np
import torch
from protocol import NotHere, Request, load_program, read_arrays, serve, write_arrays
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


def tensors(request: Request) -> list[torch.Tensor]:
    """The inputs on the device, of the dtype that the manifest has."""
    device, dtype = device_of(request), DTYPES.get(request["dtype"])
    found = [torch.from_numpy(array).to(device) for array in read_arrays(request["inputs"])]
    return [tensor.to(dtype) if dtype else tensor for tensor in found]


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """An array that NumPy can save; bfloat16 widens to float32 without a change of value."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def variables(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name; what only counts batches is no variable of the spec."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: v for name, v in named.items() if not name.endswith("num_batches_tracked")}


class Recorder(TorchDispatchMode):
    """Keeps the result of every operation, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[np.ndarray] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        found = result if isinstance(result, (tuple, list)) else (result,)
        self.records += [to_numpy(t).copy() for t in found if isinstance(t, torch.Tensor)]
        return result


def intermediate(model: torch.nn.Module, x: torch.Tensor) -> tuple[list[str], list[np.ndarray]]:
    """Every value on the way; those that a module returned carry its name."""
    named: dict[str, np.ndarray] = {}
    for name, module in model.named_modules():
        if name and not list(module.children()):
            module.register_forward_hook(
                lambda m, args, result, name=name: named.update({name: to_numpy(result).copy()})
            )
    with torch.no_grad(), Recorder() as recorder, contextlib.suppress(Exception):
        # What was computed before an error still tells where it came from.
        model(x)
    names = [""] * len(recorder.records) + list(named)
    return names, recorder.records + list(named.values())


def run_program(request: Request) -> dict[str, Any]:
    """Run the generated program."""
    model, inputs = built(request), tensors(request)
    if request["intermediate"]:
        names, arrays = intermediate(model, inputs[0])
        write_arrays(request["output"], arrays)
        return {"names": names}
    named = variables(model)
    with torch.no_grad():
        if request["training"]:
            model.train()
        arrays = [to_numpy(model(x)) for x in inputs]
        if request["training"]:
            arrays += [to_numpy(v) for v in named.values()]
    write_arrays(request["output"], arrays)
    sizes = {name: v.numel() for name, v in named.items()}
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    counts = {"total": sum(sizes.values()), "trainable": trainable}
    return {"counts": counts, "variables": sizes, "state": list(sizes)}


def export(request: Request) -> dict[str, Any]:
    """Let PyTorch export the program's model to ONNX, every open size dynamic."""
    model, inputs = built(request), tensors(request)
    dynamic = ({axis: torch.export.Dim.AUTO for axis in request["open_axes"]},)
    torch.onnx.export(
        model, (inputs[0],), request["output"], dynamo=True, verbose=False, dynamic_shapes=dynamic
    )
    return {}


def hello(request: Request) -> dict[str, Any]:
    """Who answers."""
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"version": torch.__version__, "devices": ["cpu", *cards]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve({"hello": hello, "program": run_program, "export": export})
