"""What a model computes, by its own ONNX program under onnxruntime: no framework is needed."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import SeqgenError, SpecError, UnsupportedError
from seqgen.ir.graph import Model
from seqgen.ir.types import TensorType
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.whole import Whole

# Beyond this, a model does not fit into one message of the format.
LARGEST_MESSAGE = 1_500_000_000


def evaluate(model: "Whole", xs: list[np.ndarray]) -> list[np.ndarray]:
    """The results of a built model for a batch.

    Args:
        model: The model. Its session is kept until the model or its weights change.
        xs: For each input the batch, in the spec's layout; it is cast to the dtype of the input.

    Raises:
        SpecError: The batch does not fit the input.
        UnsupportedError: onnxruntime does not compute in the model's dtype.
    """
    session = _session(model)
    if len(xs) != len(session.entries):
        message = f"expected {len(session.entries)} arrays, one for each input"
        raise SpecError(f"{model.label}: {message}; received {len(xs)}")
    pairs = zip(session.entries, xs, strict=True)
    batches = [_fitted(model, entry, x) for entry, x in pairs]
    try:
        return session.run(batches)
    except Exception as error:
        raise SeqgenError(f"{model.label}: onnxruntime: {_first_line(error)}") from None


class Session:
    """A model under onnxruntime, with the states that its layers keep between batches.

    Inputs of its graph behind those of the model are states, and outputs behind those of the model
    what becomes of them.
    """

    def __init__(self, graph: Model, weights: Weights, version: tuple[int, int]) -> None:
        self.entries = [graph.by_name[name].type for name in graph.inputs]
        self._outputs = len(graph.outputs)
        self.version = version
        self._dtype = graph.dtype
        self._running = start(graph, weights)
        self._names = [port.name for port in self._running.get_inputs()]
        self.states: list[np.ndarray] = []
        self.reset_states()

    def reset_states(self) -> None:
        """Set all states to zero."""
        kept = self._running.get_inputs()[len(self.entries) :]
        self.states = [np.zeros(port.shape, self._dtype) for port in kept]

    def run(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        """The results for a batch, which comes after those before."""
        arrays = zip(self._names, [*batches, *self.states], strict=True)
        results = self._running.run(None, dict(arrays))
        self.states = results[self._outputs :]
        return list(results[: self._outputs])


def _session(model: "Whole") -> Session:
    """The session of a model as it is now; new weights leave the states as they are."""
    version = (model.changed, max((v.changed for v in model.variables), default=0))
    before: Session | None = model._session
    if before is None or before.version != version:
        model._session = Session(model.graph(), model.store(), version)
        if before is not None and before.version[0] == version[0]:
            model._session.states = before.states
    made: Session = model._session
    return made


def _fitted(model: "Whole", entry: TensorType, x: np.ndarray) -> np.ndarray:
    if x.dtype.kind not in "biuf" and x.dtype.name != "bfloat16":
        raise SpecError(f"{model.label}: expected an array of numbers, received {x.dtype}")
    sizes = zip(entry.keras_shape, x.shape, strict=False)
    if x.ndim != entry.rank or any(known not in (None, size) for known, size in sizes):
        expected = entry.keras_shape
        raise SpecError(f"{model.label}: expected an input {expected}, received {x.shape}")
    return np.ascontiguousarray(x, dtype=entry.dtype)


def start(graph: Model, weights: Weights) -> Any:
    """A session that runs a graph with its weights, inputs and outputs in the spec's layout.

    Raises:
        UnsupportedError: The graph cannot be said in ONNX, or not in the model's dtype.
    """
    import onnxruntime

    if graph.dtype == "bfloat16":
        raise UnsupportedError("onnxruntime takes no bfloat16 arrays; evaluate in float32")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        source = _model_file(graph, weights, Path(folder))
        try:
            return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise UnsupportedError(f"onnxruntime: {_first_line(error)}") from None


def _model_file(graph: Model, weights: Weights, folder: Path) -> bytes | str:
    """The model as onnxruntime takes it: its bytes, or the path of a file if they are too many."""
    import onnx

    path = folder / "weights.safetensors"
    weights.save(path)
    model = _program(graph)["build_model"](str(path))
    if weights.nbytes < LARGEST_MESSAGE:
        return bytes(model.SerializeToString())
    file = folder / "model.onnx"
    onnx.save_model(model, file, save_as_external_data=True, location="model.data")
    return str(file)


def _program(graph: Model) -> dict[str, Any]:
    from seqgen.generator import Options, program
    from seqgen.targets import TARGETS

    options = Options(targets=("onnx",), layout="spec")
    (text,) = program(graph, TARGETS["onnx"], options).texts.values()
    names: dict[str, Any] = {"__name__": "onnx_model"}
    exec(compile(text, "onnx_model.py", "exec"), names)
    return names


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
