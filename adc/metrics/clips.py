"""Metrics of a restored clip for validation and the report."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor

from adc.interfaces import Metric
from adc.metrics.fidelity import psnr_y, ssim_y
from adc.metrics.registry import build
from adc.metrics.temporal import DisWarpingError, flicker, sharpness
from adc.ops.shots import moving_shots

log = logging.getLogger(__name__)
WARPING = DisWarpingError.name


def clip_figures(restored: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Figures of a restored clip.

    Of one frame ``psnr_y`` and ``ssim_y``. Of more also ``flicker``, ``sharpness`` and ``ewarp``, the warping
    error by OpenCV's DIS, which needs no weights; where OpenCV is not installed a line of the log says once
    that it is left out. Neither counts steps across a cut of the truth.

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
        figures |= {"flicker": _within_shots(flicker, truth, restored, truth), **steadiness(restored, truth)}
    return figures


def steadiness(clip: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """The figures of motion that need no reference: ``sharpness``, and ``ewarp`` if OpenCV is installed.

    Args:
        clip: ``(B, T, 3, H, W)`` in ``[-1, 1]``, of at least two frames.
        truth: The same shape; ``ewarp`` leaves out steps across its cuts.
    """
    error = _warping()
    ewarp = {} if error is None else {"ewarp": _within_shots(error, truth, clip, clip)}
    return {**ewarp, "sharpness": sharpness(clip)}


def _within_shots(metric: Metric, truth: Tensor, *clips: Tensor) -> Tensor:
    """A metric of steps between frames over the steps inside of the truth's shots: ``(B,)``."""
    found = []
    for number, scene in enumerate(truth):
        shots = moving_shots(scene)
        steps = [shot.stop - shot.start - 1 for shot in shots]
        values = [
            metric(*(clip[number : number + 1, shot] for clip in clips)) * count
            for shot, count in zip(shots, steps, strict=True)
        ]
        found.append(torch.cat(values).sum() / sum(steps))
    return torch.stack(found)


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
