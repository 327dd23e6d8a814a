"""The training loop that all stages share, and restorers at work; what needs Lightning is imported when asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adc.engine.memory import recompute_in

if TYPE_CHECKING:
    from adc.engine.role import Losses, Phase, Role, named
    from adc.engine.stage import Stage

__all__ = ["Losses", "Phase", "Role", "Stage", "named", "recompute_in"]

_HOMES = dict.fromkeys(("Losses", "Phase", "Role", "named"), "adc.engine.role") | {"Stage": "adc.engine.stage"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
