"""JPEG as a camera writes it."""

from __future__ import annotations

import io
from collections.abc import Sequence

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
    return from_bytes([_round_trip(frame, quality) for frame in to_bytes(frames)], frames)


def to_bytes(frames: Tensor) -> np.ndarray:
    """``(T, C, H, W)``, clamped to ``[0, 1]`` first so that nothing wraps around, as uint8 ``(T, H, W, C)``."""
    return (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def from_bytes(images: Sequence[np.ndarray], like: Tensor) -> Tensor:
    """uint8 ``(H, W, C)`` each, as ``(T, C, H, W)`` in ``[0, 1]`` of the kind and on the device of ``like``."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(like) / 255


def _round_trip(frame: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(file))
