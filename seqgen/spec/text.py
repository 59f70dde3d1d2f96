"""Plain values as YAML, JSON and TOML, written as a person would."""

import json
import re
from typing import Any

# Words that YAML, old or new, would not take for strings.
WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
# The keys of a model under which its layers stand, a line for each.
ITEMS = ("layers", "graph")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
BARE = re.compile(r"[A-Za-z0-9_-]+")


def quoted(text: str) -> str:
    """A string in double quotes, as YAML and TOML read it."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(c) or _printable(c) for c in text) + '"'


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _number(value: float, infinite: str) -> str:
    """A number with a point, which older readers want in front of an exponent."""
    if value in (float("inf"), float("-inf")):
        return infinite if value > 0 else f"-{infinite}"
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{e}{exponent}" if e else text


def yaml_flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{yaml_flow(k)}: {yaml_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(yaml_flow, value)) + "]"
    if isinstance(value, str):
        safe = PLAIN.fullmatch(value) and value.lower() not in WORDS
        return value if safe else quoted(value)
    if isinstance(value, float):
        return _number(value, ".inf")
    return json.dumps(value)


def _yaml_layers(layers: list[Any], indent: str) -> list[str]:
    lines = []
    for item in layers:
        name = next(iter(item)) if isinstance(item, dict) else item
        if name in ("Sequential", "Model"):
            lines.append(f"{indent}- {name}:")
            lines += _yaml_model(item[name], f"{indent}    ")
        elif isinstance(item, dict):
            lines.append(f"{indent}- {name}: {yaml_flow(item[name])}")
        else:
            lines.append(f"{indent}- {name}")
    return lines


def _yaml_model(model: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in model.items():
        if key in ITEMS and value:
            lines += [f"{indent}{key}:", *_yaml_layers(value, f"{indent}  ")]
        elif key == "inputs":
            entries = [f"{indent}  {yaml_flow(k)}: {yaml_flow(v)}" for k, v in value.items()]
            lines += [f"{indent}inputs:", *entries]
        else:
            lines.append(f"{indent}{key}: {yaml_flow(value)}")
    return lines


def to_yaml(spec: dict[str, Any]) -> str:
    """A spec as YAML: a line for each layer."""
    return "\n".join(_yaml_model(spec, "")) + "\n"


def _lines(spec: dict[str, Any], flow: Any, key_value: str, comma: str) -> list[str]:
    """A line for each key of a spec and for each of its layers."""
    lines = []
    for key, value in spec.items():
        if key in ITEMS and value:
            inner = ",\n".join(f"    {flow(item)}" for item in value)
            value_text = f"[\n{inner}\n  ]" if comma else f"[\n{inner},\n]"
        else:
            value_text = flow(value)
        lines.append(key_value.format(flow(key) if comma else key, value_text))
    return lines


def to_json(spec: dict[str, Any]) -> str:
    """A spec as JSON: a line for each layer of the model."""

    def flow(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    return "{\n" + ",\n".join(_lines(spec, flow, "  {}: {}", ",")) + "\n}\n"


def toml_flow(value: Any) -> str:
    """A value on one line; the string "null" stands for null, which TOML does not have."""
    if isinstance(value, dict):
        pairs = (
            f"{k if BARE.fullmatch(k) else quoted(k)} = {toml_flow(v)}" for k, v in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_flow, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return _number(value, "inf")
    return '"null"' if value is None else json.dumps(value)


def to_toml(spec: dict[str, Any]) -> str:
    """A spec as TOML: a line for each layer of the model."""
    return "\n".join(_lines(spec, toml_flow, "{} = {}", "")) + "\n"
