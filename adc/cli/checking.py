"""Recipes read as their commands would read them, without building anything.

``python -m adc.cli.checking JOBS``: JOBS is a JSON list of command lines. Prints what is wrong with the first that is.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module

PROGRAM = [sys.executable, "-m", "adc.cli.checking"]


def check(jobs: Sequence[Sequence[str]]) -> str | None:
    """The complaint of the first command line that is wrong, in one line with its recipe's name; None if none is.

    Libraries are imported once, in a process of its own, so that the caller stays small.
    """
    if not jobs:
        return None
    done = subprocess.run([*PROGRAM, json.dumps([list(job) for job in jobs])], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"the process that reads the recipes ended with status {done.returncode}.")
    return done.stdout.strip() or None


def complaint(arguments: Sequence[str]) -> str | None:
    """What is wrong with the recipe of a command line, in one line that begins with its name; None if nothing is."""
    from adc.cli import COMMANDS
    from adc.cli.parser import Parsed, parsing_only
    from adc.errors import describe

    module, function, _ = COMMANDS[arguments[0]]
    said = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said), parsing_only():
            getattr(import_module(module), function)(list(arguments[1:]))
    except Parsed:
        return None
    except SystemExit:
        text = (said.getvalue().strip().splitlines() or ["the recipe is wrong"])[-1].removeprefix("adc: error: ")
    except Exception as error:
        text = describe(error)
    recipe = arguments[2]
    return text if text.startswith(recipe) else f"{recipe}: {text}"


def first_complaint(jobs: Sequence[Sequence[str]]) -> str | None:
    """The complaint of the first command line that is wrong, found in this process; None if none is."""
    return next((line for job in jobs if (line := complaint(job))), None)


if __name__ == "__main__":
    try:
        print(first_complaint(json.loads(sys.argv[1])) or "")
    except KeyboardInterrupt:
        sys.exit(130)
