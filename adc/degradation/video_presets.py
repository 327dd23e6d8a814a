"""The published settings of the degradation of clips."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from adc.degradation.presets import SecondOrderValues


@dataclass(frozen=True)
class VideoValues(SecondOrderValues):
    """Every number of the degradation of clips; those of `SecondOrderValues`, and what time adds.

    ``resize_range2`` is that of the clip as the first round left it; the scale does not enter.
    Steps are the largest changes between two frames, in the unit of what changes.

    Attributes:
        blur_sigma_step: Of both rounds.
        angle_step: Of the axes of blurs, in radians, both rounds.
        beta_gaussian_step: Of both rounds.
        beta_plateau_step: Of both rounds.
        cutoff_step: Of all sinc filters.
        resize_step: Of the factor.
        resize_step2: The same in the second round.
        noise_sigma_step: Of both rounds.
        poisson_scale_step: Of both rounds.
        jpeg_quality_step: Of both rounds.
        codec_probabilities: libx264, h264, mpeg4.
        bitrate: Of a codec, in bits per frame; at least 1000.
    """

    blur_sigma_step: float = 0.02
    angle_step: float = 0.31416
    beta_gaussian_step: float = 0.05
    beta_plateau_step: float = 0.1
    cutoff_step: float = 0.0628
    resize_step: float = 0.015
    resize_step2: float = 0.03
    noise_sigma_step: float = 0.1
    poisson_scale_step: float = 0.005
    jpeg_quality_step: float = 3.0
    codec_probabilities: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    bitrate: tuple[int, int] = (10_000, 100_000)

    def steady(self) -> VideoValues:
        """A copy in which nothing drifts."""
        return replace(self, **{field.name: 0.0 for field in fields(self) if "_step" in field.name})


REALBASICVSR = VideoValues()

DOVE = replace(REALBASICVSR.steady(), jpeg_quality_step=3.0)

VIDEO_PRESETS = {"realbasicvsr": REALBASICVSR, "dove": DOVE}
"""``realbasicvsr`` is the setting of its paper (arXiv:2111.12704), ``dove`` that of DOVE (arXiv:2505.16239)."""
