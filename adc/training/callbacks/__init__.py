"""What happens around the steps of a stage; everything counts by a role's updates."""

from adc.training.callbacks.batch import ImagesPerUpdate
from adc.training.callbacks.divergence import Divergence
from adc.training.callbacks.ema import StudentEMA
from adc.training.callbacks.export import Export
from adc.training.callbacks.head_probe import HeadProbe
from adc.training.callbacks.heartbeat import Heartbeat
from adc.training.callbacks.samples import Samples
from adc.training.callbacks.schedule import SaveEvery, StopAfter

__all__ = [
    "Divergence",
    "Export",
    "HeadProbe",
    "Heartbeat",
    "ImagesPerUpdate",
    "Samples",
    "SaveEvery",
    "StopAfter",
    "StudentEMA",
]
