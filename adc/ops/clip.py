"""Clips as batches of images, and pixels as bytes."""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def per_frame(function: Callable[[Tensor], Tensor], clip: Tensor) -> Tensor:
    """Apply a function of images ``(N, C, H, W)`` to every frame of a clip ``(B, T, C, H, W)``."""
    return function(clip.flatten(0, 1)).unflatten(0, clip.shape[:2])


def per_position(function: Callable[[Tensor], Tensor], clip: Tensor) -> Tensor:
    """Apply a function of series ``(N, C, T)`` to every position of a clip ``(B, T, C, H, W)``."""
    batch, _, _, height, width = clip.shape
    series = function(clip.permute(0, 3, 4, 2, 1).flatten(0, 2))
    return series.unflatten(0, (batch, height, width)).permute(0, 4, 3, 1, 2)


def upsample_bicubic(clip: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement (a = -0.75, no antialiasing, not clamped) of ``(B, T, C, h, w)`` by a whole number."""
    if scale == 1:
        return clip
    return per_frame(lambda x: F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False), clip)


def to_unit(pixels: Tensor) -> Tensor:
    """``[-1, 1]`` to ``[0, 1]``, clamped."""
    return (pixels.float() * 0.5 + 0.5).clamp(0, 1)


def quantize(pixels: Tensor) -> Tensor:
    """Round ``[-1, 1]`` pixels to the 256 values that a byte can hold."""
    return to_unit(pixels).mul(255).round() / 255 * 2 - 1


def shuffled(frames: int, generator: Generator | None = None) -> Tensor:
    """An order of frames, ``(frames,)``, that is never the true one unless there is but one frame."""
    drawn = torch.randperm(frames, generator=generator)
    return drawn.roll(1) if torch.equal(drawn, torch.arange(frames)) else drawn


def soften(clip: Tensor, factor: int) -> Tensor:
    """A clip through a size ``factor`` times smaller, bicubically both ways: what lies below its resolution is lost.

    Raises:
        ValueError: If nothing is left of a side.
    """
    if min(clip.shape[-2:]) < factor:
        raise ValueError(f"negative_factor: {factor}; frames of {clip.shape[-1]}x{clip.shape[-2]} have fewer pixels.")

    def through(image: Tensor) -> Tensor:
        small = F.interpolate(image, scale_factor=1 / factor, mode="bicubic", antialias=True, align_corners=False)
        return F.interpolate(small, size=(image.shape[-2], image.shape[-1]), mode="bicubic", align_corners=False)

    return per_frame(through, clip)
