"""Recipes that are changed at random: each fails in one line that says what is wrong, or runs."""

import copy
import random
import re
from pathlib import Path

import pytest
import yaml

from adc.cli import main

RECIPES = Path(__file__).parents[2] / "recipes" / "tiny"
NAMES = ("1_decoder.yaml", "2_distill.yaml")
ODD = (
    None, -1, 0, 1, 3.5, 1e99, float("nan"), "", "x", "null", [], {}, [1, 2], {"a": 1}, True, "adc", "TinyTeacher",
    {"class_path": "TinyTeacher"}, {"class_path": "Adam"}, {"class_path": "nope.Nope"}, "/nonexistent", 10**12, "1_000",
    "\u00e9", "${oc.env:NOPE}", "${model}", "!!python/object:os.system",
)  # fmt: skip
LIBRARY_WORDS = re.compile(
    r"object has no attribute|unhashable|not iterable|not subscriptable|unexpected keyword|positional argument"
    r"|Dict must include|import path|dot import|subclass spec|Union|typing\.|<class|Namespace|Traceback"
)
"""What Python and jsonargparse say of their own insides."""


def places(value, path=()):
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def at(tree, path):
    for step in path:
        tree = tree[step]
    return tree


def change_a_value(tree, chance):
    found = list(places(tree))
    *above, last = chance.choice(found)
    parent = at(tree, above)
    kind = chance.randrange(6)
    if kind == 0:
        del parent[last]
    elif kind <= 2:
        parent[last] = copy.deepcopy(chance.choice(ODD))
    elif kind == 3 and isinstance(parent, dict):
        parent[f"{last}{chance.choice('xs_')}"] = parent.pop(last)
    elif kind == 4:
        parent[last] = [parent[last]] if chance.random() < 0.5 else {"k": parent[last]}
    else:
        parent[last] = copy.deepcopy(at(tree, chance.choice(found)))


def change_the_text(text, chance):
    place = chance.randrange(len(text))
    kind = chance.randrange(4)
    if kind == 0:
        return text[:place] + text[place + 1 :]
    if kind == 1:
        return text[:place] + chance.choice(":-{}[]'\"\t#&*!%@`\n \u00e9") + text[place:]
    if kind == 2:
        return text[:place]
    lines = text.splitlines(keepends=True)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def changed(seed):
    chance = random.Random(seed)
    text = (RECIPES / chance.choice(NAMES)).read_text(encoding="utf-8")
    if chance.random() < 0.3:
        return change_the_text(text, chance)
    tree = yaml.safe_load(text)
    for _ in range(1 + (chance.random() < 0.2)):
        change_a_value(tree, chance)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def fit(recipe, capsys):
    """Exit status and lines of a run that ends after one batch, if it begins at all."""
    short = ["--trainer.fast_dev_run", "true", "--trainer.enable_progress_bar", "false"]
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", str(recipe), *short, "--trainer.default_root_dir", str(recipe.parent / "run")])
    return stop.value.code, capsys.readouterr().err.splitlines()


def test_changed_recipes(tmp_path, monkeypatch, capsys, long):
    """Students of former stages are not there, so that a recipe that is right ends with the line that says so."""
    monkeypatch.chdir(tmp_path)
    recipe, wrong = tmp_path / "recipe.yaml", []
    for seed in range(500 if long else 40):
        recipe.write_text(changed(seed), encoding="utf-8")
        status, lines = fit(recipe, capsys)
        if status == 0:
            continue
        says = [line for line in lines if line.startswith("adc: error: ")]
        in_one_line = status in (1, 2) and len(says) == 1 and says[0] == lines[-1]
        if not in_one_line or "ADC_DEBUG" in says[0] or LIBRARY_WORDS.search(says[0]):
            wrong.append((seed, status, lines))
    assert not wrong


SHAPES = {
    "no mapping of arguments": (
        "init_args: {domain: pixel, channels: 3}",
        "init_args: 3",
        "init_args: expected arguments by name",
    ),
    "nothing below init_args": ("{class_path: Export}", "{class_path: Export, init_args: }", "got ''"),
    "a class that is a list": ("class_path: Adam", "class_path: [Adam]", "expected the name of a component, got"),
    "a class that is nothing": ("class_path: Adam", "class_path:", "expected the name of a component, got ''"),
    "no class": ("class_path: StopAfter, ", "", "trainer.callbacks[0]: has init_args but no class_path"),
    "no optimizer": (
        "optimizer: {class_path: Adam, init_args: {lr: 1.0e-3, betas: [0.5, 0.9]}}",
        "optimizer: 1",
        "roles.discriminator.optimizer: expected {class_path: NAME, init_args: {...}}, got '1'",
    ),
    "an empty name": ("degradation: BicubicDown", "degradation: ''", "degradation: there is no component ''"),
    "a needed argument": ("max_lr: 5.0e-3, ", "", "OneCycleLR needs max_lr, which is not given"),
    "a section that is a word": ("trainer:\n", "trainer: default\nmodel_: \n", "a recipe has no 'model_'"),
}


@pytest.mark.parametrize("slip", SHAPES)
def test_shapes(tmp_path, capsys, slip):
    before, after, says = SHAPES[slip]
    text = (RECIPES / "1_decoder.yaml").read_text(encoding="utf-8")
    assert before in text, text
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text.replace(before, after, 1), encoding="utf-8")
    status, lines = fit(recipe, capsys)
    assert status == 2 and len(lines) == 1
    assert lines[0].startswith(f"adc: error: {recipe}:") and says in lines[0], lines[0]
