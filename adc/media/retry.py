"""Reading from file systems that fail for a moment."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import TypeVar

TRIES = 5
"""How often a read is tried."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds before the second try, and the most between two: each wait is twice the one before, 1.5 s in all."""
_NAMES = (
    "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EINTR", "EBUSY", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "ENOTCONN",
    "EPIPE", "EREMOTEIO", "ENOLINK", "ECOMM", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET",
)  # fmt: skip
TRANSIENT = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))
"""Errors of a device or a network that may pass; one of a file that is missing, closed to us or no image does not."""
T = TypeVar("T")
log = logging.getLogger(__name__)


def retried(read: Callable[[], T], path: object) -> T:
    """What a function reads; if the file system fails for a moment, it is called again, after ever longer waits.

    Args:
        read: Reads from the beginning each time it is called.
        path: The file, for the warnings.

    Raises:
        Exception: What the last try raised, or the first error that is none of `TRANSIENT`.
    """
    wait = FIRST_WAIT
    for number in range(2, TRIES + 1):
        try:
            return read()
        except Exception as error:  # FFmpeg's errors are no OSError, but have its numbers
            if getattr(error, "errno", None) not in TRANSIENT:
                raise
            reason = getattr(error, "strerror", None) or error
            log.warning("%s: %s; reading it again in %.1f s (try %d of %d)", path, reason, wait, number, TRIES)
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
    return read()
