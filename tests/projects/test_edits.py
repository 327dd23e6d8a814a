"""Recipes with other values keep their text and their comments."""

import pytest
import yaml

from adc.projects.edits import inline, with_texts, with_values

RECIPE = """# what it is
seed: 0 # of everything
data: {class_path: A, init_args: {folder: data/photos, size: 128}} # a comment: with a colon
items:
  - {name: first, count: 3} # one
  - name: second
    count: 4
runs: [runs/a/0_prune, runs/a/1_fit] # both
"""


def test_values_change_and_nothing_else_does():
    changed = with_values(RECIPE, {"data.init_args.size": 256, "items.1.count": 5, "seed": 7})
    assert changed == RECIPE.replace("128", "256").replace("count: 4", "count: 5").replace("seed: 0", "seed: 7")


def test_a_value_may_become_a_mapping_or_a_list():
    changed = with_values(RECIPE, {"data.init_args": {"folder": "a b", "parts": {"x": [0.5, None, True]}}, "runs": []})
    assert yaml.safe_load(changed)["data"]["init_args"] == {"folder": "a b", "parts": {"x": [0.5, None, True]}}
    assert "# a comment: with a colon" in changed and "runs: [] # both" in changed


def test_texts_change_wherever_they_stand():
    changed = with_texts(RECIPE, lambda value: value.replace("runs/a", "mine/runs"))
    assert changed == RECIPE.replace("runs/a", "mine/runs")


def test_a_key_that_is_not_there_is_an_error():
    with pytest.raises(KeyError, match=r"data\.init_args\.side"):
        with_values(RECIPE, {"data.init_args.side": 1})


@pytest.mark.parametrize(
    "value",
    ["plain", "a: b", "a #b", "{x}", "[1]", "12", "1e-3", "null", "yes", "", " a ", "it's", 'say "so"', "x, y", "ä/ö",
     "~", "*a", "&b", "a\nb", "C:\\x", "2020-01-01", -1, 0.25, 1e-07, True, None, [1, "a, b"], {"a": {"b": "c: d"}}],
)  # fmt: skip
def test_any_value_is_read_back(value):
    assert yaml.safe_load(f"{{key: {inline(value)}}}") == {"key": value}
    assert yaml.safe_load(f"key: {inline(value)} # comment") == {"key": value}
