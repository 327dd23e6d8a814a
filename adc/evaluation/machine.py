"""The machine that figures were measured on."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from adc import __version__


def machine() -> dict[str, Any]:
    """Versions, processor, threads and the time, as plain data."""
    return {
        "adc": __version__,
        "torch": torch.__version__,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
