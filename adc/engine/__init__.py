"""The training loop that all stages share."""

from adc.engine.memory import recompute_in
from adc.engine.role import Losses, Phase, Role, named
from adc.engine.stage import Stage

__all__ = ["Losses", "Phase", "Role", "Stage", "named", "recompute_in"]
