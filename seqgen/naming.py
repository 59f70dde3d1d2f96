"""Names of the spec as names of programs."""

import keyword
import re
from collections.abc import Collection

# Attributes of torch.nn.Module, and of torch.fx.GraphModule, as which it is exported; a layer of
# such a name would hide what PyTorch needs. Leading underscores are taken off every name.
MODULE_ATTRIBUTES = frozenset(
    """T_destination add_module add_submodule apply bfloat16 buffers call_super_init children
    code compile cpu cuda delete_all_unused_submodules delete_submodule double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule graph
    half ipu load_state_dict meta modules mtia named_buffers named_children named_modules
    named_parameters parameters print_readable recompile register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook
    requires_grad_ set_extra_state set_submodule shape_env share_memory state_dict to to_empty
    to_folder train training type xpu zero_grad""".split()  # noqa: SIM905
)


def identifier(
    name: str, taken: Collection[str] = (), reserved: Collection[str] = MODULE_ATTRIBUTES
) -> str:
    """A Python identifier for a name of a spec, different from those that are taken.

    Args:
        name: The name.
        taken: Identifiers in use.
        reserved: Words beside Python's own that it must not be.
    """
    text = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "layer"
    if text[0].isdigit():
        text = f"layer_{text}"
    if keyword.iskeyword(text) or keyword.issoftkeyword(text) or text in reserved:
        text += "_"
    unique, count = text, 1
    while unique in taken:
        unique = f"{text}_{count}"
        count += 1
    return unique


def class_name(name: str, taken: Collection[str] = ()) -> str:
    """A class name for a spec: `mnist_cnn` -> `MnistCnn`."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    text = "".join(word[0].upper() + word[1:] for word in words) or "Model"
    if text[0].isdigit():
        text = f"Model{text}"
    # One letter would hide torch.nn.functional, a keyword the language.
    if len(text) == 1 or keyword.iskeyword(text) or text in taken:
        text += "Model"
    return text
