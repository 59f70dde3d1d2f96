"""Trains digits_cnn in Keras, PyTorch and ONNX from the same weights, and plots the three curves."""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import seqgen

HERE = Path(__file__).resolve().parent
# Thinner lines lie on thicker ones, so that equal curves are seen to be three.
LINES = {
    "keras": ("Keras", 7, "#d00000"),
    "torch": ("PyTorch", 4, "#ee8a2c"),
    "onnx": ("ONNX", 1.5, "#0b3c6f"),
}


def log_of(folder: Path, target: str) -> list[dict[str, float]]:
    """Return the table of epochs that a program wrote."""
    with (folder / f"{target}_run" / "log.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def plot(logs: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw loss and accuracy of each epoch, as PNG and SVG."""
    plt.rcParams["svg.hashsalt"] = "digits"  # the same file for the same curves
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for panel, name, title in zip(
        panels, ("loss", "val_accuracy"), ("training loss", "validation accuracy"), strict=True
    ):
        for target, (label, width, colour) in LINES.items():
            epochs = range(1, len(logs[target]) + 1)
            values = [row[name] for row in logs[target]]
            panel.plot(epochs, values, label=label, linewidth=width, color=colour)
        panel.set_title(title)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    for suffix in (".png", ".svg"):
        figure.savefig(
            path.with_suffix(suffix), dpi=150, metadata={"Date": None} if suffix == ".svg" else None
        )


def main() -> None:
    """Generate, train three times, compare and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where programs, logs and curves go")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    folder = options.folder.resolve()
    seqgen.generate(seqgen.load(HERE / "digits_cnn.yaml"), folder, initialize=0, force=True)
    subprocess.run([sys.executable, HERE / "digits_data.py"], cwd=folder, check=True)
    for target in LINES:
        print(f"\n{target}_train.py", flush=True)
        command = [sys.executable, f"{target}_train.py", "--epochs", str(options.epochs)]
        subprocess.run([*command, "--weights", "weights.safetensors"], cwd=folder, check=True)
    logs = {target: log_of(folder, target) for target in LINES}
    plot(logs, folder / "curves")
    rows = list(zip(*logs.values(), strict=True))
    far = max(max(r["loss"] for r in row) - min(r["loss"] for r in row) for row in rows)
    reached = ", ".join(
        f"{label} {logs[t][-1]['val_accuracy']:.1%}" for t, (label, *_) in LINES.items()
    )
    print(f"\nvalidation accuracy: {reached}")
    print(f"largest difference between the three losses of an epoch: {far:.1e}")
    print(f"curves: {folder / 'curves.png'} and .svg")


if __name__ == "__main__":
    main()
