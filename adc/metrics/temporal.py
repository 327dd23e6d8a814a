"""How a clip holds together over time. Every figure of a clip is the mean over its pairs of successive frames."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.metrics.flow import Flow
from adc.ops import temporal
from adc.ops.clip import to_unit
from adc.ops.color import luma
from adc.ops.sharpness import laplacian_variance
from adc.ops.warp import warping_error

MULTIPLE = 8
PRINTED = 1000
"""Papers print the warping error in thousandths."""


class WarpingError:
    """E*warp as EvalCrafter defines it and the video papers report it: in thousandths, lower is better.

    Frames are halved (bilinear) and padded to multiples of 8 (replicated, on both sides); flow is estimated
    both ways; what is occluded does not count. Blur lowers it: look at the sharpness beside it.
    """

    def __init__(self, flow: Flow) -> None:
        """
        Args:
            flow: Estimates the motion; figures of different estimators do not compare.
        """
        self.flow = flow

    def __call__(self, clip: Tensor) -> Tensor:
        """Rate ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``.

        Raises:
            ValueError: If the clip has one frame.
        """
        _check(clip)
        halved = [_padded(F.interpolate(frame, scale_factor=0.5, mode="bilinear")) for frame in to_unit(clip).unbind(1)]
        errors = []
        with torch.no_grad():
            for first, second in pairwise(halved):
                there, back = self.flow(first, second), self.flow(second, first)
                errors.append(warping_error(first.double(), second.double(), there.double(), back.double()))
        return PRINTED * torch.stack(errors).mean(dim=0)


class TemporalDistance:
    """tLPIPS (Chu et al., 2020): how much the step between two frames differs from the reference's.

    ``|d(r_t, r_t+1) - d(y_t, y_t+1)|`` with d a distance of pictures; lower is better.
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor]) -> None:
        """
        Args:
            distance: Of clips ``(B, 1, 3, H, W)`` to ``(B,)``: LPIPS.
        """
        self.distance = distance

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compare ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``.

        Raises:
            ValueError: If the clips have one frame.
        """
        _check(restored)
        ours, theirs = (self._steps(clip) for clip in (restored, reference))
        return (ours - theirs).abs().mean(dim=0)

    def _steps(self, clip: Tensor) -> Tensor:
        frames = clip.split(1, dim=1)
        return torch.stack([self.distance(b, a) for a, b in pairwise(frames)])


def sharpness(clip: Tensor) -> Tensor:
    """Variance of the Laplacian of the luminance in bytes, ``(B,)``, the mean over frames.

    Args:
        clip: ``(B, T, 3, H, W)`` in ``[-1, 1]``.

    Raises:
        ValueError: If a side is shorter than 3 pixels.
    """
    brightness = luma(to_unit(clip).double().flatten(0, 1)) * 255
    return laplacian_variance(brightness).unflatten(0, clip.shape[:2]).mean(dim=1)


def flicker(restored: Tensor, reference: Tensor) -> Tensor:
    """`adc.ops.temporal.flicker` of RGB in bytes: ``(B,)``, lower is better.

    Args:
        restored: ``(B, T, 3, H, W)`` in ``[-1, 1]``.
        reference: The same shape.

    Raises:
        ValueError: If the clips have one frame, or their shapes differ.
    """
    if restored.shape != reference.shape:
        raise ValueError(
            f"restored is {tuple(restored.shape)} and the reference {tuple(reference.shape)}: not one size."
        )
    return temporal.flicker(to_unit(restored) * 255, to_unit(reference) * 255)


def unsteadiness(clip: Tensor) -> Tensor:
    """`adc.ops.temporal.unsteadiness` of RGB in bytes: ``(B,)``, lower is better.

    Args:
        clip: ``(B, T, 3, H, W)`` in ``[-1, 1]``.

    Raises:
        ValueError: If the clip has fewer than three frames.
    """
    return temporal.unsteadiness(to_unit(clip) * 255)


def _check(clip: Tensor) -> None:
    if clip.shape[1] < 2:
        raise ValueError("figures of motion need at least two frames.")


def _padded(frames: Tensor) -> Tensor:
    height, width = frames.shape[-2:]
    up, left = ((-side % MULTIPLE) // 2 for side in (height, width))
    down, right = -height % MULTIPLE - up, -width % MULTIPLE - left
    return F.pad(frames, (left, right, up, down), mode="replicate")
