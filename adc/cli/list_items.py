"""Options for items of a recipe's lists: ``--trainer.callbacks.StopAfter.updates 9``, ``--model.losses.0.weight 2``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from adc.errors import UsageError, suggest
from adc.runs import read_recipe

INIT = "init_args"


def take(args: Sequence[str], recipes: Sequence[str]) -> list[str]:
    """Arguments in which options for items of lists have become options for these lists, as a recipe would say them.

    An item is named by its number, from 0, or by the class that one item of the list is of; ``init_args`` may be left
    out. Lists are those of the recipes, one after the other: a later one replaces, ``key+`` adds.

    Raises:
        UsageError: If the list has no such item.
    """
    rest, changed = [], dict[str, list[Any]]()
    waiting = iter(args)
    for word in waiting:
        option, equals, value = word.partition("=")
        found = _item(option, recipes, changed, args) if re.match(r"--\w+\.", option) else None
        if found is None:
            rest.append(word)
            continue
        item, steps = found
        text = value if equals else next(waiting, "")
        _set(item, steps, yaml.safe_load(text), option)
    return rest + [f"--{name}={json.dumps(items)}" for name, items in changed.items()]


def _item(
    option: str, recipes: Sequence[str], changed: dict[str, list[Any]], args: Sequence[str]
) -> tuple[Any, list[str]] | None:
    """The item of a list (noted as changed) and the steps below it that an option names; None if it names none."""
    steps = option[2:].split(".")
    lists = {**_lists(recipes), **changed}
    for name, items in lists.items():
        short = [step for step in name.split(".") if step != INIT]
        own = [step for step in steps if step != INIT]
        below = own[len(short) :]
        if own[: len(short)] != short or not below or not items or not all(isinstance(item, dict) for item in items):
            continue
        classes = [str(item.get("class_path", "")).rpartition(".")[2] for item in items]
        if below[0].isdigit():
            if int(below[0]) >= len(items):
                raise UsageError(f"{option}: {name} has {len(items)} items, from 0: {', '.join(classes)}.")
            place = int(below[0])
        elif classes.count(below[0]) == 1:
            place = classes.index(below[0])
        elif below[0][:1].isupper():
            numbers = ", ".join(f"{number} {one}" for number, one in enumerate(classes))
            hint = "name it by its number." if below[0] in classes else suggest(below[0], classes)
            raise UsageError(f"{option}: {hint} {name} has {numbers}.")
        elif any(word.startswith((f"--{name}=", f"--{name}+")) or word == f"--{name}" for word in args):
            continue  # of the item that the command line gave last
        else:
            raise UsageError(
                f"{option}: {name} is a list; name an item, for one --{name}.{classes[0]}.{'.'.join(below)}."
            )
        if len(below) < 2:
            raise UsageError(f"{option}: names an item of {name}, but none of its arguments.")
        changed[name] = items
        return items[place], below[1:]
    return None


def _set(item: Any, steps: list[str], value: Any, option: str) -> None:
    if "class_path" in item and steps[0] != "class_path":
        item = item.setdefault(INIT, {})
    for step in steps[:-1]:
        if isinstance(item.get(step), str):
            item[step] = {"class_path": item[step]}  # the short form of a component without arguments
        item = item.setdefault(step, {})
        if not isinstance(item, dict):
            raise UsageError(f"{option}: {step} holds {item!r} and nothing below it.")
        if "class_path" in item and steps[-1] != "class_path":
            item = item.setdefault(INIT, {})
    item[steps[-1]] = value


def _lists(recipes: Sequence[str]) -> dict[str, list[Any]]:
    """The lists of recipes by their keys, as all recipes together make them."""
    found: dict[str, list[Any]] = {}
    for recipe in recipes:
        _collect(read_recipe(recipe), "", found)
    return found


def _collect(value: Any, keys: str, found: dict[str, list[Any]]) -> None:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        name = f"{keys}.{key}".lstrip(".")
        if isinstance(inner, list) and name.endswith("+"):
            found[name[:-1]] = [*found.get(name[:-1], []), *inner]
        elif isinstance(inner, list):
            found[name] = list(inner)
        elif name.endswith("+"):
            found[name[:-1]] = [*found.get(name[:-1], []), inner]
        else:
            _collect(inner, name, found)
