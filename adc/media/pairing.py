"""Pairs of files by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")


def by_name(named: Iterable[tuple[str, Item]]) -> dict[str, Item]:
    """Files, or sources with a ``path``, by their names.

    Raises:
        ValueError: If two have one name; the message names both.
    """
    found: dict[str, Item] = {}
    for name, item in named:
        if name in found:
            raise ValueError(f"{_path(item)}: {_path(found[name])} has the same name. Remove or rename one of them.")
        found[name] = item
    return found


def check_partners(ours: dict[str, Any], theirs: dict[str, Any], here: object, there: object) -> None:
    """Check that two folders, `here` and `there`, hold the same names.

    Raises:
        ValueError: If a file has no partner; the message names it.
    """
    for own, other, folder in ((ours, theirs, there), (theirs, ours, here)):
        if unpaired := [name for name in own if name not in other]:
            more = f" (and {len(unpaired) - 1} more)" if len(unpaired) > 1 else ""
            name = unpaired[0]
            raise ValueError(f"{_path(own[name])}: no partner called '{name}' in {folder}{more}. Add or remove it.")


def _path(item: Any) -> Any:
    return getattr(item, "path", item)
