"""The published settings of the second-order degradation, and of that of clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

Range = tuple[float, float]


@dataclass(frozen=True)
class SecondOrderValues:
    """Every number of a second-order degradation; the fields that end in 2 belong to the second round.

    Attributes:
        kernel_sizes: Odd sizes of blur kernels, lowest and highest.
        kernel_probabilities: Isotropic, anisotropic, generalised isotropic, generalised
            anisotropic, plateau isotropic, plateau anisotropic.
        sinc_probability: Chance that a blur is a sinc filter.
        sinc_probability2: The same in the second round.
        final_sinc_probability: Chance of the sinc filter at the end.
        blur_sigma: Standard deviation of blurs, in pixels.
        blur_sigma2: The same in the second round.
        beta_gaussian: Exponent of generalised Gaussians.
        beta_plateau: Exponent of plateaus.
        second_blur_probability: Chance that the second round blurs.
        resize_probabilities: Larger, smaller, unchanged.
        resize_probabilities2: The same in the second round.
        resize_range: Smallest and largest factor.
        resize_range2: The same in the second round, on top of the division by the scale.
        gaussian_probability: Chance that noise is Gaussian; Poisson otherwise.
        gaussian_probability2: The same in the second round.
        noise_sigma: Standard deviation of Gaussian noise, in steps of 8-bit values.
        noise_sigma2: The same in the second round.
        poisson_scale: Multiplier of Poisson noise.
        poisson_scale2: The same in the second round.
        gray_probability: Chance that noise is the same in the three channels.
        jpeg_quality: Quality of the first JPEG.
        jpeg_quality2: Quality of the second JPEG.
    """

    kernel_sizes: tuple[int, int] = (7, 21)
    kernel_probabilities: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sinc_probability: float = 0.1
    sinc_probability2: float = 0.1
    final_sinc_probability: float = 0.8
    blur_sigma: Range = (0.2, 3.0)
    blur_sigma2: Range = (0.2, 1.5)
    beta_gaussian: Range = (0.5, 4.0)
    beta_plateau: Range = (1.0, 2.0)
    second_blur_probability: float = 0.8
    resize_probabilities: tuple[float, ...] = (0.2, 0.7, 0.1)
    resize_probabilities2: tuple[float, ...] = (0.3, 0.4, 0.3)
    resize_range: Range = (0.15, 1.5)
    resize_range2: Range = (0.3, 1.2)
    gaussian_probability: float = 0.5
    gaussian_probability2: float = 0.5
    noise_sigma: Range = (1.0, 30.0)
    noise_sigma2: Range = (1.0, 25.0)
    poisson_scale: Range = (0.05, 3.0)
    poisson_scale2: Range = (0.05, 2.5)
    gray_probability: float = 0.4
    jpeg_quality: tuple[int, int] = (30, 95)
    jpeg_quality2: tuple[int, int] = (30, 95)

    def __post_init__(self) -> None:
        """Check every value against its kind, which follows from its name and its default."""
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.default)
        if any(size % 2 == 0 for size in self.kernel_sizes):
            raise ValueError(f"kernel_sizes: {self.kernel_sizes} must be odd.")
        for name in ("beta_gaussian", "beta_plateau", "resize_range", "resize_range2"):
            low, high = getattr(self, name)
            if not low <= 1 <= high:
                raise ValueError(f"{name}: [{low}, {high}] must contain 1.")

    def override(self, values: Mapping[str, Any]) -> Self:
        """A copy with other values; lists become tuples.

        Raises:
            ValueError: If a name is unknown or a value is of the wrong kind.
        """
        names = [field.name for field in fields(self)]
        for name in values:
            if name not in names:
                close = get_close_matches(name, names, 1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise ValueError(f"overrides: unknown value '{name}'.{hint} There are: {', '.join(names)}.")
        return replace(
            self, **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        )


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


_ALLOWED = {"kernel_sizes": (1, 101), "jpeg_quality": (1, 100), "jpeg_quality2": (1, 100), "bitrate": (1000, 10**9)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check(name: str, value: Any, default: Any) -> None:
    if name.endswith(("_step", "_step2")):
        if not _is_number(value) or not 0 <= value < float("inf"):
            raise ValueError(f"{name}: {value!r} is not a number of at least 0.")
        return
    if not isinstance(default, tuple):
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"{name}: {value!r} is not a probability in [0, 1].")
        return
    if not isinstance(value, tuple) or len(value) != len(default) or not all(map(_is_number, value)):
        raise ValueError(f"{name}: {value!r} is not a list of {len(default)} numbers.")
    if "probabilities" in name:
        if min(value) < 0 or sum(value) <= 0:
            raise ValueError(f"{name}: {list(value)} are not probabilities.")
        return
    lowest, highest = _ALLOWED.get(name, (0.0, float("inf")))
    must_be_positive = name.startswith(("blur_sigma", "resize_range", "beta"))
    if not lowest <= value[0] <= value[1] <= highest or (must_be_positive and value[0] <= 0):
        raise ValueError(f"{name}: {list(value)} is not a range [low, high] of allowed values.")
    if isinstance(default[0], int) and not all(isinstance(number, int) for number in value):
        raise ValueError(f"{name}: {list(value)} must be whole numbers.")


REAL_ESRGAN = SecondOrderValues()

PISASR = replace(
    REAL_ESRGAN,
    second_blur_probability=0.5,
    resize_range=(0.3, 1.5),
    resize_range2=(0.6, 1.2),
    noise_sigma=(1.0, 15.0),
    noise_sigma2=(1.0, 12.0),
    poisson_scale=(0.05, 2.0),
    poisson_scale2=(0.05, 1.0),
    jpeg_quality=(60, 95),
    jpeg_quality2=(60, 100),
)

ADCSR = replace(
    PISASR, blur_sigma=(0.2, 1.5), blur_sigma2=(0.2, 1.0), beta_gaussian=(0.5, 2.0), beta_plateau=(1.0, 1.5)
)

PRESETS = {"adcsr": ADCSR, "pisasr": PISASR, "real-esrgan": REAL_ESRGAN}
"""``real-esrgan`` is OSEDiff's setting, ``pisasr`` that of PiSA-SR, ``adcsr`` that of AdcSR.

Real-ESRGAN's own has the same numbers and degrades a sharpened copy of HR: ``SecondOrder(sharpen=True)``.
"""

REALBASICVSR = VideoValues()

DOVE = replace(REALBASICVSR.steady(), jpeg_quality_step=3.0)

VIDEO_PRESETS = {"realbasicvsr": REALBASICVSR, "dove": DOVE}
"""``realbasicvsr`` is the setting of its paper (arXiv:2111.12704), ``dove`` that of DOVE (arXiv:2505.16239).

DOVE's Poisson noise counts photons of 8-bit values: a sixteenth of the noise of ``realbasicvsr`` at the same scale.
"""
