"""What is installed here, and what is lost without the rest."""

import importlib.util
import platform
from importlib import metadata

from seqgen.verify.pool import Pool, WorkerError

# Package, and what cannot be done without it.
PIECES = {
    "onnx": "the ONNX program cannot run",
    "onnxruntime": "models cannot be called, ONNX cannot be verified",
    "keras": "nothing can be verified: Keras is what all is compared with; install seqgen[keras]",
    "tensorflow": "Keras needs a back end: this, torch or jax; install seqgen[keras]",
    "torch": "PyTorch programs cannot be verified; install seqgen[torch]",
    "tf2onnx": "Keras's own ONNX export cannot be verified; install seqgen[verify]",
    "onnxscript": "PyTorch's own ONNX export cannot be verified; install seqgen[verify]",
}


def installed(package: str) -> str | None:
    """Version of a package, None if it is not there. Nothing is imported."""
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def devices(pool: Pool) -> list[tuple[str, str]]:
    """What each framework can compute on."""
    found = []
    for framework in ("keras", "torch", "onnx"):
        try:
            said = pool.ask(framework, "hello")
        except WorkerError as error:
            found.append((framework, f"does not run: {error}"))
            continue
        found.append((framework, ", ".join(said["devices"])))
    return found


def print_report() -> None:
    """Print versions, devices and the cost of what is missing."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    table = Table("package", "version", "what is lost without it")
    for package, cost in PIECES.items():
        version = installed(package)
        table.add_row(package, version or "missing", "" if version else cost)
    console.print(table)
    table = Table("framework", "devices and execution providers")
    with Pool() as pool:
        for row in devices(pool):
            table.add_row(*row)
    console.print(table)
