"""The outermost key of a recipe that nothing takes, or that holds what no component is written as; found at once."""

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

from adc.cli.errors import LIST_HINT, has_no, resolve, shorten, unknown_key, value_of
from adc.cli.list import arguments_of
from adc.runs import COMMAND_OF_KEY

COMPONENT_KEYS = ("class_path", "init_args", "dict_kwargs")
STRING = "tag:yaml.org,2002:str"


def unknown(recipes: Sequence[str], options: Sequence[str]) -> str | None:
    """``file:line: keys: `` and what is wrong with the first key that nothing takes, or of no shape; else None.

    Keys are met from the outside in, so that a misspelt ``role`` is named and not what is below it. Components whose
    arguments are not written down, and those that are not known, are left to the parser, whose options are given.
    """
    known = sorted(
        {option.partition(".")[0].rstrip("+") for option in options} - {"help", "print_config", "print_shtab"}
    )
    for recipe in recipes:
        root = yaml.compose(Path(recipe).read_text(encoding="utf-8"))
        for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
            if key.value == "config" and isinstance(value, yaml.CollectionNode):
                says = f"expected the file of one recipe, got {_written(value)}; -c is given once for each of several."
                return f"{recipe}:{key.start_mark.line + 1}: config: {says}"
            if (word := str(key.value).partition(".")[0].rstrip("+")) not in known:
                other = _other_command([str(one.value) for one, _ in root.value], known)
                return f"{recipe}:{key.start_mark.line + 1}: {has_no('a recipe', word, known)}{other}"
        for line, keys, says in _walk(root, None, "", first=recipe == recipes[0]):
            return f"{recipe}:{line}: {keys}: {says}"
    return None


def _other_command(words: Sequence[str], known: Sequence[str]) -> str:
    """The command that a recipe of these keys is for, in a sentence; nothing if that cannot be said."""
    found = next((word for word in words if word in COMMAND_OF_KEY and word not in known), None)
    return "" if found is None else f" A recipe with {found!r} is for `adc {COMMAND_OF_KEY[found]}`."


Fault = tuple[int, str, str]
"""Line, keys, and what is wrong."""


def _walk(node: yaml.Node | None, kind: Any, keys: str, first: bool, whole: bool = False) -> Iterator[Fault]:
    """Faults of a node and of what is below it.

    Args:
        node: A value of a recipe.
        kind: The annotation of the argument that takes it; None if it is not known.
        keys: Where it stands.
        first: Whether no other recipe comes before.
        whole: Whether it is a whole value, and not changes of one that another recipe or the command line gives.
    """
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, inner(kind), f"{keys}[{number}]", first, whole=True)
    if not isinstance(node, yaml.MappingNode):
        return
    yaml.constructor.SafeConstructor().flatten_mapping(node)  # merge keys
    entries = {str(key.value): (key, value) for key, value in node.value}
    yield from _shapeless(entries, keys, whole)
    if "class_path" in entries:
        component = resolve(str(entries["class_path"][1].value))
        if component is None or inspect.isabstract(component):
            return
        yield from _foreign(entries, component, list(COMPONENT_KEYS), keys)
        if isinstance(below := entries.get("init_args", (None, None))[1], yaml.MappingNode):
            yield from _arguments(below, component, f"{keys}.init_args".lstrip("."), first)
        return
    plain: Any = next((one for one in alternatives(kind) if dataclasses.is_dataclass(one)), None)
    if plain is not None:
        yield from _arguments(node, plain, keys, first)
        return
    for name, (_, value) in entries.items():
        yield from _walk(value, inner(kind), f"{keys}.{name}".lstrip("."), first, whole)


def _shapeless(entries: dict[str, Any], keys: str, whole: bool) -> Iterator[Fault]:
    """Entries of a component that are of another shape than ``{class_path: NAME, init_args: {...}}``."""
    for name in COMPONENT_KEYS:
        if name not in entries:
            continue
        key, value = entries[name]
        if str(value.value).startswith("${"):
            continue
        line, place = key.start_mark.line + 1, f"{keys}.{name}".lstrip(".")
        is_name = isinstance(value, yaml.ScalarNode) and value.tag == STRING and value.value
        if name == "class_path" and not is_name:
            yield line, place, f"expected the name of a component, got {_written(value)}. {LIST_HINT}"
        elif name != "class_path" and not isinstance(value, yaml.MappingNode):
            yield line, place, f"expected arguments by name, {{NAME: VALUE, ...}}, got {_written(value)}."
    if whole and "init_args" in entries and "class_path" not in entries:
        line = entries["init_args"][0].start_mark.line + 1
        hint = "has init_args but no class_path; write {class_path: NAME, init_args: {...}}."
        yield line, keys or "init_args", f"{hint} {LIST_HINT}"


def _written(node: yaml.Node) -> str:
    """A value as it is written, in short."""
    return repr(shorten(node.value if isinstance(node, yaml.ScalarNode) else str(value_of(node)), 60))


def _arguments(node: yaml.MappingNode, component: Any, keys: str, first: bool) -> Iterator[Fault]:
    """Keys of a component's arguments, then what is below them."""
    yaml.constructor.SafeConstructor().flatten_mapping(node)
    entries = {str(key.value): (key, value) for key, value in node.value}
    accepted = _accepted(component)
    if accepted is None:
        return
    yield from _foreign(entries, component, accepted, keys)
    hints = hints_of(component)
    for name, (_, value) in entries.items():
        yield from _walk(value, hints.get(name.rstrip("+")), f"{keys}.{name}".lstrip("."), first, whole=first)


def _foreign(entries: dict[str, Any], component: Any, accepted: list[str], keys: str) -> Iterator[Fault]:
    for name, (key, _) in entries.items():
        if name.rstrip("+") not in accepted:
            yield key.start_mark.line + 1, f"{keys}.{name}".lstrip("."), unknown_key(component, name, accepted)


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


def hints_of(component: Any) -> dict[str, Any]:
    """The annotations of a component's arguments, those of its bases included."""
    found: dict[str, Any] = {}
    for one in [*reversed(component.__mro__)] if inspect.isclass(component) else [component]:
        with suppress(NameError, TypeError, AttributeError):
            found |= typing.get_type_hints(one.__init__ if inspect.isclass(one) else one)
    return found


def alternatives(kind: Any) -> list[Any]:
    """A kind, or those of a union."""
    return list(typing.get_args(kind)) if typing.get_origin(kind) in (typing.Union, types.UnionType) else [kind]


def inner(kind: Any) -> Any:
    """The kind of the values of a mapping, or of the items of a list."""
    return next((found[-1] for one in alternatives(kind) if (found := typing.get_args(one))), None)
