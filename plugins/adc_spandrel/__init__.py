"""Super-resolution networks of the spandrel library as teachers."""

from adc_spandrel.teacher import Spandrel

__all__ = ["Spandrel"]
