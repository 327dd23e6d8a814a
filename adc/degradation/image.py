"""Degradations of images; the frames of a clip share every drawn parameter."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch.nn.functional as F
from torch import Generator, Tensor

from adc.degradation.base import ReproducibleDegradation
from adc.degradation.codec import compress
from adc.degradation.diff_jpeg import diff_compress
from adc.degradation.draws import bernoulli, draw_factor, randint, uniform
from adc.degradation.filters import MODES, blur, gaussian_noise, poisson_noise, resize, sharpen
from adc.degradation.kernels import draw_blur, draw_sinc, draw_size
from adc.degradation.presets import PRESETS, Range
from adc.ops.clip import to_unit


class SecondOrder(ReproducibleDegradation):
    """Two rounds of blur, resize, noise and JPEG, as Real-ESRGAN spoils its photos (arXiv:2107.10833).

    Blur, resize, noise, JPEG; perhaps blur, resize, noise; then, in either order, the resize to
    the small size with a last sinc filter, and JPEG. Frames share the drawn parameters; each has
    noise of its own.

    JPEG is DiffJPEG's law, as in the training scripts of Real-ESRGAN, OSEDiff, PiSA-SR and AdcSR: their numbers were
    chosen with it, and teachers know it. Real files (libjpeg) have 5 to 7 dB less detail in chroma at the same quality.
    """

    def __init__(
        self,
        preset: Literal["adcsr", "pisasr", "real-esrgan"] = "adcsr",
        scale: int = 4,
        overrides: dict[str, Any] | None = None,
        jpeg: Literal["diff", "libjpeg"] = "diff",
        sharpen: bool = False,
    ) -> None:
        """
        Args:
            preset: Whose published numbers: real-esrgan is the harshest, in OSEDiff's order: Real-ESRGAN's own takes
                ``sharpen: true`` besides; adcsr is the mildest.
            scale: How many times smaller the result is.
            overrides: Values to use instead of the preset's, by name, e.g. {jpeg_quality: [80, 95]}.
            jpeg: diff computes JPEG as DiffJPEG does, at any quality, where the frames are; libjpeg writes and reads
                files of whole qualities on the processors, as cameras and web pages do.
            sharpen: Make the small clip of a sharpened copy of HR (unsharp masking with Real-ESRGAN's constants:
                radius 50, amount 0.5, threshold 10). HR itself, which losses and metrics see, stays as it is.
        """
        super().__init__(scale)
        if preset not in PRESETS:
            raise ValueError(f"preset: unknown '{preset}'. There are: {', '.join(PRESETS)}.")
        if jpeg not in ("diff", "libjpeg"):
            raise ValueError(f"jpeg: unknown '{jpeg}'. There are: diff, libjpeg.")
        self.jpeg, self.sharpen = jpeg, sharpen
        self.values = PRESETS[preset].override(overrides or {})

    def _degrade(self, hr: Tensor, size: tuple[int, int], generator: Generator) -> Tensor:
        values, (height, width) = self.values, size

        frames = sharpen(to_unit(hr)) if self.sharpen else to_unit(hr)
        frames = blur(frames, draw_blur(generator, values, values.sinc_probability, values.blur_sigma))
        factor = draw_factor(generator, values.resize_probabilities, values.resize_range)
        frames = _resize(frames, frames.shape[-2] * factor, frames.shape[-1] * factor, generator)
        frames = self._noise(frames, generator, values.gaussian_probability, values.noise_sigma, values.poisson_scale)
        frames = self._compress(frames, self._quality(generator, values.jpeg_quality))

        if bernoulli(generator, values.second_blur_probability):
            frames = blur(frames, draw_blur(generator, values, values.sinc_probability2, values.blur_sigma2))
        factor = draw_factor(generator, values.resize_probabilities2, values.resize_range2)
        frames = _resize(frames, height * factor, width * factor, generator)
        frames = self._noise(
            frames, generator, values.gaussian_probability2, values.noise_sigma2, values.poisson_scale2
        )

        quality = self._quality(generator, values.jpeg_quality2)
        if bernoulli(generator, 0.5):
            frames = self._compress(self._finish(frames, height, width, generator), quality)
        else:
            frames = self._finish(self._compress(frames, quality), height, width, generator)
        return frames * 2 - 1

    def _quality(self, generator: Generator, limits: tuple[int, int]) -> float:
        return uniform(generator, *limits) if self.jpeg == "diff" else randint(generator, *limits)

    def _compress(self, frames: Tensor, quality: float) -> Tensor:
        return diff_compress(frames, quality) if self.jpeg == "diff" else compress(frames, int(quality))

    def _noise(
        self, frames: Tensor, generator: Generator, gaussian_probability: float, sigma: Range, scale: Range
    ) -> Tensor:
        is_gray = bernoulli(generator, self.values.gray_probability)
        if bernoulli(generator, gaussian_probability):
            return gaussian_noise(frames, uniform(generator, *sigma), is_gray, generator)
        return poisson_noise(frames, uniform(generator, *scale), is_gray, generator)

    def _finish(self, frames: Tensor, height: int, width: int, generator: Generator) -> Tensor:
        frames = _resize(frames, height, width, generator)
        if bernoulli(generator, self.values.final_sinc_probability):
            frames = blur(frames, draw_sinc(generator, draw_size(generator, self.values.kernel_sizes), math.pi / 3))
        return frames


def _resize(frames: Tensor, height: float, width: float, generator: Generator) -> Tensor:
    return resize(frames, int(height), int(width), MODES[randint(generator, 0, len(MODES) - 1)])


class BicubicDown(ReproducibleDegradation):
    """Antialiased bicubic reduction (a = -0.5, as Pillow and MATLAB do it), rounded to 8 bits.

    With noise it is the classical noisy reduction of SRMD (Zhang et al., 2018): white Gaussian
    noise of the small clip, its standard deviation drawn uniformly.
    """

    def __init__(self, scale: int = 4, noise_sigma: tuple[float, float] = (0.0, 0.0)) -> None:
        """
        Args:
            scale: How many times smaller the result is.
            noise_sigma: Lowest and highest standard deviation of the noise, in steps of 8-bit values; 0 adds none.
        """
        super().__init__(scale)
        low, high = noise_sigma
        if not 0 <= low <= high:
            raise ValueError(
                f"noise_sigma: {list(noise_sigma)} must be two numbers of at least 0, the lower one first."
            )
        self.noise_sigma = (low, high)

    def _degrade(self, hr: Tensor, size: tuple[int, int], generator: Generator) -> Tensor:
        small = F.interpolate(hr.float(), size=size, mode="bicubic", antialias=True)
        if self.noise_sigma[1] > 0:
            sigma = uniform(generator, *self.noise_sigma)
            small = gaussian_noise(to_unit(small), sigma, False, generator) * 2 - 1
        return small


class NoDegradation(ReproducibleDegradation):
    """The clip itself, rounded to 8 bits; its scale is 1."""

    def __init__(self) -> None:
        super().__init__(1)

    def _degrade(self, hr: Tensor, size: tuple[int, int], generator: Generator) -> Tensor:
        return hr
