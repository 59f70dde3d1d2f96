"""The specs of tests/specs: lists of cases, each a small model with a name."""

import functools
from pathlib import Path
from typing import Any

import yaml

from seqgen.ir.build import build_chain, first_data_format, input_type
from seqgen.ir.graph import Model
from seqgen.layers import LAYERS, Layer
from seqgen.layers.arguments import DTYPES
from seqgen.passes.dtype import with_dtype
from seqgen.spec.files import load

SPEC_KEYS = ("name", "input", "inputs", "dtype", "graph", "outputs")
SPECS = Path(__file__).parent / "specs"
# Where there is the loader written in C, it takes a fifth of the time.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def load_cases() -> list[dict[str, Any]]:
    """All cases of all files, in order; their names are unique."""
    cases = []
    for path in sorted(SPECS.glob("*.yaml")):
        for case in yaml.load(path.read_text(encoding="utf-8"), LOADER):
            cases.append({**case, "id": f"{path.stem}-{case['name']}"})
    assert len({case["id"] for case in cases}) == len(cases)
    return cases


def layer_of(item: Any) -> Layer:
    """A layer as a spec file has it."""
    if isinstance(item, str):
        item = {item: {}}
    ((name, arguments),) = item.items()
    cls = LAYERS[name]
    if not isinstance(arguments, dict):
        arguments = {next(iter(cls.kinds)): arguments}
    return cls.from_arguments(arguments)


def graph_of(case: dict[str, Any]) -> Model:
    """The graph of a case: a spec with `graph`, or layers, which are named by their place."""
    if "graph" in case:
        return load({"seqgen": 1, **{k: v for k, v in case.items() if k in SPEC_KEYS}}).graph()
    layers = [layer_of(item) for item in case["layers"]]
    for index, layer in enumerate(layers):
        layer.name = layer.name or f"{layer.auto_name}_{index}"
    dtype = case.get("dtype", "float32")
    kind, data_format = case.get("input_dtype", dtype), first_data_format(layers)
    entry = input_type(case["input"], kind, data_format, case.get("batch_size"))
    placed = [(layer.name, layer) for layer in layers]
    graph = build_chain(case["name"], "input_layer", entry, placed, dtype)
    # A layer that turns integers into numbers does not know the dtype of the model.
    return graph if kind in DTYPES else with_dtype(graph, dtype)
