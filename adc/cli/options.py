"""Common parts of commands: errors by the name of the option, and the exit status of partial failure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

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


def leave(failed: int, total: int) -> None:
    """Exit with status 3 if some items failed."""
    if failed:
        sys.stderr.write(f"adc: {failed} of {total} failed\n")
        sys.exit(SOME_FAILED)
