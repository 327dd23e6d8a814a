"""PSNR and SSIM, as the super-resolution tables report them.

``psnr_y`` and ``ssim_y`` are pyiqa's ``psnr`` and ``ssim`` with ``test_y_channel=True`` and
``color_space="ycbcr"``: BT.601 luminance, the mean over images. pyiqa rounds the luminance to bytes
for SSIM and does not for PSNR; so do these. Clips are rounded to bytes by the caller
(`adc.ops.clip.quantize`); values are in float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from adc.interfaces import Metric
from adc.ops.clip import to_unit
from adc.ops.color import brightness, luma
from adc.ops.quality import SSIM_WINDOW, decibels, squared_error, ssim

BAND = 256
"""Rows that are compared at once."""


def check_shapes(restored: Tensor, reference: Tensor) -> None:
    """Check that two clips have one shape.

    Raises:
        ValueError: If not.
    """
    if restored.shape != reference.shape:
        shapes = f"restored is {tuple(restored.shape)} and the reference {tuple(reference.shape)}"
        raise ValueError(f"{shapes}: not one size.")


class FrameMetric(Metric):
    """A metric of single frames; of a clip the mean over its frames."""

    def __call__(self, restored: Tensor, reference: Tensor | None = None) -> Tensor:
        """Rate ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``.

        Raises:
            ValueError: If the frames cannot be rated, for one because a side is too short.
        """
        clips = [restored] if reference is None or not self.needs_reference else [restored, reference]
        frames = [to_unit(clip).flatten(0, 1) for clip in clips]
        return self._rate(*frames).unflatten(0, restored.shape[:2]).mean(dim=1)

    @abstractmethod
    def _rate(self, *frames: Tensor) -> Tensor:
        """Rate frames ``(N, 3, H, W)`` in ``[0, 1]``, beside the references if the metric needs them: ``(N,)``."""


class Fidelity(Metric, ABC):
    """A metric of frames against their references, without `border` pixels on each side.

    Frames are compared band by band, in float64, so that large ones take little more memory than they have.

    Attributes:
        overlap: Rows that the score of a position looks at beside its own.
    """

    higher_is_better = True
    overlap = 0

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compare ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``, the mean over frames.

        Raises:
            ValueError: If the shapes differ, or a side is too short for the border or for the metric.
        """
        check_shapes(restored, reference)
        if restored.ndim != 5:
            raise ValueError(f"expected clips (B, T, 3, H, W); got {tuple(restored.shape)}.")
        frames = [self._cropped(clip).flatten(0, 1) for clip in (restored, reference)]
        rows = max(frames[0].shape[-2] - self.overlap, 1)
        total = torch.zeros(len(frames[0]), dtype=torch.float64, device=restored.device)
        for first in range(0, rows, BAND):
            last = min(first + BAND, rows)
            band = [to_unit(frame[..., first : last + self.overlap, :]).double() for frame in frames]
            total += self._compare(*band) * (last - first)
        return self._figure(total / rows).unflatten(0, restored.shape[:2]).mean(dim=1)

    @abstractmethod
    def _compare(self, restored: Tensor, reference: Tensor) -> Tensor:
        """The mean score of the positions of bands ``(N, 3, H, W)`` in ``[0, 1]``: ``(N,)``."""

    def _figure(self, score: Tensor) -> Tensor:
        """The figure of frames by their mean scores, ``(N,)``."""
        return score

    def _cropped(self, clip: Tensor) -> Tensor:
        height, width = clip.shape[-2:]
        if 2 * self.border >= min(height, width):
            raise ValueError(f"a border of {self.border} leaves nothing of {width}x{height} pixels.")
        return clip[..., self.border : height - self.border, self.border : width - self.border]


def _ssim_in_bytes(restored: Tensor, reference: Tensor) -> Tensor:
    return ssim((restored * 255).round(), (reference * 255).round(), peak=255.0)


def _of(compare: Callable[[Tensor, Tensor], Tensor], channels: Callable[[Tensor], Tensor] = lambda rgb: rgb) -> Any:
    """A comparison of channels that are computed from RGB."""
    return staticmethod(lambda restored, reference: compare(channels(restored), channels(reference)))


class _Psnr(Fidelity):
    def _figure(self, score: Tensor) -> Tensor:
        return decibels(score)


class _Ssim(Fidelity):
    overlap = SSIM_WINDOW - 1


class PsnrY(_Psnr):
    """PSNR of the luminance in dB; 80 for equal clips."""

    name, title, decimals = "psnr_y", "PSNR-Y dB", 3
    options = "Y of BT.601 in [16, 235], not rounded"
    _compare = _of(squared_error, luma)


class PsnrRgb(_Psnr):
    """PSNR of the three channels together in dB: pyiqa's ``psnr`` with its defaults."""

    name, title, decimals = "psnr_rgb", "PSNR-RGB dB", 3
    options = "RGB"
    _compare = _of(squared_error)


class SsimY(_Ssim):
    """SSIM of the luminance, rounded to bytes; sides of at least 11 pixels."""

    name, title = "ssim_y", "SSIM-Y"
    options = "Y of BT.601 in [16, 235], rounded to bytes"
    _compare = _of(_ssim_in_bytes, luma)


class SsimYUnrounded(_Ssim):
    """SSIM of the luminance as it is, as BasicSR, EDVR and the tables of Vid4 have it.

    Of DUF-52L's published results for Vid4, without a border of 8 pixels, ``psnr_y`` and this give 27.33 dB and
    0.8318, the figures in EDVR's model zoo; rounded luminance gives 0.8312.
    """

    name, title = "ssim_y_unrounded", "SSIM-Y (unrounded)"
    options = "Y of BT.601 in [16, 235], not rounded: BasicSR's"
    _compare = _of(ssim, luma)


class SsimRgb(_Ssim):
    """SSIM as the mean over the three channels: pyiqa's ``ssimc``."""

    name, title = "ssim_rgb", "SSIM-RGB"
    options = "mean over R, G and B"
    _compare = _of(_ssim_in_bytes)


class SsimYiq(_Ssim):
    """SSIM of the luminance of YIQ in ``[0, 255]``: pyiqa's ``ssim`` with its defaults."""

    name, title = "ssim_yiq", "SSIM-YIQ"
    options = "Y of YIQ in [0, 255], rounded to bytes: pyiqa's default"
    _compare = _of(_ssim_in_bytes, brightness)


psnr_y, ssim_y = PsnrY(), SsimY()
