"""Slips of keys, and options for items of lists: the line names the key, where it stands and the way out."""

import re
from pathlib import Path

import pytest
import yaml

from adc.cli import list_items, recipe_keys
from adc.cli.parser import load_components
from adc.errors import UsageError

RECIPES = Path(__file__).parents[2] / "recipes"
TINY = RECIPES / "tiny" / "1_decoder.yaml"
OPTIONS = ["config", "data", "model", "trainer.callbacks", "seed_everything", "folder", "ratios", "student"]


@pytest.fixture(scope="module", autouse=True)
def components():
    load_components(training=True)


def keys_of(node):
    """Every key below an ``init_args`` and the mapping that holds it."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys_of(item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "init_args" and isinstance(value, yaml.MappingNode):
                yield from ((inner, value) for inner, _ in value.value)
            yield from keys_of(value)


def written(path):
    return [key for key, _ in keys_of(yaml.compose(path.read_text()))]


@pytest.mark.parametrize(
    "name", ["1_decoder.yaml", "2_distill.yaml", "adcvsr/2_adversarial.yaml", "duovsr/3_dual_stream.yaml"]
)
def test_every_key_that_is_misspelt(tmp_path, name):
    """Each in turn loses its last letter; none is blamed on another, and the right one is offered."""
    lines = (RECIPES / "tiny" / name).read_text().splitlines(keepends=True)
    path, found = tmp_path / "recipe.yaml", 0
    for key in written(RECIPES / "tiny" / name):
        mark, word = key.start_mark, key.value
        if len(word) < 4:
            continue
        changed = list(lines)
        line = changed[mark.line]
        changed[mark.line] = line[: mark.column] + word[:-1] + line[mark.column + len(word) :]
        path.write_text("".join(changed))
        said = recipe_keys.unknown([str(path)], OPTIONS)
        assert said is not None, (word, mark.line)
        assert said.startswith(f"{path}:{mark.line + 1}: ") and f"no {word[:-1]!r}; did you mean" in said, said
        assert re.search(rf"mean .*\b{word}\b", said), said
        found += 1
    assert found > 15


def test_no_recipe_of_ours_has_one():
    for path in RECIPES.rglob("*.yaml"):
        top = list(yaml.safe_load(path.read_text()) or {})
        assert recipe_keys.unknown([str(path)], top) is None, path


SLIPS = {
    "the outermost counts": (
        "    roles:",
        "    role:",
        "model.init_args.role: DecoderPretraining has no 'role'; did you mean roles",
    ),
    "below a function": ("folder: runs", "foldr: runs", "load_student has no 'foldr'; did you mean folder?"),
    "beside a function": ("student: {", "studnt: {", "DecoderPretraining has no 'studnt'; did you mean student?"),
    "of a role": ("clip: 1.0", "clp: 1.0", "model.init_args.roles.decoder.clp: Role has no 'clp'; did you mean clip?"),
    "of torch": ("lr: 5.0e-3", "rate: 5.0e-3", "Adam has no 'rate'; it takes amsgrad, betas"),
    "of a schedule": ("max_lr", "maxlr", "OneCycleLR has no 'maxlr'; did you mean max_lr"),
    "of a callback": (
        "{role: decoder, updates: 24}",
        "{role: decoder, update: 24}",
        "StopAfter has no 'update'; did you mean updates",
    ),
    "of the shape": (
        "init_args:\n    degradation",
        "init_arg:\n    degradation",
        "data.init_arg: DegradedClips has no 'init_arg'",
    ),
    "at the top": ("trainer:", "traner:", "a recipe has no 'traner'; did you mean trainer?"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip(tmp_path, slip):
    before, after, says = SLIPS[slip]
    text = TINY.read_text()
    assert before in text
    (tmp_path / "recipe.yaml").write_text(text.replace(before, after, 1))
    said = recipe_keys.unknown([str(tmp_path / "recipe.yaml")], OPTIONS)
    assert said is not None and says in said and "\n" not in said, said


def taken(*words):
    (option,) = [word for word in list_items.take(words, [str(TINY)]) if word.startswith("--")]
    name, _, value = option.partition("=")
    return name, yaml.safe_load(value)


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.callbacks.0.init_args.updates", "7"],
        ["--trainer.callbacks.0.updates=7"],
        ["--trainer.callbacks.StopAfter.updates", "7"],
    ],
)
def test_an_item_of_a_list(words):
    name, items = taken(*words)
    original = yaml.safe_load(TINY.read_text())["trainer"]["callbacks"]
    assert name == "--trainer.callbacks"
    assert items[0] == {"class_path": "StopAfter", "init_args": {"role": "decoder", "updates": 7}}
    assert items[1:] == original[1:]


def test_items_below_a_component_and_of_several_recipes(tmp_path):
    name, items = taken("--model.losses.L1.weight", "0.25", "--model.losses.1.init_args.space.class_path", "Other")
    assert name == "--model.init_args.losses"
    assert items[0]["init_args"]["weight"] == 0.25
    assert items[1]["init_args"]["space"] == {"class_path": "Other"}
    more = tmp_path / "more.yaml"
    more.write_text("trainer: {callbacks+: [{class_path: Samples, init_args: {clips: 2}}]}\n")
    given = list_items.take(["--trainer.callbacks.Samples.clips", "3", "-c", "x"], [str(TINY), str(more)])
    assert given[:2] == ["-c", "x"]
    assert yaml.safe_load(given[2].partition("=")[2])[-1] == {"class_path": "Samples", "init_args": {"clips": 3}}


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--trainer.callbacks.9.updates", "trainer.callbacks has 4 items, from 0: StopAfter, SaveEvery"),
        ("--trainer.callbacks.StopAftr.updates", "did you mean StopAfter? trainer.callbacks has 0 StopAfter"),
        ("--trainer.callbacks.updates", "is a list; name an item, for one --trainer.callbacks.StopAfter.updates."),
        ("--trainer.callbacks.0", "names an item of trainer.callbacks, but none of its arguments"),
    ],
)
def test_an_item_that_is_not_there(option, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        list_items.take([option, "1"], [str(TINY)])


def test_other_options_stay_as_they_are():
    words = [
        "-c",
        "a.yaml",
        "--data.batch_size",
        "3",
        "--trainer.callbacks+=StopAfter",
        "--trainer.callbacks.role=student",
    ]
    assert list_items.take(words, [str(TINY)]) == words


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Role", "optimizer"),
        ("Adam", "weight_decay"),
        ("OneCycleLR", "max_lr"),
        ("load_student", "folder"),
        ("Example", "labels"),
        ("Augmentation", "reduce"),
    ],
)
def test_what_recipes_name_besides_components_is_explained(adc, name, says):
    status, printed, complaint = adc("list", name)
    assert status == 0, complaint
    assert name in printed and says in printed
