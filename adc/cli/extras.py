"""Libraries that components of a recipe need and adc does not install by itself."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from adc.errors import UsageError, missing_extra


def check_extras(config: Any, place: str = "") -> None:
    """Refuse a parsed recipe with a component whose library is missing, before any component is built.

    Raises:
        UsageError: With the key, the library and the way to install it.
    """
    if isinstance(config, list | tuple):
        for number, entry in enumerate(config):
            check_extras(entry, f"{place}.{number}")
        return
    entries = vars(config) if hasattr(config, "__dict__") and not isinstance(config, type) else config
    if not isinstance(entries, dict):
        return
    if isinstance(path := entries.get("class_path"), str) and (missing := missing_extra(_class(path))) is not None:
        raise UsageError(f"{place}: {missing}")
    for key, value in entries.items():
        check_extras(value, f"{place}.{key}" if place else str(key))


def _class(path: str) -> type:
    found = resolve_name(path)
    return found if isinstance(found, type) else object
