"""What is written is read again, exactly: YAML, JSON, TOML and plain values."""

import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import seqgen
from seqgen import layers
from seqgen.layers.base import LAYERS, Layer
from seqgen.spec.files import from_text
from seqgen.spec.flatten import flatten
from seqgen.spec.whole import Whole
from tests.spec.graphs import GRAPHS, random_graph
from tests.spec.models import MODELS, model_of

CASES = yaml.safe_load((Path(__file__).parents[1] / "layers" / "cases.yaml").read_text())
WRITERS = {
    "yaml": Whole.to_yaml,
    "json": Whole.to_json,
    "toml": Whole.to_toml,
}


def described(item: Any, within: bool = False) -> Any:
    """Everything that a spec says of a layer or a model, or of an argument.

    That a model within was made frozen says nothing: its layers are trained all the same.
    """
    if isinstance(item, tuple):
        return [described(each) for each in item]
    if isinstance(item, Layer):
        arguments = {name: described(value) for name, value in item.arguments().items()}
        return type(item).__name__, item.name, arguments
    if isinstance(item, seqgen.Input):
        return item.batch_shape, item.dtype or "float32", item.name
    if not isinstance(item, (seqgen.Sequential, seqgen.Model)):
        return item
    entry = item.declared if isinstance(item, seqgen.Sequential) else None
    reads = [(step.reads, step.arguments) for step in item.steps]
    layers = [described(layer, within=True) for layer in item.layers]
    rest = [described(entry), reads, item.results, *layers]
    trainable = any(leaf.layer.trainable for leaf in flatten(item)) if within else item.trainable
    return item.name, item.dtype, trainable, rest


def graph_of(model: Any) -> Any:
    """All that programs are made of."""
    graph = model.graph()
    nodes = [(n.name, n.inputs, repr(n.type), n.same_as, n.trainable) for n in graph.nodes]
    calls = [(call.path, call.same_as, call.taken, call.given) for call in graph.nested]
    return nodes, calls, graph.outputs, [weight.key for weight in graph.weights]


def assert_exact(model: Any) -> None:
    assert described(seqgen.Sequential.from_dict(model.to_dict())) == described(model)
    for form, write in WRITERS.items():
        text = write(model)
        again = from_text(text, form)
        assert described(again) == described(model), text
        assert write(again) == text
        assert graph_of(again) == graph_of(model)


@pytest.mark.parametrize("kind", sorted(CASES))
def test_every_layer_with_its_arguments(kind: str) -> None:
    for shape, arguments, *how in CASES[kind]:
        for name in (None, "its name"):
            layer = LAYERS[kind].from_arguments({**arguments, "name": name})
            if how == ["cell"]:
                shape, layer = (None, shape[-1]), layers.RNN(layer)
            assert_exact(model_of(seqgen, layer, shape))


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_models(make: Any) -> None:
    model = make(seqgen)
    if model.dtype is None and make.__name__ == "typed":
        assert model.graph().dtype == "float64"
    assert_exact(model)


def chain(rng: random.Random, depth: int, made: list[Any]) -> seqgen.Sequential:
    """A random chain of named and unnamed layers and models, grown and cut."""
    model = seqgen.Sequential(name=rng.choice([None, None, "net", "sequential_1"]))
    if depth == 0:
        model.add(seqgen.Input((4,), name=rng.choice([None, "x"])))
    for _ in range(rng.randint(1, 7)):
        taken = {layer.name for layer in model.layers}
        name = rng.choice([None, None, None, "dense", "dense_1", "dense_2", "relu", "yes", "1e3"])
        name = None if name in taken else name
        step = rng.random()
        # Refused are names that are taken, whatever gave them.
        with contextlib.suppress(seqgen.SpecError):
            if step < 0.2 and depth < 3:
                model.add(chain(rng, depth + 1, made))
            elif step < 0.3 and len(model) > 1:
                made.append(model.pop())
            elif step < 0.35 and made:
                model.add(made.pop())
            elif step < 0.6:
                model.add(layers.ReLU(name=name, max_value=rng.choice([None, 6, 0.1, 1e-7])))
            else:
                model.add(layers.Dense(4, name=name, trainable=rng.random() < 0.8))
    if not len(model):
        model.add(layers.Dense(4))
    return model


@pytest.mark.parametrize("seed", range(300))
def test_random_names_and_nesting(seed: int) -> None:
    rng = random.Random(seed)
    assert_exact(chain(rng, 0, []))


@pytest.mark.parametrize(
    "name",
    [
        *("null", "true", "no", "~", "1", "1e-3", ".inf", "0x10", "- a", "a: b", "# c", "'", '"'),
        *("{a}", "[a]", "\\n", "*x", "&x", "!!str", "été", "日本", "😀", "a  b", "%", "@", "<<"),
        *("import os; os.system('x')", '"""', "{{ 7 * 7 }}", "${x}", "__class__", "lambda", "self"),
    ],
)
def test_names_are_text(name: str) -> None:
    model = seqgen.Sequential(
        [seqgen.Input((4,), name=f"in {name}"), layers.Dense(2, name=name)], name=name
    )
    assert_exact(model)


@pytest.mark.parametrize("value", [1, 0.1, 1e-300, 123456789.123456789, 1e22, 5e-324, 2])
def test_numbers_keep_their_value(value: float) -> None:
    model = seqgen.Sequential([seqgen.Input((4,)), layers.Rescaling(value, offset=-value)])
    assert_exact(model)
    again = yaml.safe_load(model.to_yaml())
    assert again["layers"][0]["Rescaling"]["scale"] == value


def test_yaml_is_read_alike_by_others() -> None:
    for make in MODELS:
        model = make(seqgen)
        assert yaml.safe_load(model.to_yaml()) == model.to_dict()


