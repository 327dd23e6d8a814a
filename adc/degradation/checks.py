"""What every degradation asks of its arguments."""

from __future__ import annotations

from torch import Tensor


def check_scale(scale: int) -> int:
    """Refuse a scale below 1."""
    if scale < 1:
        raise ValueError(f"scale: {scale} is not a whole number of at least 1.")
    return scale


def check_frames(hr: Tensor, scale: int) -> None:
    """Refuse what is not ``(T, 3, H, W)`` with multiples of the scale."""
    if hr.ndim != 4 or hr.shape[1] != 3:
        raise ValueError(f"A degradation takes frames (T, 3, H, W), not {tuple(hr.shape)}.")
    if hr.shape[-2] % scale or hr.shape[-1] % scale:
        raise ValueError(f"Height and width {tuple(hr.shape[-2:])} are not multiples of the scale {scale}.")
