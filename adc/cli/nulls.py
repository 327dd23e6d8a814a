"""Values that are null where what takes them does not: jsonargparse lets them pass."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonargparse import SUPPRESS

from adc.cli.errors import place, resolve
from adc.cli.recipe_keys import alternatives, hints_of, inner


def forbidden(config: Any, actions: Sequence[Any], recipes: Sequence[str]) -> str | None:
    """What is wrong with the first null of a configuration that must not be one, and where it stands; else None."""
    for action in actions:
        kind, keys = getattr(action, "_typehint", None), str(action.dest)
        value = config.get(keys)
        has_default = action.default is not None and action.default != SUPPRESS
        if value is None and kind is not None and has_default and not admits_null(kind):
            return _sentence(keys, kind, recipes)
        for where, expected in _walk(value, kind, keys):
            return _sentence(where, expected, recipes)
    return None


def admits_null(kind: Any) -> bool:
    """Whether an annotation admits None; one that is not known does."""
    if isinstance(kind, (str, typing.TypeVar)) or kind in (None, type(None), Any, object, inspect.Parameter.empty):
        return True
    if typing.get_origin(kind) is typing.Literal:
        return None in typing.get_args(kind)
    if typing.get_origin(kind) is typing.Annotated:
        return admits_null(typing.get_args(kind)[0])
    found = alternatives(kind)
    return len(found) > 1 and any(admits_null(one) for one in found)


def _walk(value: Any, kind: Any, keys: str) -> Iterator[tuple[str, Any]]:
    """Keys of forbidden nulls below a value, and what was expected there."""
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _walk(item, inner(kind), f"{keys}[{number}]")
        return
    if not isinstance(value, Mapping) and not hasattr(value, "as_dict"):
        return
    content = dict(value) if isinstance(value, Mapping) else vars(value)
    if "class_path" in content:
        arguments, component = content.get("init_args"), resolve(str(content["class_path"]))
        if component is not None and hasattr(arguments, "as_dict"):
            yield from _arguments(vars(arguments), component, f"{keys}.init_args")
        return
    plain = next((one for one in alternatives(kind) if hasattr(one, "__dataclass_fields__")), None)
    if plain is not None:
        yield from _arguments(content, plain, keys)
        return
    for name, one in content.items():
        yield from _walk(one, inner(kind), f"{keys}.{name}")


def _arguments(values: Mapping[str, Any], component: Any, keys: str) -> Iterator[tuple[str, Any]]:
    hints = hints_of(component)
    for name, value in values.items():
        if value is None and name in hints and not admits_null(hints[name]) and not _is_null(component, name):
            yield f"{keys}.{name}", hints[name]
        yield from _walk(value, hints.get(name), f"{keys}.{name}")


def _is_null(component: Any, name: str) -> bool:
    """Whether an argument is null where it is not given, whatever its annotation says."""
    for one in component.__mro__ if inspect.isclass(component) else [component]:
        try:
            parameters = inspect.signature(one.__init__ if inspect.isclass(one) else one).parameters
        except (TypeError, ValueError):
            continue
        if name in parameters:
            return parameters[name].default is None
    return True


def _sentence(keys: str, kind: Any, recipes: Sequence[str]) -> str:
    found = place(recipes, [key.partition("[")[0] for key in keys.split(".")], "null")
    return f"{found if ':' in found.rstrip(': ') else f'{keys}: '}expected {_named(kind)}, got null."


def _named(kind: Any) -> str:
    """A kind in words."""
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(map(repr, typing.get_args(kind)))}"
    if len(found := alternatives(kind)) > 1:
        return " or ".join(_named(one) for one in found)
    return kind.__name__ if inspect.isclass(kind) else str(kind).rpartition(".")[2]
