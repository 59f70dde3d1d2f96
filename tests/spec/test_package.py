"""The public names, and what they do not import."""

import subprocess
import sys
from pathlib import Path

import pytest

import seqgen

EXAMPLE = Path(__file__).parents[2] / "examples" / "mobilenet_like.yaml"
FRAMEWORKS = ("tensorflow", "keras", "torch", "onnxruntime", "onnx", "jax")
LIGHT = f"""
import sys
import seqgen
assert not [name for name in sys.modules if name.startswith("seqgen.")], "import seqgen is lazy"
model = seqgen.load({str(EXAMPLE)!r})
model.to_dict()
model.to_yaml()
model.graph()
model.summary(print_fn=lambda text: None)
loaded = [name for name in {FRAMEWORKS} if name in sys.modules]
assert not loaded, loaded
"""


def test_no_framework_for_a_spec() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", seqgen.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(seqgen, name) is getattr(seqgen, name)
    assert name in dir(seqgen)


def test_verify_is_a_function_and_a_package() -> None:
    from seqgen.verify import Pool, verify

    assert callable(seqgen.verify)
    assert seqgen.verify.Pool is Pool
    assert seqgen.verify.verify is verify


def test_unknown_names() -> None:
    for place in (seqgen, seqgen.layers, seqgen.regularizers, seqgen.initializers):
        with pytest.raises(AttributeError):
            place.Nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean 'HeNormal'"):
        seqgen.initializers.HeNorml  # noqa: B018


def test_functions_as_arguments() -> None:
    layer = seqgen.layers.Dense(
        3,
        activation=seqgen.activations.leaky_relu(negative_slope=0.1),
        kernel_initializer=seqgen.initializers.HeNormal(seed=1),
        bias_initializer=seqgen.initializers.Constant(0.5),
        kernel_regularizer=seqgen.regularizers.L1L2(l1=0.5),
        bias_constraint=seqgen.constraints.MaxNorm,
    )
    assert seqgen.Sequential([layer]).to_dict()["layers"] == [
        {
            "Dense": {
                "units": 3,
                "activation": {"leaky_relu": {"negative_slope": 0.1}},
                "kernel_initializer": {"HeNormal": {"seed": 1}},
                "bias_initializer": {"Constant": {"value": 0.5}},
                "kernel_regularizer": {"L1L2": {"l1": 0.5}},
                "bias_constraint": "MaxNorm",
            }
        }
    ]
    assert set(dir(seqgen.activations)) >= {"relu", "gelu", "swish"}
