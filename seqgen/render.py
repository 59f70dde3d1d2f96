"""From a lowered model to the text of a program: the Jinja environment, its filters, and black."""

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from seqgen import marks
from seqgen.bytecode import template_cache
from seqgen.errors import UnsupportedError
from seqgen.ir.graph import Model, Node
from seqgen.ir.types import BATCH, TensorType
from seqgen.layers.arguments import scalar
from seqgen.layers.base import Layer
from seqgen.layers.objects import Named

if TYPE_CHECKING:
    from seqgen.targets.base import Target


def templates_folder() -> Path:
    """The packaged templates, or the checkout's if seqgen runs from there."""
    package = Path(__file__).resolve().parent
    packaged = package / "templates"
    return packaged if packaged.is_dir() else package.parent / "templates"


def literal(value: Any) -> str:
    """A value as Python source. Infinities have no literal; templates spell them."""
    if isinstance(value, Source):
        return value
    if isinstance(value, str):
        return marks.spelled(value) or repr(value)
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return repr(value)


def arguments(*positional: Any, **keywords: tuple[Any, Any]) -> str:
    """Arguments of a call: all positional ones, and each keyword whose value is not the default.

    A keyword is given as (value, default of the framework).
    """
    given = [value if isinstance(value, Source) else literal(value) for value in positional]
    for name, (value, default) in keywords.items():
        if value != default:
            given.append(f"{name}={value if isinstance(value, Source) else literal(value)}")
    return ", ".join(given)


class Source(str):
    """Text that is source code already and is not quoted."""


class Used:
    """Names that templates use, so that the page imports or defines just those.

    `{{ F.relu }}` gives `F.relu` and records `relu`; with an empty prefix, `{{ use.pad }}` gives
    `pad`.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._names: dict[str, None] = {}

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        self._names[name] = None
        return Source(f"{self._prefix}{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __bool__(self) -> bool:
        return bool(self._names)


def shape_comment(tensor: TensorType) -> str:
    """The shape as a comment shows it: (N, 32, height, width)."""
    opened = ("N" if axis == BATCH else axis for axis in tensor.axes)
    inner = ", ".join(
        str(size) if isinstance(size, int) else name
        for name, size in zip(opened, tensor.shape, strict=True)
    )
    return f"({inner},)" if tensor.rank == 1 else f"({inner})"


class Macros:
    """The macros of a target: one or two per layer, in the template file of its family.

    A folder of the user's stands before the packaged one, file by file and macro by macro.
    """

    def __init__(
        self, environment: jinja2.Environment, target: str, context: dict[str, Any]
    ) -> None:
        self._environment = environment
        self._target = target
        self._context = context
        self._families: dict[str, list[Any]] = {}

    def of(self, model: Model) -> "Macros":
        """The same macros, which are given another model."""
        return Macros(self._environment, self._target, {**self._context, "model": model})

    def _modules(self, family: str) -> list[Any]:
        if family not in self._families:
            self._families[family] = self._made(family)
        return self._families[family]

    def _made(self, family: str) -> list[Any]:
        loader = self._environment.loader
        assert isinstance(loader, jinja2.ChoiceLoader)
        modules = []
        for index in range(len(loader.loaders)):
            name = f"{index}/{self._target}/layers/{family}.j2"
            try:
                template = self._environment.get_template(name)
            except jinja2.TemplateNotFound:
                continue
            modules.append(template.make_module(self._context))
        return modules

    def find(self, family: str, name: str) -> Any:
        """The macro of this name, None if there is none. That of `ops.add` is called `add`."""
        name = name.rpartition(".")[2]
        found = (getattr(module, name, None) for module in self._modules(family))
        return next((macro for macro in found if macro is not None), None)

    def is_packaged(self, node: Node) -> bool:
        """Whether the macro of the node's layer is that of this package."""
        *_, packaged = self._modules(node.layer.family)
        return self.find(node.layer.family, node.kind) is getattr(packaged, node.kind, None)

    def has(self, node: Node, suffix: str = "") -> bool:
        """Whether the node's layer has a macro of its own."""
        return self.find(node.layer.family, node.kind + suffix) is not None

    def spell(self, node: Node, *values: Any, suffix: str = "") -> str:
        """The text of a node by its layer's macro, or by the target's macro for any layer."""
        macro = self.find(node.layer.family, node.kind + suffix)
        return Source(macro(node, *values).strip()) if macro else self.any_layer(node, *values)

    def any_layer(self, node: Node, *values: Any) -> str:
        """The text of a node by the target's macro for layers that have none of their own."""
        macro = self.find("any_layer", "layer")
        if macro is None or len(macro.arguments) != len(values) + 1:
            raise UnsupportedError(f"target '{self._target}' has no macro for {node.kind}")
        return Source(macro(node, *values).strip())


