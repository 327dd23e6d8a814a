"""Pairs of files by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any, TypeVar

Item = TypeVar("Item")
Other = TypeVar("Other")
LABEL = re.compile(r"[-_. ]?x\d+|[-_. ][^/]*[^\W\d_][^/]*")
"""What names may end in beside what is listed: ``x4``, ``_LR4``, ``_out``."""
KNOWN = re.compile(r"[-_. ]?(?:x|lr|hr|sr|lq|hq|gt|out)[-_.a-z\d]*", re.IGNORECASE)
"""Labels that are believed when both of two single files have one."""
NAMED = 3
"""Files that a note names."""


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


def partners(
    ours: Mapping[str, Item], theirs: Mapping[str, Other], here: object, there: object, partial: bool = False
) -> tuple[list[tuple[str, Item, Other]], list[str]]:
    """Pairs of what two folders hold, by name; a label that all names of a folder end in may differ.

    ``0801x4`` meets ``0801``, ``001_LR4`` meets ``001_HR``, and ``7`` meets ``007``.

    Args:
        ours: By name.
        theirs: By name.
        here: The folder of ours, for messages.
        there: The folder of theirs.
        partial: Whether what has no partner is left out.

    Returns:
        The name there and both items of each pair, in the order of ours; and notes on names that are not equal and on
        what was left out, each in a few words.

    Raises:
        ValueError: If something has no partner; the message names it.
    """
    for (our_label, their_label), plain in _readings(ours, theirs):
        one, other = _keyed(ours, our_label, plain), _keyed(theirs, their_label, plain)
        if one is None or other is None or not (one.keys() & other.keys() if partial else one.keys() == other.keys()):
            continue
        notes = [*_notes((our_label, here), (their_label, there), plain), *_left_out(one, other, here, there)]
        return [(other[key], ours[name], theirs[other[key]]) for key, name in one.items() if key in other], notes
    for own, others, folder in ((ours, theirs, there), (theirs, ours, here)):
        if unpaired := [name for name in own if name not in others]:
            more = f" (and {len(unpaired) - 1} more)" if len(unpaired) > 1 else ""
            name = unpaired[0]
            raise ValueError(f"{_path(own[name])}: no partner called '{name}' in {folder}{more}. Add or remove it.")
    return [], []


def _readings(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], bool]]:
    """Labels to leave off and whether numbers lose their leading zeros, what changes least first."""
    single = len(ours) == len(theirs) == 1
    labels = [
        (one, other)
        for one in _labels(ours)
        for other in _labels(theirs)
        if not (single and one and other) or (KNOWN.fullmatch(one) and KNOWN.fullmatch(other))
    ]
    for pair in sorted(labels, key=lambda pair: (len(pair[0]) + len(pair[1]), pair)):
        yield pair, False
        yield pair, True


def _labels(names: Iterable[str]) -> list[str]:
    """What all names end in and may be left off; nothing is one of them."""
    letters = takewhile(lambda column: len({*column}) == 1, zip(*(name[::-1] for name in names), strict=False))
    common = "".join(column[0] for column in letters)[::-1]
    return ["", *(common[start:] for start in range(len(common)) if LABEL.fullmatch(common[start:]))]


def _keyed(names: Iterable[str], label: str, plain: bool) -> dict[str, str] | None:
    """Names by what is left of them; None if that is nothing, or the same for two."""
    found: dict[str, str] = {}
    for name in names:
        key = name.removesuffix(label)
        key = re.sub(r"\d+", lambda digits: str(int(digits[0])), key) if plain else key
        if key in found or key.rpartition("/")[2] == "":
            return None
        found[key] = name
    return found


def _notes(*labels_and_plain: Any) -> Iterator[str]:
    *labels, plain = labels_and_plain
    if listed := [f"without '{label}' in {folder}" for label, folder in labels if label]:
        yield f"names were compared {' and '.join(listed)}"
    if plain:
        yield "numbers in names were compared without leading zeros"


def _left_out(one: Mapping[str, str], other: Mapping[str, str], here: object, there: object) -> Iterator[str]:
    for names, others, place, away in ((one, other, here, there), (other, one, there, here)):
        if alone := [name for key, name in names.items() if key not in others]:
            listed = ", ".join(alone[:NAMED]) + (", ..." if len(alone) > NAMED else "")
            yield f"{len(alone)} of {len(names)} in {place} have no partner in {away} and are left out ({listed})"


def _path(item: Any) -> Any:
    return getattr(item, "path", item)
