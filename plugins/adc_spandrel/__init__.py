"""Super-resolution networks of the spandrel library as teachers and as students."""

from adc_spandrel.student import SpandrelStudent
from adc_spandrel.teacher import Spandrel

__all__ = ["Spandrel", "SpandrelStudent"]
