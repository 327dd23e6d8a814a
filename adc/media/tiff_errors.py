"""Errors of libtiff, which writes them to the terminal unless somebody takes them."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from PIL import Image

LONGEST = 300
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_local = threading.local()


@contextmanager
def tiff_errors() -> Iterator[list[str]]:
    """What libtiff, as Pillow uses it, reports in this thread until the block ends; nothing of it is printed."""
    take_over()
    before, _local.found = getattr(_local, "found", None), []
    try:
        yield _local.found
    finally:
        _local.found = before


@cache
def take_over() -> Any:
    """Let libtiff report here instead of on the terminal; None where Pillow has no libtiff of its own to reach.

    Once in a process. What is returned are functions that libtiff calls, which must not be freed.
    """
    try:
        library = ctypes.CDLL(Image.core.__file__)
        set_errors, set_warnings = library.TIFFSetErrorHandler, library.TIFFSetWarningHandler
        formatted = ctypes.CDLL(None).vsnprintf
    except (AttributeError, OSError, TypeError):
        return None
    formatted.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]

    def note(module: bytes | None, text: bytes | None, arguments: int | None) -> None:
        found: list[str] | None = getattr(_local, "found", None)
        if found is not None:
            buffer = ctypes.create_string_buffer(LONGEST)
            formatted(buffer, LONGEST, text, arguments)
            found.append(buffer.value.decode(errors="replace").strip().rstrip("."))

    handler = _HANDLER(note)
    for change, value in ((set_errors, handler), (set_warnings, None)):
        change.restype, change.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        change(ctypes.cast(value, ctypes.c_void_p) if value is not None else None)
    return handler