class _Numbered(jinja2.BaseLoader):
    """A loader that `0/...` or `1/...` asks for by its place, and any other name in turn."""

    def __init__(self, index: int, loader: jinja2.BaseLoader) -> None:
        self._prefix = f"{index}/"
        self._loader = loader

    def get_source(self, environment: jinja2.Environment, template: str) -> Any:
        if template[:1].isdigit():
            if not template.startswith(self._prefix):
                raise jinja2.TemplateNotFound(template)
            template = template.removeprefix(self._prefix)
        return self._loader.get_source(environment, template)


@functools.cache
def environment(*more: Path) -> jinja2.Environment:
    """The Jinja environment over the packaged templates, with other folders in front of them."""
    folders = [*more, templates_folder()]
    loaders = [_Numbered(i, jinja2.FileSystemLoader(f)) for i, f in enumerate(folders)]
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.do"],
        # Nothing is computed ahead of time, so that compiled templates hang on their texts only.
        optimized=False,
        bytecode_cache=template_cache(Path(__file__)),
    )
    made.filters.update(py=literal, scalar=scalar, shape=shape_comment, source=Source, tuple=tuple)
    made.tests["named"] = lambda value: isinstance(value, Named)
    made.tests["layer"] = lambda value: isinstance(value, Layer)
    made.tests["part"] = lambda value: hasattr(value, "sequential")
    made.globals.update(args=arguments)
    return made


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the collector of reference cycles from running, where nearly nothing is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@functools.lru_cache(maxsize=64)
def format_source(text: str) -> str:
    """The text as black formats it, kept for a while: verifying makes some texts repeatedly."""
    import black

    # Its tree is full of cycles and lives to the end: to search it again and again takes as long
    # as the formatting itself.
    with no_collection():
        return black.format_str(text, mode=black.Mode())


def template_folders(target: "Target", model: Model, overrides: Path | None) -> tuple[Path, ...]:
    """The folders that stand before the packaged templates: the user's, then other packages'."""
    layers = (getattr(node.layer, "templates", None) for node in model.nodes)
    folders = (overrides, *layers, target.templates)
    return tuple(dict.fromkeys(folder for folder in folders if folder is not None))


def recorders() -> dict[str, Used]:
    """What templates name helpers, torch.nn.functional and NumPy by, with nothing used yet."""
    return {"use": Used(), "F": Used("F."), "np": Used("np.")}


class Rendering:
    """One file of a target in the making.

    Args:
        target: The target.
        model: The model, lowered for it.
        overrides: A folder of the user's that stands before the packaged templates.
        formatted: Whether black formats the file.
        **values: What else the templates are given.

    Attributes:
        page: What the page of the model's program is given.
        context: The same, and what all templates are given.
    """

    def __init__(
        self,
        target: "Target",
        model: Model,
        overrides: Path | None = None,
        formatted: bool = True,
        **values: Any,
    ) -> None:
        self._jinja = environment(*template_folders(target, model, overrides))
        self._target = target
        self._format = format_source if formatted else str
        context = {"model": model, **recorders(), **target.functions, **values}
        macros = Macros(self._jinja, target.name, context)
        self.page = target.page(target, model, macros)
        context.update(self.page, macros=macros)
        self.context = context

    def text(self, template: str, **more: Any) -> str:
        """The file from the page of this name, which is given more values."""
        page = self._jinja.get_template(f"{self._target.name}/{template}")
        return self._format(page.render(**self.context, **more))
