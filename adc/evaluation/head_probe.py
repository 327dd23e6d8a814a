"""Losses of discriminator heads on clips of several kinds, as a stage wrote them into its run folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from adc import runs

HEADS = "heads.json"
Heads = dict[str, dict[str, dict[str, float]]]
"""By domain and head a loss for each kind of clip: ``{"pixel": {"detail": {"video": 0.4, "blurred": 1.2}}}``."""


def read_heads(run: str | Path) -> Heads:
    """The content of ``heads.json`` of a run folder; empty if it is not there.

    Raises:
        ValueError: If it is of another form or holds a loss that is not finite.
    """
    path = Path(run, HEADS)
    content = runs.read_json(path)
    if content is None:
        return {}
    for domain, heads in _mapping(path, "the file", content).items():
        for head, losses in _mapping(path, domain, heads).items():
            name = f"{domain}.{head}"
            for variant, loss in _mapping(path, name, losses).items():
                if isinstance(loss, bool) or not isinstance(loss, int | float) or not math.isfinite(loss):
                    what = f"{name}.{variant} is {loss!r}, no finite number"
                    raise ValueError(f"{path}: {what}; delete the file to go on.")
    return content


def table_of(heads: Heads) -> dict[str, Any]:
    """A row for each head and a column for each kind of clip, for the page."""
    rows = [(f"{domain}: {head}", losses) for domain, named in heads.items() for head, losses in named.items()]
    variants = list(dict.fromkeys(variant for _, losses in rows for variant in losses))
    return {
        "head": ["", *variants],
        "rows": [[name, *(f"{losses[v]:.3f}" if v in losses else "" for v in variants)] for name, losses in rows],
    }


def _mapping(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(
            f"{path}: {name} is {str(value)[:40]!r}; expected losses by domain, head and kind of clip. "
            "Delete the file to go on."
        )
    return value
