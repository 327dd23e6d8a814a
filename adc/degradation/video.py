"""The degradation of clips."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from adc.degradation.base import ReproducibleDegradation
from adc.degradation.codec import CODECS, compress, recode, require_encoders
from adc.degradation.draws import bernoulli, categorical, draw_factor, randint
from adc.degradation.filters import MODES, blur, gaussian_noise, poisson_noise, resize, sharpen
from adc.degradation.kernels import draw_size
from adc.degradation.presets import VIDEO_PRESETS, Range
from adc.degradation.walks import walk, walk_blur, walk_sinc, walk_whole
from adc.ops.clip import to_unit

Frames = list[Tensor]
"""The frames of a clip, ``(1, 3, H, W)`` each in ``[0, 1]``; their sizes may differ while the clip is being spoilt."""


class VideoDegradation(ReproducibleDegradation):
    """Blur, resize, noise, JPEG and video codecs, as RealBasicVSR spoils its clips (arXiv:2111.12704).

    Blur, resize, noise, JPEG, codec; perhaps blur, resize, noise, JPEG; then, in either order, the
    codec, and the resize to the small size with perhaps a sinc filter. Which kernel, resize, noise
    and codec is drawn once for a clip; strengths walk at random from frame to frame. A clip of one
    frame meets no codec and ends with resize and sinc filter, as DOVE (arXiv:2505.16239) spoils
    images. JPEG and codecs want the processors, not a GPU.

    Colours are converted exactly and clamped on the way to a codec. The published scripts cut to whole levels twice and
    convert without accurate rounding, so that their small clips are darker, by 1.9 of 255 (RealBasicVSR) and 3.0
    (DOVE), and wrap around where a blur overshoots; a teacher that was trained on those may brighten ours by as much.
    """

    def __init__(
        self,
        preset: Literal["realbasicvsr", "dove"] = "realbasicvsr",
        scale: int = 4,
        walk: bool = True,
        sharpen: bool | None = None,
        codec_passes: Literal[0, 1, 2] = 2,
        overrides: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            preset: Whose published numbers: dove's are realbasicvsr's, but nothing drifts save the quality of JPEG, and
                Poisson noise is a sixteenth, since its code counts photons of 8-bit values.
            scale: How many times smaller the result is.
            walk: Whether strengths drift by the preset's steps; otherwise all frames of a clip share them.
            sharpen: Whether the small clip is made of a sharpened copy of the truth (unsharp masking).
                The truth itself, which losses and metrics see, stays as it is. Null is the preset's
                habit: realbasicvsr sharpens, dove does not.
            codec_passes: How often a video codec is used; 1 is the one at the end, 0 needs no PyAV.
            overrides: Values to use instead of the preset's, by name, e.g. {bitrate: [50000, 100000]}.
        """
        super().__init__(scale)
        if preset not in VIDEO_PRESETS:
            raise ValueError(f"preset: unknown '{preset}'. There are: {', '.join(VIDEO_PRESETS)}.")
        if codec_passes not in (0, 1, 2):
            raise ValueError(f"codec_passes: {codec_passes} is not 0, 1 or 2.")
        self.preset, self.codec_passes = preset, codec_passes
        self.sharpen = preset == "realbasicvsr" if sharpen is None else sharpen
        values = VIDEO_PRESETS[preset].override(overrides or {})
        self.values = values if walk else values.steady()
        if codec_passes:
            require_encoders(
                name for name, weight in zip(CODECS, self.values.codec_probabilities, strict=True) if weight > 0
            )

    def _degrade(self, hr: Tensor, size: tuple[int, int], generator: Generator) -> Tensor:
        if not hr.isfinite().all():
            raise ValueError("A degradation takes finite pixels; there are NaN or infinite ones in the clip.")
        (height, width), values, passes = size, self.values, self.codec_passes if len(hr) > 1 else 0

        frames = list(to_unit(hr).split(1))
        if self.sharpen:
            frames = [sharpen(frame) for frame in frames]
        frames = self._blur(frames, generator, values.sinc_probability, values.blur_sigma)
        frames = _resize(frames, generator, values.resize_probabilities, values.resize_range, values.resize_step)
        frames = self._noise(frames, generator, values.gaussian_probability, values.noise_sigma, values.poisson_scale)
        frames = self._compress(frames, generator, values.jpeg_quality)
        if passes == 2:
            frames = self._recode(frames, generator)

        if bernoulli(generator, values.second_blur_probability):
            frames = self._blur(frames, generator, values.sinc_probability2, values.blur_sigma2)
        frames = _resize(frames, generator, values.resize_probabilities2, values.resize_range2, values.resize_step2)
        frames = self._noise(
            frames, generator, values.gaussian_probability2, values.noise_sigma2, values.poisson_scale2
        )
        frames = self._compress(frames, generator, values.jpeg_quality2)

        if not passes:
            frames = self._finish(frames, height, width, generator)
        elif bernoulli(generator, 0.5):
            frames = self._finish(self._recode(frames, generator), height, width, generator)
        else:
            frames = self._recode(self._finish(frames, height, width, generator), generator)
        return torch.cat(frames) * 2 - 1

    def _blur(self, frames: Frames, generator: Generator, sinc_probability: float, sigma: Range) -> Frames:
        return _each(blur, frames, walk_blur(generator, len(frames), self.values, sinc_probability, sigma))

    def _noise(
        self, frames: Frames, generator: Generator, gaussian_probability: float, sigma: Range, scale: Range
    ) -> Frames:
        values = self.values
        is_gray = bernoulli(generator, values.gray_probability)
        kind: tuple[bool, ...] = ()
        if bernoulli(generator, gaussian_probability):
            add, strengths = gaussian_noise, walk(generator, sigma, values.noise_sigma_step, len(frames))
        else:
            add, strengths = poisson_noise, walk(generator, scale, values.poisson_scale_step, len(frames))
            kind = (self.preset == "dove",)
        return _each(lambda frame, strength: add(frame, strength, is_gray, generator, *kind), frames, strengths)

    def _compress(self, frames: Frames, generator: Generator, quality: tuple[int, int]) -> Frames:
        return _each(compress, frames, walk_whole(generator, quality, self.values.jpeg_quality_step, len(frames)))

    def _recode(self, frames: Frames, generator: Generator) -> Frames:
        codec = CODECS[categorical(generator, self.values.codec_probabilities)]
        return recode(frames, codec, randint(generator, *self.values.bitrate))

    def _finish(self, frames: Frames, height: int, width: int, generator: Generator) -> Frames:
        mode = MODES[randint(generator, 0, len(MODES) - 1)]
        frames = [resize(frame, height, width, mode) for frame in frames]
        if not bernoulli(generator, self.values.final_sinc_probability):
            return frames
        size = draw_size(generator, self.values.kernel_sizes)
        return _each(blur, frames, walk_sinc(generator, len(frames), size, math.pi / 3, self.values.cutoff_step))


def _each(function: Callable[[Tensor, Any], Tensor], frames: Frames, strengths: list[Any]) -> Frames:
    """One frame at a time: sizes may differ, and the processor's cache holds one frame but not a clip."""
    return [function(frame, strength) for frame, strength in zip(frames, strengths, strict=True)]


def _resize(
    frames: Frames, generator: Generator, probabilities: tuple[float, ...], limits: Range, step: float
) -> Frames:
    """Resize every frame to a multiple of the first one's size, rounded down to even sides."""
    mode = MODES[randint(generator, 0, len(MODES) - 1)]
    factors = walk(generator, limits, step, len(frames), draw_factor(generator, probabilities, limits))
    height, width = frames[0].shape[-2:]
    return _each(lambda frame, by: resize(frame, _even(height * by), _even(width * by), mode), frames, factors)


def _even(length: float) -> int:
    return max(2, 2 * int(length // 2))
