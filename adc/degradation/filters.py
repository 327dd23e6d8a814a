"""Blur, resize and noise of frames ``(T, 3, H, W)``; pixels in ``[0, 1]``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adc.degradation.kernels import gaussian
from adc.ops.color import brightness

MODES = ("area", "bilinear", "bicubic")
"""The ways in which `resize` interpolates; none of them antialiased but ``area``."""


def reflected(length: int, before: int, after: int) -> Tensor:
    """Indices that continue ``0 .. length - 1`` on both sides by mirroring at the outermost pixels, however far."""
    if length == 1:
        return torch.zeros(before + 1 + after, dtype=torch.long)
    period = 2 * (length - 1)
    index = torch.arange(-before, length + after).remainder(period)
    return torch.minimum(index, period - index)


def blur(frames: Tensor, kernel: Tensor) -> Tensor:
    """Filter every channel with one odd square kernel, mirrored at the borders (correlation, through an FFT).

    Args:
        frames: ``(T, C, H, W)``.
        kernel: ``(k, k)``.

    Returns:
        ``(T, C, H, W)``.
    """
    size = kernel.shape[-1]
    height, width = frames.shape[-2:]
    padded = _mirrored(frames, size // 2)
    shape = tuple(_fast_length(length) for length in padded.shape[-2:])
    spectrum = torch.fft.rfft2(padded, s=shape) * torch.fft.rfft2(kernel.to(frames).flip(-2, -1), s=shape)
    filtered = torch.fft.irfft2(spectrum, s=shape)
    return filtered[..., size - 1 : size - 1 + height, size - 1 : size - 1 + width].contiguous()


def _fast_length(length: int) -> int:
    from scipy.fft import next_fast_len

    return 2 * next_fast_len(-(-length // 2), real=True)  # pyright: ignore[reportOperatorIssue]


def _mirrored(frames: Tensor, margin: int) -> Tensor:
    height, width = frames.shape[-2:]
    if margin < min(height, width):
        return F.pad(frames, (margin,) * 4, mode="reflect")
    rows = reflected(height, margin, margin).to(frames.device)
    columns = reflected(width, margin, margin).to(frames.device)
    return frames.index_select(-2, rows).index_select(-1, columns)


def sharpen(frames: Tensor, weight: float = 0.5, threshold: float = 10.0) -> Tensor:
    """Unsharp masking of strong detail with soft transitions, as Real-ESRGAN and RealBasicVSR prepare the truth.

    The blur is a Gaussian of 51 pixels and standard deviation 8, OpenCV's choice for that size.

    Args:
        frames: ``(T, C, H, W)`` in ``[0, 1]``.
        weight: How much of the detail is added.
        threshold: Weakest detail that is sharpened, in steps of 8-bit values.

    Returns:
        ``(T, C, H, W)`` in ``[0, 1]``.
    """
    kernel = gaussian(51, 8.0, 8.0)
    detail = frames - blur(frames, kernel)
    where = blur((detail.abs() * 255 > threshold).to(frames), kernel)
    sharp = (frames + weight * detail).clamp(0, 1)
    return (where * sharp + (1 - where) * frames).clamp(0, 1)


def resize(frames: Tensor, height: int, width: int, mode: str) -> Tensor:
    """Resize to a height and a width, at least one pixel each, in one of `MODES`."""
    size = (max(1, height), max(1, width))
    if tuple(frames.shape[-2:]) == size:
        return frames
    return F.interpolate(frames, size=size, mode=mode)


def gaussian_noise(frames: Tensor, sigma: float, is_gray: bool, generator: Generator) -> Tensor:
    """Add white noise and clamp.

    Args:
        frames: ``(T, 3, H, W)`` in ``[0, 1]``.
        sigma: Standard deviation in steps of 8-bit values.
        is_gray: Whether the three channels get the same noise.
        generator: The only source of randomness; frames get noise of their own.
    """
    template = frames[:, :1] if is_gray else frames
    noise = torch.randn(template.shape, generator=generator, device=generator.device).to(frames.device)
    return (frames + noise * (sigma / 255)).clamp(0, 1)


def poisson_noise(frames: Tensor, scale: float, is_gray: bool, generator: Generator, per_level: bool = False) -> Tensor:
    """Add shot noise and clamp.

    The number ``n`` of photons is the number of distinct 8-bit values of the clip, rounded up to a power of two. At
    full scale there are as many (BasicSR, RealBasicVSR: a value ``v`` of 255 gets a deviation of
    ``scale sqrt(255 v / n)`` steps), or at each step (DOVE: ``scale sqrt(v / n)``).

    Args:
        frames: ``(T, 3, H, W)`` in ``[0, 1]``.
        scale: Multiplier of the noise.
        is_gray: Whether the three channels get the noise of the luma.
        generator: The only source of randomness; frames get noise of their own.
        per_level: Whether ``n`` are the photons of one 8-bit step.
    """
    steps = ((brightness(frames) if is_gray else frames).clamp(0, 1) * 255).round()
    distinct = int((torch.bincount(steps.long().flatten(), minlength=256) > 0).sum())
    photons = 2 ** (distinct - 1).bit_length() * (255 if per_level else 1)
    clean = steps / 255
    counts = torch.poisson((clean * photons).to(generator.device), generator=generator)
    noise = counts.to(frames.device) / photons - clean
    return (frames + noise * scale).clamp(0, 1)
