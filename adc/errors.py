"""Errors for users, and errors in one line. Only the standard library is imported here."""

from __future__ import annotations

import difflib
import errno
import importlib.util
import os
import re
import sys
from collections.abc import Iterable
from types import TracebackType

PLACE = "adc_place"
MEANT = (ValueError, OSError, ImportError, NotImplementedError)
"""Kinds of errors that are raised on purpose; others are bugs, of `adc`, a plugin or a library."""


class UsageError(ValueError):
    """The command line or the recipe is wrong: exit status 2."""


def missing_extra(component: type) -> str | None:
    """What a component lacks of the libraries in its ``extras``, in one line with the way out; None if nothing."""
    for package, extra in getattr(component, "extras", {}).items():
        if importlib.util.find_spec(package) is None:
            return f"{component.__name__} needs the {package} library: pip install 'adc[{extra}]'."
    return None


OF_FILES = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR)
"""What a system says of a file, which is clear whoever asked."""


def debugging() -> bool:
    """Whether full tracebacks were asked for."""
    return os.environ.get("ADC_DEBUG", "0") not in {"", "0"}


def describe(error: BaseException) -> str:
    """An error in one line.

    An error that was not raised by `adc` or a plugin on purpose may be a bug: the line then
    says how to see where it came from. Where a place was named (`name_place`), the line begins with it.
    """
    place = getattr(error, PLACE, None)
    return masked(_line(error) if place is None else f"{place}: {_line(error)}")


def name_place(error: BaseException, place: str) -> None:
    """Let the line of an error begin with a place, for one the rank of a job of several processes."""
    setattr(error, PLACE, place)


def _line(error: BaseException) -> str:
    text = str(error).strip()
    if text.startswith("Caught ") and "Original Traceback" in text:
        text = text.splitlines()[-1].partition(": ")[2] or text.splitlines()[-1]
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    line = " ".join(text.split()) or type(error).__name__
    return line if _is_deliberate(error) else f"{line} ({type(error).__name__}{_where(error)}; ADC_DEBUG=1 shows where)"


def _where(error: BaseException) -> str:
    """The file and line that an error of a kind that nobody raises on purpose came from."""
    if isinstance(error, MEANT) or (step := _last(error)) is None:
        return ""
    folder, name = os.path.split(step.tb_frame.f_code.co_filename)
    return f" at {os.path.basename(folder)}/{name}:{step.tb_lineno}"  # noqa: PTH119


SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$|^KEY_|API_?KEY|PRIVATE", re.IGNORECASE)
"""Names of environment variables whose values are for nobody else."""


def masked(text: str) -> str:
    """A text in which values of secret environment variables stand as ``${oc.env:NAME}``, which a recipe reads again.

    Secret are those whose names say so (`SECRET`) and that have at least eight characters.
    """
    found = {value: name for name, value in os.environ.items() if len(value) >= 8 and SECRET.search(name)}
    for value in sorted(found, key=len, reverse=True):
        text = text.replace(value, f"${{oc.env:{found[value]}}}")
    return text


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is none of the known ones: the nearest of them, or all."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."


def _last(error: BaseException) -> TracebackType | None:
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step


def _is_deliberate(error: BaseException) -> bool:
    if isinstance(error, UsageError):
        return True
    if isinstance(error, OSError) and error.filename is not None and error.errno in OF_FILES:
        return True
    if not isinstance(error, MEANT):
        return False
    if files := re.findall(r'File "([^"]+)"', str(error)):  # a worker's error, with its traceback as text
        return os.path.dirname(__file__) in files[-1]  # noqa: PTH120
    step = _last(error)
    package = step.tb_frame.f_globals.get("__name__", "").partition(".")[0] if step is not None else ""
    if package == "adc":
        return True
    registry = sys.modules.get("adc.registry")
    return registry is not None and registry.origin(package) != package
