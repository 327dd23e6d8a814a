"""Common parts of commands: errors by the name of the option, and the exit status of partial failure."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from adc.errors import UsageError

SOME_FAILED = 3


@contextmanager
def naming_options(options: Iterable[str]) -> Iterator[None]:
    """Errors of a library that begin with a parameter's name begin with the option's: ``tile 3`` is ``--tile 3``."""
    try:
        yield
    except (UsageError, FileNotFoundError) as error:
        word = re.match(r"[a-z][\w-]*(?=:? )", str(error))
        if word is None or word[0].replace("-", "_") not in {*options}:
            raise
        raise type(error)(f"--{error}") from error


def words_of_lists(argv: Sequence[str], names: Iterable[str]) -> list[str]:
    """Arguments in which lists are written in one way: ``--name a b`` and ``--name [a, b]`` as ``--name=[a,b]``."""
    found: list[str] = []
    waiting = [*argv]
    while waiting:
        word = waiting.pop(0)
        name, is_one_word, value = word.partition("=")
        if name[:2] != "--" or name[2:] not in names:
            found.append(word)
            continue
        values = [value] if is_one_word else []
        while not is_one_word and waiting and not waiting[0].startswith("-"):
            values.append(waiting.pop(0))
        items = [item.strip() for value in values for item in value.strip().strip("[]").split(",")]
        found.append(f"{name}=[{','.join(item for item in items if item)}]")
    return found


def console_of_output() -> Any:
    """rich's console of standard output: as wide as the terminal; in a pipe 200 columns, or ``COLUMNS``."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200, highlight=False)


def leave(failed: int, total: int) -> None:
    """Exit with status 3 if some items failed."""
    if failed:
        sys.stderr.write(f"adc: {failed} of {total} failed\n")
        sys.exit(SOME_FAILED)
