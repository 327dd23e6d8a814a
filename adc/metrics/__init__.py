"""Metrics of restored clips."""

from adc.metrics.fidelity import psnr_y, ssim_y

__all__ = ["psnr_y", "ssim_y"]
