"""Strengths that drift from frame to frame, as in RealBasicVSR (arXiv:2111.12704)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Generator, Tensor

from adc.degradation.draws import bernoulli, categorical, randint, uniform
from adc.degradation.kernels import KINDS, draw_size, lowest_cutoff, of_kind, sinc
from adc.degradation.presets import VideoValues


def walk(
    generator: Generator, limits: Sequence[float], step: float, frames: int, start: float | None = None
) -> list[float]:
    """A number for each frame: each is the one before it plus a draw from ``[-step, step)``, kept within limits.

    Args:
        generator: The only source of randomness; a step of 0 draws nothing.
        limits: Lowest and highest number.
        step: Largest change between two frames.
        frames: How many numbers.
        start: The first; drawn uniformly between the limits if none.
    """
    low, high = limits
    numbers = [uniform(generator, low, high) if start is None else start]
    while len(numbers) < frames:
        change = uniform(generator, -step, step) if step else 0.0
        numbers.append(min(max(numbers[-1] + change, low), high))
    return numbers


def walk_whole(generator: Generator, limits: Sequence[int], step: float, frames: int) -> list[int]:
    """`walk` on whole numbers: every one is rounded before the next step."""
    numbers = [randint(generator, *limits)]
    while len(numbers) < frames:
        numbers.append(round(walk(generator, limits, step, 2, numbers[-1])[1]))
    return numbers


def walk_blur(
    generator: Generator, frames: int, values: VideoValues, sinc_probability: float, sigma: Sequence[float]
) -> list[Tensor]:
    """A blur kernel for each frame: kind and size are those of the clip, the parameters drift.

    Exponents are the drifting number itself. (The published code draws them anew for each frame,
    between that number and 1.)

    Args:
        generator: The only source of randomness.
        frames: How many kernels.
        values: Sizes, probabilities of kinds, ranges of exponents, and all steps.
        sinc_probability: Chance that the kernels are sinc filters.
        sigma: Range of the standard deviations.

    Returns:
        Kernels ``(size, size)``.
    """
    size = draw_size(generator, values.kernel_sizes)
    if bernoulli(generator, sinc_probability):
        return walk_sinc(generator, frames, size, lowest_cutoff(size), values.cutoff_step)
    kind = KINDS[categorical(generator, values.kernel_probabilities)]
    first = second = walk(generator, sigma, values.blur_sigma_step, frames)
    angles, betas = [0.0] * frames, [1.0] * frames
    if kind.endswith("anisotropic"):
        second = walk(generator, sigma, values.blur_sigma_step, frames)
        angles = walk(generator, (-math.pi, math.pi), values.angle_step, frames)
    if kind.startswith("generalised"):
        betas = walk(generator, values.beta_gaussian, values.beta_gaussian_step, frames)
    elif kind.startswith("plateau"):
        betas = walk(generator, values.beta_plateau, values.beta_plateau_step, frames)
    return [of_kind(kind, size, *each) for each in zip(first, second, angles, betas, strict=True)]


def walk_sinc(generator: Generator, frames: int, size: int, lowest: float, step: float) -> list[Tensor]:
    """A sinc filter for each frame, its cut-off drifting between ``lowest`` and pi."""
    return [sinc(size, cutoff) for cutoff in walk(generator, (lowest, math.pi), step, frames)]
