"""What the equation of an EinsumDense says about shapes."""

import re
from dataclasses import dataclass

from seqgen.ir.types import Dim

FORM = re.compile(r"(\.\.\.)?([A-Za-z]+)(\.\.\.)?,([A-Za-z]+)->(\.\.\.)?([A-Za-z]+)(\.\.\.)?")
FORMS = "'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...'"


@dataclass(frozen=True)
class Equation:
    """An equation taken apart: the labels of each operand, and where an ellipsis stands."""

    inputs: str
    kernel: str
    outputs: str
    elided: str

    @classmethod
    def parse(cls, text: str) -> "Equation":
        """Take an equation apart; a `ValueError` says what is wrong with it."""
        match = FORM.fullmatch(text)
        if not match:
            raise ValueError(f"expected an equation such as {FORMS}")
        left, inputs, right, kernel, *ends = match.groups()
        outputs = ends[1]
        if (left, right) != (ends[0], ends[2]) or (left and right):
            raise ValueError("expected an ellipsis at the same end of input and output, or none")
        equation = cls(inputs, kernel, outputs, "left" if left else "right" if right else "")
        equation.check()
        return equation

    def check(self) -> None:
        """Refuse labels that say nothing, or not what the batch needs."""
        for labels in (self.inputs, self.kernel, self.outputs):
            if len(set(labels)) != len(labels):
                raise ValueError(f"expected each label once in '{labels}'")
        for label in self.kernel + self.outputs:
            if sum(label in labels for labels in (self.inputs, self.kernel, self.outputs)) < 2:
                raise ValueError(f"the label '{label}' stands in one operand only")
        batch = self.inputs[0]
        if self.elided != "left" and (self.outputs[0] != batch or batch in self.kernel):
            raise ValueError(f"expected the batch '{batch}' first, and not in the kernel")

    def elided_sizes(self, shape: tuple[Dim | None, ...]) -> tuple[Dim | None, ...]:
        """Sizes of the axes that the ellipsis stands for; `ValueError` if they cannot be."""
        count = len(shape) - len(self.inputs)
        if count < (self.elided == "left") or (count and not self.elided):
            expected = f"{len(self.inputs)}{' or more' if self.elided else ''}"
            raise ValueError(f"expected an input with {expected} axes, received {len(shape)}")
        return shape[:count] if self.elided == "left" else shape[len(self.inputs) :]

    def sizes(
        self, shape: tuple[Dim | None, ...], output_shape: tuple[int | None, ...]
    ) -> tuple[dict[str, Dim | None], dict[str, Dim | None]]:
        """Size of each label in the input and in the output.

        As in Keras a label of the kernel takes its size from `output_shape` if the output has it,
        and a size that is null there stays open.
        """
        elided = len(self.elided_sizes(shape))
        given = shape[elided:] if self.elided == "left" else shape
        before = dict(zip(self.inputs, given, strict=False))
        wanted = output_shape if self.elided == "left" else (None, *output_shape)
        if len(wanted) != len(self.outputs):
            raise ValueError(f"expected sizes for '{self.outputs}', received {output_shape}")
        after = dict(zip(self.outputs, wanted, strict=True))
        for label, size in after.items():
            old = before.get(label)
            if size is None:
                after[label] = old if isinstance(old, str) else None
            elif label in before and old != size:
                raise ValueError(f"'{label}' is {old} in the input and {size} in the output")
        return before, after
