"""Second names of layers are those that Keras gives."""

import pytest

from seqgen import layers
from seqgen.layers import ALIASES, LAYERS

keras = pytest.importorskip("keras")


@pytest.mark.parametrize("alias", ALIASES)
def test_alias_is_the_layer_that_keras_means(alias: str) -> None:
    assert getattr(keras.layers, alias) is getattr(keras.layers, ALIASES[alias])
    assert getattr(layers, alias) is LAYERS[ALIASES[alias]]


def test_no_alias_is_missing() -> None:
    known = {id(getattr(keras.layers, name)) for name in LAYERS}
    names = {name for name in dir(keras.layers) if id(getattr(keras.layers, name)) in known}
    assert names == LAYERS.keys() | ALIASES.keys()
