"""JPEG as a camera writes it."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def compress(frames: Tensor, quality: int) -> Tensor:
    """Write every frame as a JPEG file in memory (4:2:0) and read it back.

    Args:
        frames: ``(T, 3, H, W)``; clamped to ``[0, 1]`` and rounded to 8 bits first.
        quality: 1 to 100, libjpeg's scale.

    Returns:
        ``(T, 3, H, W)`` in ``[0, 1]`` on the grid of 8-bit values, on the same device.
    """
    pixels = (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    decoded = np.stack([_round_trip(frame, quality) for frame in pixels])
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous().to(frames) / 255


def _round_trip(frame: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(file))
