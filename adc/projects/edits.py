"""Recipes with other values: the text stays as it is, comments too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

STRING = "tag:yaml.org,2002:str"


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """A recipe with other values at some keys.

    Args:
        text: The recipe.
        values: By keys with dots between them, items of lists by their numbers: ``trainer.callbacks.0.init_args.role``.
            What stands there must be on one line.

    Raises:
        KeyError: If the recipe has no such key.
    """
    nodes = dict(_nodes(yaml.compose(text)))
    return _replaced(text, [(nodes[keys], value) for keys, value in values.items()])


def with_texts(text: str, change: Callable[[str], str]) -> str:
    """A recipe in which a function has changed all values that are text."""
    changed = [(node, change(node.value)) for _, node in texts(text)]
    return _replaced(text, [(node, value) for node, value in changed if value != node.value])


def texts(text: str) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Keys and nodes of all values of a recipe that are text."""
    for keys, node in _nodes(yaml.compose(text)):
        if isinstance(node, yaml.ScalarNode) and node.tag == STRING:
            yield keys, node


def _nodes(node: yaml.Node | None, keys: str = "") -> Iterator[tuple[str, yaml.Node]]:
    if node is not None and keys:
        yield keys, node
    if isinstance(node, yaml.MappingNode):
        inside = [(key.value, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inside = [(str(number), value) for number, value in enumerate(node.value)]
    else:
        return
    for key, value in inside:
        yield from _nodes(value, f"{keys}.{key}".lstrip("."))


def _replaced(text: str, pairs: list[tuple[yaml.Node, Any]]) -> str:
    for node, value in sorted(pairs, key=lambda pair: pair[0].start_mark.index, reverse=True):
        text = text[: node.start_mark.index] + inline(value) + text[node.end_mark.index :]
    return text


def inline(value: Any) -> str:
    """A value as YAML on one line; text without quotes where that is the same."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {inline(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, str) and _is_plain(value):
        return value
    if isinstance(value, float) and re.fullmatch(r"-?\d+e.*", repr(value)):
        return repr(value).replace("e", ".0e")  # YAML takes a number without a point for text
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    try:
        return yaml.safe_load(f"{{key: {text}}}") == {"key": text}
    except yaml.YAMLError:
        return False
