"""The field's words in names, log keys, keys of recipes and first lines of docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]

WORDS = {
    "persuade": "generator_loss",
    "told": "metadata, state, description or the condition itself",
    "tell": "report, return or predict",
    "tells": "reports, returns or predicts",
    "heard": "head_logits",
    "hear": "logits",
    "hears": "receives",
    "spoilt": "degraded",
    "spoil": "degrade",
    "taught": "teacher_domains or target",
    "judge": "discriminator or metric",
    "judges": "heads, discriminators or metrics",
    "judged": "logits",
    "gist": "prompt_fingerprint",
    "shown": "example",
    "critic": "discriminator",
    "critics": "discriminators",
    "held_out": "validation, val_dir",
    "asking": "run_teacher",
    "belongings": "ImageMetadata",
    "stranger": "InertObject",
    "footage": "VideoSource",
    "give_way": "shrink_tiles",
    "enlarge": "upsample_bicubic",
    "enlarger": "Upscaler",
    "recompute": "gradient_checkpointing",
    "picture": "image",
    "pictures": "images",
    "pupil": "student",
}

# Names that stay, by their file, and why.
EXEMPT = {
    ("plugins/adc_tiny/discriminator.py", "judges"): "begins the names of weights in checkpoints",
    ("plugins/adc_video/discriminator.py", "judges"): "begins the names of weights in checkpoints",
    ("plugins/adc_tiny/diffusion.py", "told"): "begins the names of weights in folders of score models",
}

# The calls whose first argument names a value of the log.
LOGGERS = {"log", "log_dict", "add_scalar", "add_image", "add_figure"}


def private_words(text: str) -> list[str]:
    """The private words of a name or sentence, split at camel case and whatever is no letter."""
    parts = [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)]
    joined = f"_{'_'.join(parts)}_"
    return [word for word in WORDS if f"_{word}_" in joined]


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of names that a module defines or uses, of its log keys and its docstrings' first lines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg() | ast.keyword() if node.arg:
                yield node.lineno, node.arg
            case ast.Attribute():
                yield node.lineno, node.attr
            case ast.Name():
                yield node.lineno, node.id
            case ast.alias():
                yield node.lineno, node.asname or node.name
            case ast.Call(func=ast.Attribute(attr=attribute), args=[key, *_]) if attribute in LOGGERS:
                yield from ((key.lineno, text) for part in ast.walk(key) if (text := _text(part)))
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and (documentation := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), documentation.splitlines()[0]


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Line and text of every key of a YAML tree."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key.start_mark.line + 1, key.value
            yield from keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys(item)


def offences(found: Iterator[tuple[int, str]], file: str) -> list[str]:
    """One line for each private word: its place, its name or sentence, the field's word."""
    return sorted(
        f"{file}:{line}: {text!r}: instead of {word!r} write {WORDS[word]}"
        for line, text in set(found)
        if (file, text) not in EXEMPT
        for word in private_words(text)
    )


@pytest.mark.parametrize("folder", ["adc", "plugins", "tools"])
def test_names_log_keys_and_first_lines_use_the_fields_words(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = [line for file in files for line in offences(iter([(0, file.stem)]), str(file.relative_to(ROOT)))]
    found += [
        line
        for file in files
        for line in offences(names(ast.parse(file.read_text(encoding="utf-8"))), str(file.relative_to(ROOT)))
    ]
    assert not found, "\n" + "\n".join(found)


def test_keys_of_recipes_use_the_fields_words() -> None:
    files = sorted((ROOT / "recipes").rglob("*.yaml"))
    assert files
    found = [
        line
        for file in files
        for line in offences(keys(yaml.compose(file.read_text(encoding="utf-8"))), str(file.relative_to(ROOT)))
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "def _told(): pass",
        "class ImageCritic: pass",
        "lambda spoilt: None",
        "self.judges = 1",
        "shown = 1",
        "f(held_out=1)",
        "self.log(f'{name}/gist', 1)",
        "def f():\n    '''Pictures of held-out clips.'''",
    ],
)
def test_private_words_are_refused(text: str) -> None:
    assert offences(names(ast.parse(text)), "file.py")


def test_private_keys_of_recipes_are_refused() -> None:
    assert offences(keys(yaml.compose("model: {init_args: {recompute: true}}")), "recipe.yaml")
    assert not offences(keys(yaml.compose("model: {init_args: {teller: true}}")), "recipe.yaml")
