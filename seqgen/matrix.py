"""Which layer each target can say, from the registry and the templates."""

from seqgen.layers import Layer, all_layers
from seqgen.render import Macros, environment, recorders
from seqgen.targets import Target, all_targets


def macros_of(target: Target, layers: list[type[Layer]]) -> Macros:
    """The macros of a target, for looking up and not for spelling."""
    folders = [layer.templates for layer in layers] + [target.templates]
    jinja = environment(*dict.fromkeys(folder for folder in folders if folder))
    return Macros(jinja, target.name, {**recorders(), **target.functions, "opset": 0})


def reason_against(target: Target, layer: type[Layer], macros: Macros) -> str | None:
    """Why a target cannot say a layer; None if it can."""
    name, family = layer.kind, layer.family
    if name in target.refuses:
        return target.refuses[name]
    if name in target.rewrites or any(macros.find(family, name + end) for end in ("", "_init")):
        return None
    # Keras spells every layer by one macro.
    spelled = not target.weights and macros.find("any_layer", "layer")
    return None if spelled else "has no macro for it"


def matrix() -> dict[str, dict[str, str | None]]:
    """For each layer and target, None if the target can say it, else the reason."""
    layers = sorted(all_layers().values(), key=lambda layer: (layer.family, layer.kind))
    macros = {name: macros_of(target, layers) for name, target in all_targets().items()}
    return {
        layer.kind: {
            name: reason_against(target, layer, macros[name])
            for name, target in all_targets().items()
        }
        for layer in layers
    }


def print_matrix() -> None:
    """Print the matrix as a table, and below it the reasons of what is refused."""
    from rich.console import Console
    from rich.table import Table

    table, reasons = Table("layer", *all_targets()), []
    for layer, targets in matrix().items():
        table.add_row(layer, *("refused" if reason else "yes" for reason in targets.values()))
        reasons += [f"{layer}: {name} {reason}" for name, reason in targets.items() if reason]
    console = Console()
    console.print(table)
    for line in reasons:
        console.print(line)


def markdown() -> str:
    """The matrix as a table of Markdown, as the README has it."""
    names = list(all_targets())
    lines = ["| layer | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for layer, targets in matrix().items():
        marks = ("refused" if reason else "yes" for reason in targets.values())
        lines.append(f"| {layer} | " + " | ".join(marks) + " |")
    return "\n".join(lines) + "\n"
