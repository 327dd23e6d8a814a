"""The training loop that all stages share, and restorers at work; what needs Lightning is imported when asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adc.training.memory import enable_gradient_checkpointing

if TYPE_CHECKING:
    from adc.training.role import Losses, Phase, Role, unique_names
    from adc.training.sharded_strategy import ShardedStrategy
    from adc.training.stage import Stage

__all__ = ["Losses", "Phase", "Role", "ShardedStrategy", "Stage", "enable_gradient_checkpointing", "unique_names"]

_HOMES = dict.fromkeys(("Losses", "Phase", "Role", "unique_names"), "adc.training.role") | {
    "ShardedStrategy": "adc.training.sharded_strategy",
    "Stage": "adc.training.stage",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
