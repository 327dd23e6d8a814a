"""AdcVSR: a video teacher, and the student made of AdcSR's backbone and temporal convolutions (Chen et al.)."""

from adc_video.dove import DOVE

__all__ = ["DOVE"]
