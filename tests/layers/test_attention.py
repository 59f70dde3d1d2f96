"""Attention against Keras: where files have its variables, and the calls that it takes."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import seqgen
from seqgen import layers
from seqgen.errors import SpecError

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")

GROUPS = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
HEADS = {"num_heads": 2, "key_dim": 3}
LAYERS: dict[str, dict[str, Any]] = {
    "Attention": {"use_scale": True, "score_mode": "concat"},
    "AdditiveAttention": {},
    "MultiHeadAttention": {**HEADS, "use_gate": True},
    "GroupQueryAttention": {**GROUPS, "use_gate": True},
}


def call(kind: str, layer: Any, *tensors: Any, **arguments: Any) -> Any:
    """Call a layer of Keras or of the spec on itself."""
    if getattr(layers, kind).ports:
        return layer(*tensors, **arguments)
    return layer(list(tensors), **arguments)


@pytest.mark.parametrize("kind", LAYERS)
def test_variables_stand_where_keras_saves_them(kind: str, tmp_path: Path) -> None:
    x = keras.Input((5, 4))
    oracle = getattr(keras.layers, kind)(**LAYERS[kind])
    keras.Model(x, call(kind, oracle, x, x)).save(tmp_path / "model.keras")
    archive = zipfile.ZipFile(tmp_path / "model.keras")
    expected: dict[str, tuple[int, ...]] = {}
    with h5py.File(BytesIO(archive.read("model.weights.h5"))) as file:
        (group,) = (name for name in file["layers"] if "attention" in name)

        def note(name: str, item: Any) -> None:
            expected.update({name: item.shape} if isinstance(item, h5py.Dataset) else {})

        file[f"layers/{group}"].visititems(note)
    layer, entry = getattr(layers, kind)(**LAYERS[kind]), seqgen.Input((5, 4))
    call(kind, layer, entry, entry)
    weights = [variable.weight for variable in layer.variables]
    assert {w.place or f"vars/{i}": w.shape for i, w in enumerate(weights)} == expected


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("return_attention_scores", True, "second output"),
        ("use_causal_mask", 3, "true or false"),
        ("mask", [None, None], "no such argument"),
        ("query_mask", True, "no such argument"),
    ],
)
def test_refused_arguments_of_a_call(kind: str, argument: str, value: Any, message: str) -> None:
    x = seqgen.Input((5, 4))
    with pytest.raises(SpecError, match=message):
        call(kind, getattr(layers, kind)(**LAYERS[kind]), x, x, **{argument: value})


def test_false_arguments_of_a_call_say_nothing() -> None:
    x = seqgen.Input((5, 4))
    y = layers.Attention()([x, x], use_causal_mask=False, return_attention_scores=False)
    assert y.call.arguments == {}


def test_value_stands_for_a_key_before_a_mask() -> None:
    q, v, mask = seqgen.Input((5, 4)), seqgen.Input((6, 4)), seqgen.Input((5, 6))
    y = layers.MultiHeadAttention(2, 3)(q, v, attention_mask=mask)
    assert y.call.inputs == (q.tensor, v.tensor, v.tensor, mask.tensor)


@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 5, 6)])
def test_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    q, v, mask = seqgen.Input((5, 4)), seqgen.Input((6, 4)), seqgen.Input(shape)
    with pytest.raises(SpecError, match="expected a mask"):
        layers.MultiHeadAttention(2, 3)(q, v, attention_mask=mask)


def test_mask_that_keras_rounds_is_refused() -> None:
    q, v, mask = seqgen.Input((5, 4)), seqgen.Input((6, 4)), seqgen.Input((5, 6))
    layers.GroupQueryAttention(**GROUPS)(q, v, attention_mask=mask)
    with pytest.raises(SpecError, match="compares it with"):
        layers.GroupQueryAttention(**GROUPS, dropout=0.1)(q, v, attention_mask=mask)


def words() -> Any:
    """Two names of a sequence with a mask, with nothing in between but a Dropout."""
    entry = seqgen.Input((5,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(entry)
    return entry, x, layers.Dropout(0.5)(x)


def test_causal_mask_over_other_axes_is_refused() -> None:
    x = seqgen.Input((5, 6, 4))
    y = layers.MultiHeadAttention(2, 3, attention_axes=2)(x, x, use_causal_mask=True)
    with pytest.raises(SpecError, match="attention over axis 1 alone"):
        seqgen.Model(x, y).graph()


def test_masks_over_other_axes_are_refused() -> None:
    entry = seqgen.Input((5, 6, 4))
    x = layers.Masking()(entry)
    for y in (
        layers.MultiHeadAttention(2, 3, attention_axes=1)(x, x),
        layers.MultiHeadAttention(2, 3)(x, x),
        layers.Attention()([entry, x]),
    ):
        with pytest.raises(SpecError, match="expected a mask of"):
            seqgen.Model(entry, y).graph()


def test_mask_that_depends_on_the_mode_is_refused() -> None:
    """A Dropout gives the very tensor it takes at inference, which loses its mask with it."""
    entry, x, dropped = words()
    first = layers.MultiHeadAttention(2, 3)(dropped, dropped)
    second = layers.MultiHeadAttention(2, 3)(layers.Add()([x, first]), x)
    with pytest.raises(SpecError, match="depends on how it runs the model"):
        seqgen.Model(entry, second).graph()


def test_mask_that_a_model_within_may_get_again_is_refused() -> None:
    entry, x, _ = words()
    inner = seqgen.Input((5, 4))
    within = seqgen.Model(inner, layers.MultiHeadAttention(2, 3)(inner, inner))
    first = layers.MultiHeadAttention(2, 3)(x, x)
    with pytest.raises(SpecError, match="depends on how it runs the model"):
        seqgen.Model(entry, layers.Add()([first, within(x)])).graph()
