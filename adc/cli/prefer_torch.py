"""Prefer torch's class when another installed package has one of the same name."""

from __future__ import annotations

from functools import wraps
from typing import Any

from jsonargparse import _typehints

from adc import registry


def prefer_torch() -> None:
    """Resolve short names such as ``Adam`` to torch's class.

    Importing peft imports bitsandbytes, whose optimizers have torch's names; then every recipe
    that says ``Adam`` would be ambiguous. Classes of adc and of plugins still are, and say so.
    """
    every = _typehints.get_all_subclass_paths
    if getattr(every, "prefers_torch", False):
        return

    @wraps(every)
    def preferred(*args: Any, **options: Any) -> list[str]:
        paths = every(*args, **options)
        names = {_name(path) for path in paths if path.startswith("torch.")}
        return [path for path in paths if path.startswith("torch.") or _name(path) not in names or _is_ours(path)]

    preferred.prefers_torch = True  # type: ignore[attr-defined]
    _typehints.get_all_subclass_paths = preferred


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _is_ours(path: str) -> bool:
    package = path.partition(".")[0]
    return package == "adc" or registry.origin(path.rpartition(".")[0]) != package
