"""Metrics of a restored clip for validation and the report."""

from __future__ import annotations

import logging
from functools import cache

from torch import Tensor

from adc.interfaces import Metric
from adc.metrics.fidelity import psnr_y, ssim_y
from adc.metrics.registry import build
from adc.metrics.temporal import DisWarpingError, flicker, sharpness

log = logging.getLogger(__name__)
WARPING = DisWarpingError.name


def clip_figures(restored: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Figures of a restored clip.

    Of one frame ``psnr_y`` and ``ssim_y``. Of more also ``flicker``, ``sharpness`` and ``ewarp``, the warping
    error by OpenCV's DIS, which needs no weights; where OpenCV is not installed a line of the log says once
    that it is left out.

    Args:
        restored: ``(B, T, 3, H, W)`` in ``[-1, 1]``, sides of at least 11, rounded to bytes by the caller.
        truth: The same shape.

    Returns:
        By name, each ``(B,)``.

    Raises:
        ValueError: If the shapes differ or a side is too short.
    """
    figures = {"psnr_y": psnr_y(restored, truth), "ssim_y": ssim_y(restored, truth)}
    if restored.shape[1] > 1:
        figures |= {"flicker": flicker(restored, truth), **steadiness(restored)}
    return figures


def steadiness(clip: Tensor) -> dict[str, Tensor]:
    """The figures of motion that need no reference: ``sharpness``, and ``ewarp`` if OpenCV is installed.

    Args:
        clip: ``(B, T, 3, H, W)`` in ``[-1, 1]``, of at least two frames.
    """
    error = _warping()
    return {**({} if error is None else {"ewarp": error(clip, clip)}), "sharpness": sharpness(clip)}


def warping_origin() -> str:
    """Definition of ``ewarp``, or the reason why it is left out."""
    _, skipped = build([WARPING])
    return f"left out: {skipped[WARPING]}" if skipped else DisWarpingError.options


@cache
def _warping() -> Metric | None:
    built, skipped = build([WARPING])
    if skipped:
        log.warning("ewarp is left out: %s; pip install 'adc[metrics]'", skipped[WARPING])
        return None
    return built[WARPING]
