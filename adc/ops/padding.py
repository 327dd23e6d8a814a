"""Any size into networks that stride."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(clip: Tensor, multiple: int) -> Tensor:
    """Repeat the right and bottom edges of ``(B, T, C, H, W)`` until both sides are multiples."""
    height, width = clip.shape[-2:]
    right, bottom = -width % multiple, -height % multiple
    if not right and not bottom:
        return clip
    return F.pad(clip, (0, right, 0, bottom, 0, 0), mode="replicate")


def crop(clip: Tensor, height: int, width: int) -> Tensor:
    """The top left ``height`` by ``width`` pixels."""
    return clip[..., :height, :width]


def pad_frames(clip: Tensor, step: int) -> Tensor:
    """Repeat the last frame of ``(B, T, C, H, W)`` until there are ``1 + n * step`` frames."""
    missing = -(clip.shape[1] - 1) % step
    return torch.cat([clip, clip[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1) if missing else clip