def test_the_shortest_form() -> None:
    model = seqgen.Sequential(
        [
            seqgen.Input((28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu", strides=(2, 1)),
            layers.MaxPooling2D(3),
            layers.Flatten(),
            layers.Activation("softmax"),
            layers.Dense(10, name="logits"),
            layers.Dense(10),
        ],
        name="mnist_cnn",
    )
    assert model.to_yaml() == (
        "seqgen: 1\n"
        "name: mnist_cnn\n"
        "input: {shape: [28, 28, 1]}\n"
        "layers:\n"
        "  - Conv2D: {filters: 32, kernel_size: 3, strides: [2, 1], activation: relu}\n"
        "  - MaxPooling2D: 3\n"
        "  - Flatten\n"
        "  - Activation: softmax\n"
        "  - Dense: {units: 10, name: logits}\n"
        "  - Dense: 10\n"
    )


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json", ".toml", ".JSON"])
def test_files_with_weights(suffix: str, tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    model.set_weights([w + 1 for w in model.get_weights()])
    (tmp_path / "w").mkdir()
    model.save(tmp_path / f"m{suffix}", weights=tmp_path / "w" / "m.safetensors")
    again = seqgen.load(tmp_path / f"m{suffix}")
    for mine, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert again.has_own_weights
    model.save(tmp_path / f"fresh{suffix}")
    assert not seqgen.load(str(tmp_path / f"fresh{suffix}")).has_own_weights


def test_weights_saved_over_the_file_they_come_from(tmp_path: Path) -> None:
    model = seqgen.Sequential([seqgen.Input((4,)), layers.Dense(3)])
    model.save(tmp_path / "m.yaml", weights=tmp_path / "m.safetensors")
    again = seqgen.load(tmp_path / "m.yaml")
    again.layers[0].variables[1].assign(np.ones(3))
    again.save_weights(tmp_path / "m.safetensors")
    assert again.get_weights()[1].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_graphs(make: Any) -> None:
    assert_exact(make(seqgen))


NAMES = ["dense", "dense_1", "add_2", "a", "a:1", "yes", "été", "re_lu:0", "functional", "from"]


@pytest.mark.parametrize("seed", range(200))
def test_random_graphs(seed: int) -> None:
    # Refused are names that are taken, and models that take one tensor twice.
    with contextlib.suppress(seqgen.SpecError):
        model = random_graph(seqgen, seed, NAMES)
        model.graph()
        assert_exact(model)


def test_most_random_graphs_are_no_errors() -> None:
    made = 0
    for seed in range(200):
        with contextlib.suppress(seqgen.SpecError):
            random_graph(seqgen, seed, NAMES).graph()
            made += 1
    assert made > 120


def test_a_graph_is_written_as_a_person_would() -> None:
    image, table = seqgen.Input((8, 8, 3), name="image"), seqgen.Input((4,), name="table")
    encode = layers.Dense(3, activation="relu")
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same")(x)])
    x = layers.BatchNormalization(name="norm")(x, training=False)
    x = encode(layers.GlobalAveragePooling2D()(x))
    y = encode(layers.Dense(4)(table))
    z = layers.Concatenate()([x, y])
    model = seqgen.Model([image, table], [z, x], name="two_inputs")
    assert model.to_yaml() == (
        "seqgen: 1\n"
        "name: two_inputs\n"
        "inputs:\n"
        "  image: [8, 8, 3]\n"
        "  table: [4]\n"
        "graph:\n"
        "  - Conv2D: {filters: 4, kernel_size: 3, padding: same, name: conv2d, from: image}\n"
        "  - Conv2D: {filters: 4, kernel_size: 3, padding: same, name: conv2d_1}\n"
        "  - Add: {from: [conv2d, conv2d_1]}\n"
        "  - BatchNormalization: {name: norm, with: {training: false}}\n"
        "  - GlobalAveragePooling2D\n"
        "  - Dense: {units: 3, activation: relu, name: dense}\n"
        "  - Dense: {units: 4, from: table}\n"
        "  - call: {layer: dense, name: dense_2}\n"
        "  - Concatenate: {name: concatenate, from: [dense, dense_2]}\n"
        "outputs: [concatenate, dense]\n"
    )


def test_calls_are_written_where_they_say_no_more_than_the_layer() -> None:
    x = seqgen.Input((4,))
    layer = layers.Dense(4)
    model = seqgen.Model(x, layer(layer(x)))
    assert model.to_dict()["graph"] == [{"Dense": {"units": 4, "name": "dense"}}, {"call": "dense"}]
    assert_exact(model)


def test_a_graph_keeps_its_weights(tmp_path: Path) -> None:
    model = random_graph(seqgen, 3)
    model.save(tmp_path / "m.yaml", weights=tmp_path / "m.safetensors")
    keys = list(yaml.safe_load((tmp_path / "m.yaml").read_text()))
    assert keys.index("weights") == keys.index("graph") - 1
    again = seqgen.load(tmp_path / "m.yaml")
    for mine, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_a_spec_has_no_words_for() -> None:
    x = seqgen.Input((4,))
    inner = seqgen.Model(x, layers.Dense(4)(x), name="inner")
    model = seqgen.Model(x, inner.layers[1](inner(x)))
    with pytest.raises(seqgen.SpecError, match="Dense 'dense': it is part of two models"):
        model.to_dict()
    both = seqgen.Model(x, [layers.Dense(2)(x), layers.Dense(2)(x)], name="a")
    one, two = both(x)
    model = seqgen.Model(x, layers.Add()([layers.ReLU(name="a:1")(one), two]))
    with pytest.raises(seqgen.SpecError, match=r"'a:1' .*; rename the layer of that name"):
        model.to_dict()
