"""PSNR and SSIM on luminance, as the super-resolution tables report them.

The figures are those of pyiqa's ``psnr`` and ``ssim`` with ``test_y_channel=True`` and
``color_space="ycbcr"``: BT.601 luminance, no border cropped, the mean over images. pyiqa rounds the
luminance to bytes for SSIM and does not for PSNR; so do these.
"""

from __future__ import annotations

from torch import Tensor

from adc.ops.clip import to_unit
from adc.ops.color import luma
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


def _luma(restored: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    if restored.shape != reference.shape:
        raise ValueError(
            f"restored is {tuple(restored.shape)} and the reference {tuple(reference.shape)}: not one size."
        )
    if restored.ndim != 5:
        raise ValueError(f"expected clips (B, T, 3, H, W); got {tuple(restored.shape)}.")
    return luma(to_unit(restored).double().flatten(0, 1)), luma(to_unit(reference).double().flatten(0, 1))
