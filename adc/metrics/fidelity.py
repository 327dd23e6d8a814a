"""PSNR and SSIM on luminance, as the super-resolution tables report them.

The figures are those of pyiqa's ``psnr`` and ``ssim`` with ``test_y_channel=True`` and
``color_space="ycbcr"``: BT.601 luminance, no border cropped, the mean over images. pyiqa rounds the
luminance to bytes for SSIM and does not for PSNR; so do these.
"""

from __future__ import annotations

from torch import Tensor

from adc.ops.clip import to_unit
from adc.ops.color import brightness, luma
from adc.ops.quality import psnr, ssim


def psnr_y(restored: Tensor, reference: Tensor) -> Tensor:
    """PSNR of the luminance in dB; 80 for equal clips.

    Args:
        restored: ``(B, T, 3, H, W)`` in ``[-1, 1]``, rounded to bytes by the caller (`adc.ops.clip.quantize`).
        reference: The same shape.

    Returns:
        ``(B,)``, the mean over frames, in float64.

    Raises:
        ValueError: If the shapes differ.
    """
    a, b = _luma(restored, reference)
    return psnr(a, b).unflatten(0, restored.shape[:2]).mean(dim=1)


def ssim_y(restored: Tensor, reference: Tensor) -> Tensor:
    """SSIM of the luminance, rounded to bytes.

    Args:
        restored: ``(B, T, 3, H, W)`` in ``[-1, 1]``, sides of at least 11, rounded to bytes by the caller.
        reference: The same shape.

    Returns:
        ``(B,)``, the mean over frames, in float64.

    Raises:
        ValueError: If the shapes differ or a side is too short.
    """
    a, b = _luma(restored, reference)
    return ssim((a * 255).round(), (b * 255).round(), peak=255.0).unflatten(0, restored.shape[:2]).mean(dim=1)


def ssim_y_unrounded(restored: Tensor, reference: Tensor) -> Tensor:
    """SSIM of the luminance as it is, as BasicSR, EDVR and the tables of Vid4 have it. As `ssim_y` otherwise.

    Of DUF-52L's published results for Vid4, without a border of 8 pixels, `psnr_y` and this give 27.33 dB and
    0.8318, the figures in EDVR's model zoo; rounded luminance gives 0.8312.
    """
    a, b = _luma(restored, reference)
    return ssim(a, b).unflatten(0, restored.shape[:2]).mean(dim=1)


def psnr_rgb(restored: Tensor, reference: Tensor) -> Tensor:
    """PSNR of the three channels together in dB: pyiqa's ``psnr`` with its defaults. As `psnr_y` otherwise."""
    a, b = _unit(restored, reference)
    return psnr(a, b).unflatten(0, restored.shape[:2]).mean(dim=1)


def ssim_rgb(restored: Tensor, reference: Tensor) -> Tensor:
    """SSIM as the mean over the three channels: pyiqa's ``ssimc``. As `ssim_y` otherwise."""
    a, b = _unit(restored, reference)
    return ssim((a * 255).round(), (b * 255).round(), peak=255.0).unflatten(0, restored.shape[:2]).mean(dim=1)


def ssim_yiq(restored: Tensor, reference: Tensor) -> Tensor:
    """SSIM of the luminance of YIQ in ``[0, 255]``: pyiqa's ``ssim`` with its defaults. As `ssim_y` otherwise."""
    a, b = ((brightness(unit) * 255).round() for unit in _unit(restored, reference))
    return ssim(a, b, peak=255.0).unflatten(0, restored.shape[:2]).mean(dim=1)


def without_border(clip: Tensor, border: int) -> Tensor:
    """A clip without so many pixels on each side.

    Raises:
        ValueError: If nothing would be left.
    """
    if 2 * border >= min(clip.shape[-2:]):
        raise ValueError(f"a border of {border} leaves nothing of {clip.shape[-1]}x{clip.shape[-2]} pixels.")
    return clip[..., border : clip.shape[-2] - border, border : clip.shape[-1] - border]


def _luma(restored: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _unit(restored, reference)
    return luma(a), luma(b)


def _unit(restored: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    if restored.shape != reference.shape:
        raise ValueError(
            f"restored is {tuple(restored.shape)} and the reference {tuple(reference.shape)}: not one size."
        )
    if restored.ndim != 5:
        raise ValueError(f"expected clips (B, T, 3, H, W); got {tuple(restored.shape)}.")
    return to_unit(restored).double().flatten(0, 1), to_unit(reference).double().flatten(0, 1)
