"""The outermost key of a recipe that nothing takes, found before anything is built."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from adc.cli.errors import has_no, resolve, unknown_key
from adc.cli.list import arguments_of

COMPONENT_KEYS = ("class_path", "init_args", "dict_kwargs")


def unknown(recipes: Sequence[str], options: Sequence[str]) -> str | None:
    """``file:line: keys: `` and what is wrong with the first key that nothing takes; None if all are taken.

    Keys are met from the outside in, so that a misspelt ``role`` is named and not what is below it. Components whose
    arguments are not written down, and those that are not known, are left to the parser, whose options are given.
    """
    known = sorted(
        {option.partition(".")[0].rstrip("+") for option in options} - {"help", "print_config", "print_shtab"}
    )
    for recipe in recipes:
        root = yaml.compose(Path(recipe).read_text(encoding="utf-8"))
        for key, _ in root.value if isinstance(root, yaml.MappingNode) else ():
            if (word := str(key.value).partition(".")[0].rstrip("+")) not in known:
                return f"{recipe}:{key.start_mark.line + 1}: {has_no('a recipe', word, known)}"
        for line, keys, word, owner, accepted in _walk(root, None, ""):
            return f"{recipe}:{line}: {keys}: {unknown_key(owner, word, accepted)}"
    return None


Fault = tuple[int, str, str, Any, list[str]]
"""Line, keys, the key, the component that does not take it, and what it takes."""


def _walk(node: yaml.Node | None, kind: Any, keys: str) -> Iterator[Fault]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, _inner(kind), f"{keys}[{number}]")
    if not isinstance(node, yaml.MappingNode):
        return
    entries = {str(key.value): (key, value) for key, value in node.value}
    if "class_path" in entries:
        component = resolve(str(entries["class_path"][1].value))
        if component is None or inspect.isabstract(component):
            return
        yield from _foreign(entries, component, list(COMPONENT_KEYS), keys)
        if isinstance(inner := entries.get("init_args", (None, None))[1], yaml.MappingNode):
            yield from _arguments(inner, component, f"{keys}.init_args".lstrip("."))
        return
    plain: Any = next((one for one in _alternatives(kind) if dataclasses.is_dataclass(one)), None)
    if plain is not None:
        yield from _arguments(node, plain, keys)
        return
    for name, (_, value) in entries.items():
        yield from _walk(value, _inner(kind), f"{keys}.{name}".lstrip("."))


def _arguments(node: yaml.MappingNode, component: Any, keys: str) -> Iterator[Fault]:
    """Keys of a component's arguments, then what is below them."""
    entries = {str(key.value): (key, value) for key, value in node.value}
    accepted = _accepted(component)
    if accepted is None:
        return
    yield from _foreign(entries, component, accepted, keys)
    hints = _hints(component)
    for name, (_, value) in entries.items():
        yield from _walk(value, hints.get(name.rstrip("+")), f"{keys}.{name}".lstrip("."))


def _foreign(entries: dict[str, Any], component: Any, accepted: list[str], keys: str) -> Iterator[Fault]:
    for name, (key, _) in entries.items():
        if name.rstrip("+") not in accepted:
            yield key.start_mark.line + 1, f"{keys}.{name}".lstrip("."), name, component, accepted


def _accepted(component: Any) -> list[str] | None:
    """The arguments of a component, those that it passes on included; None if nobody knows."""
    try:
        parameters = inspect.signature(component).parameters
        if all(
            parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) for parameter in parameters.values()
        ):
            return [name for name in parameters if name != "self"]
        return [argument["name"] for argument in arguments_of(component)]
    except (TypeError, ValueError, AttributeError):
        return None


def _hints(component: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in [*reversed(component.__mro__)] if inspect.isclass(component) else [component]:
        with suppress(NameError, TypeError, AttributeError):
            found |= typing.get_type_hints(one.__init__ if inspect.isclass(one) else one)
    return found


def _alternatives(kind: Any) -> list[Any]:
    """A kind, or those of a union."""
    return list(typing.get_args(kind)) if typing.get_origin(kind) in (typing.Union, types.UnionType) else [kind]


def _inner(kind: Any) -> Any:
    """The kind of the values of a mapping, or of the items of a list."""
    return next((found[-1] for one in _alternatives(kind) if (found := typing.get_args(one))), None)
