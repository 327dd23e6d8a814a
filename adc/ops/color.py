"""Colours: luminance, and giving one picture the colours of another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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


def adain(picture: Tensor, colors: Tensor, eps: float = 1e-5) -> Tensor:
    """Give every channel the mean and spread of another picture's (Huang and Belongie, 2017).

    Args:
        picture: ``(..., C, H, W)``.
        colors: ``(..., C, h, w)``, any size.
        eps: Added to both variances, so that a flat picture stays flat and finite.

    Returns:
        ``std(colors) / std(picture) * (picture - mean(picture)) + mean(colors)``, per channel.
    """
    return rescale(picture, (_mean(picture), _variance(picture)), (_mean(colors), _variance(colors)), eps)


def rescale(picture: Tensor, own: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], eps: float = 1e-5) -> Tensor:
    """The formula of `adain`, for a part of a picture too.

    Args:
        picture: ``(..., C, H, W)``.
        own: Mean and variance of the picture, each ``(..., C, 1, 1)``.
        wanted: Those it gets.
        eps: Added to both variances.
    """
    gain = (wanted[1] + eps).sqrt() / (own[1] + eps).sqrt()
    return (picture - own[0]) * gain + wanted[0]


def wavelet(picture: Tensor, colors: Tensor, levels: int = WAVELET_LEVELS) -> Tensor:
    """Keep the detail of one picture and take the coarse colours of another of the same size.

    The coarse part is what `levels` steps of the a-trous wavelet leave (Wang et al., StableSR, 2023).

    Args:
        picture: ``(..., C, H, W)``.
        colors: ``(..., C, H, W)``.
        levels: Number of steps; the last one smooths over ``2 ** levels`` pixels.
    """
    return picture - _coarse(picture, levels) + _coarse(colors, levels)


def _mean(picture: Tensor) -> Tensor:
    return picture.mean(dim=(-2, -1), keepdim=True)


def _variance(picture: Tensor) -> Tensor:
    return picture.var(dim=(-2, -1), keepdim=True, unbiased=True)


def _coarse(picture: Tensor, levels: int) -> Tensor:
    channels = picture.shape[-3]
    line = picture.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(channels, 1, 3, 3)
    flat = picture.reshape(-1, *picture.shape[-3:])
    for level in range(levels):
        reach = 2**level
        padded = F.pad(flat, (reach,) * 4, mode="replicate")
        flat = F.conv2d(padded, kernel, dilation=reach, groups=channels)
    return flat.reshape(picture.shape)
