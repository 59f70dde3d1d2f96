"""GELUs that a graph spells out: before opset 20, ONNX has no operator for them."""

from dataclasses import dataclass, field, replace
from math import isclose, pi, sqrt
from typing import Any

import numpy as np

from seqgen.importers.onnx_arrays import FLOATS, Array
from seqgen.importers.onnx_file import Network, Operator, connected

# Coefficients by the powers of `x` and of the gate, which is the error function or the tangent.
Powers = tuple[int, int]
Terms = dict[Powers, float]

X, GATE = (1, 0), (0, 1)
HALVED: Terms = {X: 0.5, (1, 1): 0.5}
# What the gates make of them. Erfc is TensorFlow's, which tf2onnx passes on.
RESULT: dict[str, Terms] = {"Erf": HALVED, "Erfc": {(1, 1): 0.5}, "Tanh": HALVED}
INSIDE: dict[str, Terms] = {
    "Erf": {X: sqrt(0.5)},
    "Erfc": {X: -sqrt(0.5)},
    "Tanh": {X: sqrt(2 / pi), (3, 0): sqrt(2 / pi) * 0.044715},
}
APPROXIMATE = {"Erf": "none", "Erfc": "none", "Tanh": "tanh"}
HIGHEST: Powers = (3, 1)
# How many operators stand between a gate and its result, or between a tensor and a gate.
DEEPEST = 8
FORWARD = 4
MOST_CANDIDATES = 16


def with_gelus(network: Network) -> Network:
    """The graph with an operator Gelu for each group of operators that computes one."""
    makers = {name: operator for operator in network.operators for name in operator.outputs if name}
    found: dict[str, Operator] = {}
    for gate in network.operators:
        if gate.kind in INSIDE and len(gate.outputs) == 1:
            found.update(_gelus_of(network, makers, gate))
    if not found:
        return network
    operators = [found.get(operator.outputs[0], operator) for operator in network.operators]
    return connected(replace(network, operators=tuple(operators)))


def _gelus_of(network: Network, makers: dict[str, Operator], gate: Operator) -> dict[str, Operator]:
    """The operators that a gate leads to and that are GELUs, by what they make."""
    found: dict[str, Operator] = {}
    reached = [gate]
    for _ in range(FORWARD):
        readers = (r for operator in reached for r in network.readers[operator.outputs[0]])
        computing = (r for r in readers if r and r.kind in COMPUTING and len(r.outputs) == 1)
        unique = {reader.outputs[0]: reader for reader in computing}
        reached = []
        for reader in unique.values():
            x = _input_of(network, makers, reader, gate)
            if x is None:
                reached.append(reader)
                continue
            said = {"approximate": APPROXIMATE[gate.kind]}
            found[reader.outputs[0]] = replace(reader, kind="Gelu", inputs=(x,), attributes=said)
    return found


def _input_of(
    network: Network, makers: dict[str, Operator], result: Operator, gate: Operator
) -> str | None:
    """The tensor of which a result is the GELU; None if it is none."""
    for x in _candidates(makers, gate):
        spelled = _Spelling(network.constants, makers, x, gate.outputs[0])
        inside, whole = spelled.terms(gate.reads(0)), spelled.terms(result.outputs[0])
        if _same(inside, INSIDE[gate.kind], spelled) and _same(whole, RESULT[gate.kind], spelled):
            return x
    return None


def _candidates(makers: dict[str, Operator], gate: Operator) -> list[str]:
    """Tensors that what is read by a gate may be computed from, the nearest first."""
    reached = [gate.reads(0)]
    for name in reached:
        maker = makers.get(name)
        if maker is not None and maker.kind in COMPUTING and len(reached) < MOST_CANDIDATES:
            reached.extend(other for other in maker.inputs if other and other not in reached)
    return reached


def _same(found: Terms | None, expected: Terms, spelled: "_Spelling") -> bool:
    return (
        found is not None
        and found.keys() == expected.keys()
        and all(
            isclose(found[powers], expected[powers], rel_tol=spelled.tolerance) for powers in found
        )
    )


@dataclass
class _Spelling:
    """What operators compute, as sums of products of numbers, of `x` and of a gate.

    Attributes:
        constants: The initializers of the graph.
        makers: Its operators by what they make.
        x: The tensor that is taken as it is.
        gate: The result of the operator that is taken as it is.
        tolerance: How far the numbers of the file may lie from those that are meant.
    """

    constants: dict[str, Array]
    makers: dict[str, Operator]
    x: str
    gate: str
    tolerance: float = 1e-15
    known: dict[str, Terms | None] = field(default_factory=dict)

    def terms(self, name: str, depth: int = 0) -> Terms | None:
        """The sum that a tensor is; None if it is something else."""
        if name not in self.known:
            self.known[name] = self._terms(name, depth)
        return self.known[name]

    def _terms(self, name: str, depth: int) -> Terms | None:
        if name in (self.x, self.gate):
            return {X if name == self.x else GATE: 1.0}
        maker = self.makers.get(name)
        number = self._number(self.constants.get(name), maker)
        if number is not None:
            return {(0, 0): number}
        if maker is None or maker.kind not in COMPUTING or depth == DEEPEST:
            return None
        read = [self.terms(other, depth + 1) for other in maker.inputs]
        if len(read) != COMPUTING[maker.kind] or any(terms is None for terms in read):
            return None
        return computed(maker.kind, [terms for terms in read if terms is not None])

    def _number(self, array: Any, maker: Operator | None) -> float | None:
        """The one number of a constant, which sets how precise numbers can be here."""
        if maker is not None and maker.kind == "Constant":
            given = next(iter(maker.attributes.values()), None)
            array = Array.of(np.float32(given)) if isinstance(given, float) else given
        if not isinstance(array, Array) or array.dtype not in FLOATS:
            return None
        if array.shape not in ((), (1,)):
            return None
        self.tolerance = max(self.tolerance, 8 * float(np.finfo(array.dtype).eps))
        return float(array.values().item())


def computed(kind: str, read: list[Terms]) -> Terms | None:
    """What an operator makes of sums; None if that is no sum of low powers."""
    if kind in ("Add", "Sub"):
        sign = 1 if kind == "Add" else -1
        return _sum(read[0], {powers: sign * factor for powers, factor in read[1].items()})
    if kind == "Mul":
        return _product(*read)
    if kind == "Neg":
        return {powers: -factor for powers, factor in read[0].items()}
    if kind == "Identity":
        return read[0]
    number = read[1].get((0, 0), 0.0) if read[1].keys() == {(0, 0)} else 0.0
    if kind == "Div":
        return _product(read[0], {(0, 0): 1 / number}) if number else None
    squared = _product(read[0], read[0])
    cubed = squared and _product(squared, read[0])
    return {2.0: squared, 3.0: cubed}.get(number)


def _sum(a: Terms, b: Terms) -> Terms:
    return {powers: a.get(powers, 0.0) + b.get(powers, 0.0) for powers in {**a, **b}}


def _product(a: Terms, b: Terms) -> Terms | None:
    made: Terms = {}
    for (x, gate), factor in a.items():
        for (other_x, other_gate), other in b.items():
            powers = (x + other_x, gate + other_gate)
            if any(power > most for power, most in zip(powers, HIGHEST, strict=True)):
                return None
            made = _sum(made, {powers: factor * other})
    return made


# Operators that are read, and how many inputs they have.
COMPUTING = {"Add": 2, "Div": 2, "Identity": 1, "Mul": 2, "Neg": 1, "Pow": 2, "Sub": 2}
