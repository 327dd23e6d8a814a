"""JPEG as DiffJPEG computes it: the law of the published training scripts of image super-resolution.

It is not a file that is written: quality is any number, nothing is rounded to 8 bits, pixels or chroma, chroma is
averaged and repeated two by two, and the luma's quantisation table lies on its side, as there: its rows are the
horizontal frequencies.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 16
"""Sides are filled with black to multiples of this: a block of chroma."""
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Annex K of the JPEG standard, rows from low to high vertical frequencies."""
CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""The corner of that table for chroma; the rest of it is 99."""


def diff_compress(frames: Tensor, quality: float) -> Tensor:
    """Quantise every frame as JPEG does (4:2:0), without a file.

    Args:
        frames: ``(T, 3, H, W)``; clamped to ``[0, 1]`` first.
        quality: 1 to 100, any number between: tables are scaled by ``50 / quality`` below 50, and by
            ``2 - quality / 50`` above. At 100 nothing is quantised.

    Returns:
        ``(T, 3, H, W)`` in ``[0, 1]``, not rounded, on the same device.
    """
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    height, width = frames.shape[-2:]
    padded = F.pad(frames.clamp(0, 1) * 255, (0, -width % BLOCK, 0, -height % BLOCK))
    ycbcr = _mixed(padded, TO_YCBCR)  # chroma around 0, where the standard's 128 is taken off again by the transform
    luma = _quantised(ycbcr[:, :1] - 128, frames.new_tensor(LUMA).T * factor) + 128
    chroma = _quantised(F.avg_pool2d(ycbcr[:, 1:], 2), _chroma_table(frames) * factor)
    large = chroma.repeat_interleave(2, -2).repeat_interleave(2, -1)
    restored = _mixed(torch.cat([luma, large], dim=1), TO_RGB).clamp(0, 255) / 255
    return restored[..., :height, :width].contiguous()


def _mixed(pixels: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("dc,nchw->ndhw", pixels.new_tensor(matrix), pixels)


def _chroma_table(like: Tensor) -> Tensor:
    table = like.new_full((8, 8), 99.0)
    table[:4, :4] = like.new_tensor(CHROMA)
    return table


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Planes ``(T, C, H, W)`` whose 8 x 8 blocks have cosine coefficients that are multiples of a table's."""
    frames, channels, height, width = planes.shape
    basis = _cosines(planes)
    blocks = planes.view(frames, channels, height // 8, 8, width // 8, 8).transpose(-3, -2)
    coefficients = basis @ blocks @ basis.T
    if table.any():
        coefficients = (coefficients / table).round() * table
    return (basis.T @ coefficients @ basis).transpose(-3, -2).reshape(planes.shape)


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal cosine transform of 8 values; rows are frequencies."""
    place, frequency = torch.arange(8, dtype=torch.float64), torch.arange(8, dtype=torch.float64)[:, None]
    basis = torch.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis.to(like)
