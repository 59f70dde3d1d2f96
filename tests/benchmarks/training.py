"""Generated training programs against what a person would write with the framework alone."""

import importlib
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

import seqgen
from tests.benchmarks import measure

ROUNDS = 15
BATCH = 64
SAMPLES = 20 * BATCH


def spec() -> Any:
    """A small image classifier, of which the loop around the steps is a visible part."""
    model = seqgen.load(measure.ROOT / "examples" / "mnist_cnn.yaml")
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit("data.npz", batch_size=BATCH)
    return model


def prepare(folder: Path) -> dict[str, np.ndarray]:
    """Generate the programs into a folder, from which they can be imported; return samples."""
    seqgen.generate(spec(), folder, initialize=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, 28, 28, 1), dtype=np.float32)
    data = {"x": x, "y": rng.integers(0, 10, SAMPLES)}
    np.savez(folder / "data.npz", **data)
    sys.path.insert(0, str(folder))
    return data


def throughput(name: str, times: dict[str, list[float]], other: str) -> None:
    """Print samples a second of a program, and how they compare with those of another."""
    speeds = {key: SAMPLES / measure.statistics.median(values) for key, values in times.items()}
    faster = measure.ratio(times[other], times[name])
    print(
        f"  {name}: {speeds[name]:.0f} samples/s of CPU, {other}: {speeds[other]:.0f}; {faster:.3f}"
    )


def torch_loop() -> None:
    """torch_train.py against a loop written by hand: samples a second, at least 0.98."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        data = prepare(Path(name))
        program: ModuleType = importlib.import_module("torch_train")
        x = torch.from_numpy(data["x"]).permute(0, 3, 1, 2).contiguous()
        y = torch.from_numpy(data["y"])

        options = SimpleNamespace(
            batch_size=BATCH, seed=0, out=Path(name), epochs=10**6, smoke=False, device="cpu"
        )
        run = program.Run(program.Trainer(program.build_model()), options)
        stop = program.Stop()
        part = program.load_data(Path(name, "data.npz"), 0.0)[0]

        def generated() -> None:
            run.batch = 0
            run.train_epoch(part, stop)

        model = program.build_model()
        adam = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True)

        def by_hand() -> None:
            model.train()
            total, right = 0.0, 0
            for rows in torch.randperm(SAMPLES).split(BATCH):
                images, labels = x[rows], y[rows]
                logits = model.logits(images)
                loss = F.cross_entropy(logits, labels)
                adam.zero_grad()
                loss.backward()
                adam.step()
                total += loss.item() * len(rows)
                right += (logits.argmax(-1) == labels).sum().item()

        times = measure.in_turns({"generated": generated, "by hand": by_hand}, ROUNDS)
        throughput("generated", times, "by hand")

        def loading() -> None:
            for rows in program.batches(SAMPLES, BATCH, 0, 0):
                program.tensors(part, rows, torch.device("cpu"))

        times = measure.in_turns({"generated": generated, "loading": loading}, ROUNDS)
        share = measure.ratio(times["loading"], times["generated"])
        print(f"  reading batches from the .npz file: {share:.1%} of the time of an epoch")


def adam() -> None:
    """The Adam of a torch program, exact as Keras's, against torch's own: at least 0.9."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        program = importlib.import_module("torch_train")
        # The shapes of a residual network's stage.
        shapes = [(64, 64, 3, 3), (64,), (256, 64, 1, 1), (256,)] * 12

        def step(made: Any, **more: Any) -> Any:
            parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape)
            return made(parameters, lr=0.001, eps=1e-7, **more).step

        times = measure.in_turns(
            {
                "exact": step(program.Adam, fused=True),
                "torch, fused": step(torch.optim.Adam, fused=True),
                "torch, foreach": step(torch.optim.Adam, foreach=True),
                "torch, default": step(torch.optim.Adam),
            },
            4 * ROUNDS,
        )
        for other in list(times)[1:]:
            faster = measure.ratio(times[other], times["exact"])
            both = (measure.milliseconds(times[name]) for name in ("exact", other))
            print(f"  exact {next(both)}, {other} {next(both)}: {faster:.3f}")


def keras_fit() -> None:
    """keras_train.py against model.fit on arrays: samples a second, at least 0.98."""
    os.environ.update(measure.QUIET)
    import keras

    with tempfile.TemporaryDirectory() as name:
        data = prepare(Path(name))
        program = importlib.import_module("keras_train")
        models = [program.build_model() for _ in range(2)]
        for model in models:
            program.compile_model(model)
        rows = program.batches(SAMPLES, BATCH, 0, 0)
        made = program.Batches(data, rows)

        def generated() -> None:
            models[0].fit(made, epochs=1, shuffle=False, verbose=0)

        def by_hand() -> None:
            models[1].fit(data["x"], data["y"], batch_size=BATCH, epochs=1, verbose=0)

        keras.utils.set_random_seed(0)
        functions = {"generated": generated, "by hand": by_hand}
        # Of all threads of the process: TensorFlow computes in several.
        times = measure.in_turns(functions, ROUNDS, clock=measure.time.process_time)
        throughput("generated", times, "by hand")


def main() -> None:
    """Training programs against loops and optimizers written by hand: samples a second."""
    for benchmark in (torch_loop, adam, keras_fit):
        print(f" {benchmark.__name__}: {benchmark.__doc__}", flush=True)
        benchmark()
