"""Functions as commands: arguments from the signature, help from the docstring, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def run(function: Callable[..., Any]) -> int:
    """Call a function with the arguments of the command line.

    Returns:
        The exit status: 0, or 1 after an error that names file and reason.
    """
    from jsonargparse import auto_cli

    try:
        auto_cli(function, as_positional=True)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{function.__name__}: error: {error}\n")
        return 1
    return 0
