"""Super-resolution networks of the spandrel library as teachers and as students, and Real-ESRGAN's discriminator."""

from adc_spandrel.discriminator import SpectralUNetDiscriminator
from adc_spandrel.student import SpandrelStudent
from adc_spandrel.teacher import Spandrel

__all__ = ["Spandrel", "SpandrelStudent", "SpectralUNetDiscriminator"]
