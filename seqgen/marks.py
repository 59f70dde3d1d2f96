"""Names that hang on arguments of the function around them, and how they are written."""

import re

# Names of layers are printable, so that these characters stand in none.
TEXT, NUMBER = "\0", "\1"
MARKED = re.compile(f"[{TEXT}{NUMBER}]([^{TEXT}{NUMBER}]*)[{TEXT}{NUMBER}]")


def text(argument: str) -> str:
    """What stands in a name for an argument that is a text."""
    return f"{TEXT}{argument}{TEXT}"


def number(expression: str) -> str:
    """What stands in a name for a number that an expression gives."""
    return f"{NUMBER}{expression}{NUMBER}"


def spelled(name: str) -> str | None:
    """The source code of a name that hangs on arguments; None if it does not."""
    found = MARKED.search(name)
    if not found:
        return None
    if found[0] == name and name[0] == TEXT:
        return found[1]
    escaped = name.replace("{", "{{").replace("}", "}}")
    return "f" + repr(MARKED.sub(r"{\1}", escaped))
