"""The formats of weights by their suffix: how they are read and written, and why some are not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seqgen.errors import MismatchError, UnsupportedError
from seqgen.porting import keras_files, onnx_file, torch_file
from seqgen.porting.content import Content, Names, Search, checked
from seqgen.porting.programs import placing
from seqgen.weights import Weights

if TYPE_CHECKING:
    from seqgen.spec.sequential import Sequential

Read = Callable[[Path, "Sequential", str], Content]


@dataclass(frozen=True)
class Format:
    """A kind of file. All functions take the model and the layout of its programs.

    Attributes:
        suffixes: How its files end.
        read: Reads one.
        names: What a file calls each variable.
        write: Writes one, None if that is refused.
        instead: What to do where it is not written.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path, "Sequential", str, Search], Content]
    names: Callable[["Sequential", str], Names]
    write: Callable[[Path, Weights, "Sequential", str], None] | None = None
    instead: str = ""


def _read_safetensors(path: Path, model: "Sequential", layout: str, search: Search) -> Content:
    weights, graph = Weights.open(path), model.graph()
    if torch_file.is_state_dict(weights, graph.weights):
        return torch_file.read(path, model, layout, search)
    if search.match == "order":
        raise MismatchError(f"{path}: expected the names of a PyTorch module, such as '0.weight'")
    return Content(checked(path, weights, graph.weights, graph.dtype))


def _by_names(read: Read) -> Callable[[Path, "Sequential", str, Search], Content]:
    """The reader of a kind of file whose names are always those of the model."""

    def reader(path: Path, model: "Sequential", layout: str, search: Search) -> Content:
        if search.match == "order":
            raise UnsupportedError(
                f"{path}: only state dicts of PyTorch are matched by order; expected a file that "
                "ends in one of .pt, .pth, .safetensors"
            )
        return read(path, model, layout)

    return reader


FORMATS = (
    Format(
        (".safetensors",),
        _read_safetensors,
        keras_files.keys,
        lambda path, weights, model, layout: weights.save(path),
    ),
    # Before `.h5`, which ends it too.
    Format(
        (".weights.h5",),
        _by_names(keras_files.read_hdf5),
        keras_files.places,
        keras_files.write_hdf5,
    ),
    Format(
        (".keras",),
        _by_names(keras_files.read_archive),
        keras_files.places,
        instead="write a .weights.h5, load it into the model of keras_model.py with "
        "model.load_weights, and save that one with model.save",
    ),
    Format(
        (".h5", ".hdf5"),
        _by_names(keras_files.read_hdf5),
        keras_files.keys,
        instead="the form of Keras 2 is only read; write a .weights.h5, the form of Keras 3",
    ),
    Format(
        (".pt", ".pth"),
        torch_file.read,
        lambda model, layout: placing(model, "torch", layout).names,
        torch_file.write,
    ),
    Format(
        (".onnx",),
        _by_names(onnx_file.read),
        lambda model, layout: placing(model, "onnx", layout).names,
        instead="write a .safetensors, and run `python onnx_model.py --weights FILE.safetensors`",
    ),
)


def format_of(path: Path) -> Format:
    """The format of a file by its suffix.

    Raises:
        UnsupportedError: There is none for it.
    """
    for form in FORMATS:
        if path.name.lower().endswith(form.suffixes):
            return form
    known = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)
    raise UnsupportedError(f"{path}: expected a file that ends in one of {known}")


def writable(path: Path) -> Format:
    """The format of a file to be written.

    Raises:
        UnsupportedError: It is unknown, or it is not written.
    """
    form = format_of(path)
    if form.write is None:
        raise UnsupportedError(f"{path}: {form.suffixes[0]} files are not written: {form.instead}")
    return form
