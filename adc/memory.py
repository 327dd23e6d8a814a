"""Free memory of the machine or the container. Only the standard library is imported here."""

from __future__ import annotations

from pathlib import Path

UNKNOWN = 4 * 2**30
"""Bytes that are taken for free where the system does not say."""


def available_memory() -> int:
    """Bytes that a process may still take."""
    known = [size for size in (_of_machine(), _of_container()) if size is not None]
    return min(known, default=UNKNOWN)


def _of_machine() -> int | None:
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _of_container() -> int | None:
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return None
