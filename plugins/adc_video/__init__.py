"""AdcVSR: a video teacher, and the student made of AdcSR's backbone and temporal convolutions (Chen et al.)."""
