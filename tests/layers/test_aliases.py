"""Second names of layers are those that Keras gives."""

import pytest

from seqgen import layers
from seqgen.layers import ALIASES, LAYERS

keras = pytest.importorskip("keras")


# Operations are functions of keras.ops.
OF_LAYERS = {alias: name for alias, name in ALIASES.items() if not LAYERS[name].is_operation}


@pytest.mark.parametrize("alias", OF_LAYERS)
def test_alias_is_the_layer_that_keras_means(alias: str) -> None:
    assert getattr(keras.layers, alias) is getattr(keras.layers, ALIASES[alias])
    assert getattr(layers, alias) is LAYERS[ALIASES[alias]]


def test_no_alias_is_missing() -> None:
    own = {name for name in LAYERS if hasattr(keras.layers, name)}
    known = {id(getattr(keras.layers, name)) for name in own}
    names = {name for name in dir(keras.layers) if id(getattr(keras.layers, name)) in known}
    assert names == own | OF_LAYERS.keys()
