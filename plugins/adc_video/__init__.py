"""AdcVSR: a video teacher, and the student made of AdcSR's backbone and temporal convolutions (Chen et al.)."""

from adc_video.dove import DOVE
from adc_video.student import AdcVSRStudent

__all__ = ["DOVE", "AdcVSRStudent"]
