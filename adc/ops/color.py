"""Colours: luminance, and giving one image the colours of another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.ops.clip import upsample_bicubic

WAVELET_LEVELS = 5


def luma(unit: Tensor) -> Tensor:
    """The Y of ITU-R BT.601 in ``[16, 235] / 255``, not rounded.

    Args:
        unit: RGB ``(..., 3, H, W)`` in ``[0, 1]``.

    Returns:
        ``(..., 1, H, W)``.
    """
    weights = unit.new_tensor([65.481, 128.553, 24.966]).view(3, 1, 1)
    return ((unit * weights).sum(dim=-3, keepdim=True) + 16) / 255


def brightness(unit: Tensor) -> Tensor:
    """The Y of YIQ in ``[0, 1]``, not rounded.

    Args:
        unit: RGB ``(..., 3, H, W)`` in ``[0, 1]``.

    Returns:
        ``(..., 1, H, W)``.
    """
    weights = unit.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (unit * weights).sum(dim=-3, keepdim=True)


def adain(image: Tensor, colors: Tensor, eps: float = 1e-8) -> Tensor:
    """Give every channel the mean and spread of another image's (Huang and Belongie, 2017).

    Args:
        image: ``(..., C, H, W)``.
        colors: ``(..., C, h, w)``, any size.
        eps: Added to both variances, so that a flat image stays flat and finite.

    Returns:
        ``std(colors) / std(image) * (image - mean(image)) + mean(colors)``, per channel.
    """
    axes = (-2, -1)
    own, wanted = ((one.mean(axes, keepdim=True), one.var(axes, keepdim=True)) for one in (image, colors))
    return rescale(image, own, wanted, eps)


def rescale(image: Tensor, own: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], eps: float = 1e-8) -> Tensor:
    """The formula of `adain`, for a part of a image too.

    Args:
        image: ``(..., C, H, W)``.
        own: Mean and variance of the image, each ``(..., C, 1, 1)``.
        wanted: Those it gets.
        eps: Added to both variances.
    """
    gain = (wanted[1] + eps).sqrt() / (own[1] + eps).sqrt()
    return (image - own[0]) * gain + wanted[0]


def wavelet(image: Tensor, colors: Tensor, levels: int = WAVELET_LEVELS) -> Tensor:
    """Keep the detail of one image and take the coarse colours of another of the same size.

    The coarse part is what `levels` steps of the a-trous wavelet leave (Wang et al., StableSR, 2023).

    Args:
        image: ``(..., C, H, W)``.
        colors: ``(..., C, H, W)``.
        levels: Number of steps; the last one smooths over ``2 ** levels`` pixels.
    """
    return image - _coarse(image, levels) + _coarse(colors, levels)


def match_colors(image: Tensor, lr: Tensor, kind: str) -> Tensor:
    """Whole images with the colours of LR, as the published scripts end.

    Args:
        image: ``(B, T, 3, H, W)``.
        lr: ``(B, T, 3, h, w)``.
        kind: ``none``, ``adain`` (mean and spread, all at once) or ``wavelet`` (the coarse part).
    """
    if kind == "adain":
        return adain(image, lr)
    if kind == "wavelet":
        return wavelet(image, upsample_bicubic(lr, image.shape[-2] // lr.shape[-2]))
    return image


def _coarse(image: Tensor, levels: int) -> Tensor:
    channels = image.shape[-3]
    line = image.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(channels, 1, 3, 3)
    flat = image.reshape(-1, *image.shape[-3:])
    for level in range(levels):
        reach = 2**level
        padded = F.pad(flat, (reach,) * 4, mode="replicate")
        flat = F.conv2d(padded, kernel, dilation=reach, groups=channels)
    return flat.reshape(image.shape)
