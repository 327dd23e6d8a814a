"""Networks that a recipe names, built from their class and arguments."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeVar

from adc.components import components
from adc.errors import UsageError, describe, missing_extra

T = TypeVar("T")


def build(node: Any, kind: type[T]) -> T:
    """The component of a recipe's node.

    Args:
        node: ``{class_path: NAME, init_args: {...}}`` of plain data; NAME is a short name or a class path.
        kind: What it must be.

    Raises:
        UsageError: If its library is missing, or it refuses its arguments.
    """
    name = str(node["class_path"])
    path = next((one.path for one in components() if name in (one.name, one.path)), name)
    module, _, last = path.rpartition(".")
    found = getattr(import_module(module), last)
    if (missing := missing_extra(found)) is not None:
        raise UsageError(missing)
    try:
        built = found(**node.get("init_args", {}))
    except (ValueError, OSError, ImportError) as error:
        raise UsageError(describe(error)) from error
    if not isinstance(built, kind):
        raise TypeError(f"{name} is no {kind.__name__}")
    return built
