"""Metrics of consistency over time; of a clip the mean over its pairs of successive frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.interfaces import Metric, WeightFile
from adc.metrics.fidelity import FrameMetric, check_shapes
from adc.metrics.flow import Flow, dis, raft, spynet
from adc.metrics.library import Lpips
from adc.ops import temporal, warp
from adc.ops.clip import to_unit
from adc.ops.color import luma
from adc.ops.sharpness import laplacian_variance

MULTIPLE = 8
THOUSANDTHS = 1000
"""Papers print the warping error in thousandths."""
DEFINITION = "EvalCrafter's formula (half size, occlusions left out, sum over RGB), x 1000; blur lowers it"


def warping_error(clip: Tensor, flow: Flow) -> Tensor:
    """E*warp ``(B,)`` of a clip ``(B, T, 3, H, W)`` in ``[-1, 1]``, in thousandths, by EvalCrafter's formula.

    Frames are halved (bilinear) and padded to multiples of 8 (replicated, on both sides); flow is estimated
    both ways; what is occluded does not count. Blur lowers it: look at the sharpness beside it.

    The formula is theirs (Liu et al., 2024), the flow is the estimator's. Figures of different estimators do not
    compare: DOVE's results for UDM10 have 1.77 in DOVE's table and 2.22 in AdcVSR's.

    Raises:
        ValueError: If the clip has one frame.
    """
    _check(clip)
    halved = [_padded(F.interpolate(frame, scale_factor=0.5, mode="bilinear")) for frame in to_unit(clip).unbind(1)]
    errors = []
    with torch.no_grad():
        for first, second in pairwise(halved):
            there, back = flow(first, second), flow(second, first)
            errors.append(warp.warping_error(first.double(), second.double(), there.double(), back.double()))
    return THOUSANDTHS * torch.stack(errors).mean(dim=0)


def temporal_distance(restored: Tensor, reference: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Difference ``(B,)`` of the steps between two frames from the reference's (Chu et al., 2020).

    ``|d(r_t, r_t+1) - d(y_t, y_t+1)|`` with d a distance of clips ``(B, 1, 3, H, W)`` such as LPIPS.

    Raises:
        ValueError: If the clips ``(B, T, 3, H, W)`` in ``[-1, 1]`` have one frame.
    """
    _check(restored)
    ours, theirs = (
        torch.stack([distance(b, a) for a, b in pairwise(clip.split(1, dim=1))]) for clip in (restored, reference)
    )
    return (ours - theirs).abs().mean(dim=0)


class TemporalLpips(Lpips):
    """tLPIPS (Chu et al., 2020): how much LPIPS between two frames differs from the reference's."""

    name, title, frames = "tlpips", "tLPIPS", 2
    options = "|LPIPS of restored neighbours - LPIPS of reference neighbours|"

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compare ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``."""
        return temporal_distance(restored, reference, super().__call__)


class _WarpingError(Metric):
    decimals, frames, needs_reference = 3, 2, False
    companions = ("sharpness", "sharpness_ratio")
    estimator: ClassVar[Callable[..., Flow]]
    flow: Flow

    def load(self, files: Mapping[WeightFile, Path], device: torch.device | str = "cpu") -> None:
        """Build the estimator of flow."""
        self.flow = type(self).estimator(*(files[file] for file in self.weights), device=device)

    def __call__(self, restored: Tensor, reference: Tensor | None = None) -> Tensor:
        """Rate ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``."""
        return warping_error(restored, self.flow)


class RaftWarpingError(_WarpingError):
    """E*warp with the flow of RAFT (Teed and Deng, 2020) on frames in ``[-1, 1]``, as the network was trained.

    EvalCrafter's code scales frames to ``[0, 1]``, and its network once more as if they were bytes, so that its RAFT
    sees ``[-1, -0.992]``: who ran that code has another flow, and other figures.
    """

    name, title = "ewarp_raft", "E*warp (RAFT)"
    options = f"{DEFINITION}; torchvision raft_large C_T_V1, 20 updates, on [-1, 1]; not the flow of EvalCrafter's code"
    weights = (WeightFile(("raft_large_C_T_V1-22a6c225.pth",), "checkpoints"),)
    packages = ("torchvision",)
    estimator = raft


class SpyNetWarpingError(_WarpingError):
    """E*warp with the flow of SPyNet (Ranjan and Black, 2017)."""

    name, title = "ewarp_spynet", "E*warp (SPyNet)"
    options = f"{DEFINITION}; SPyNet sintel-final"
    weights = (WeightFile(("spynet_sintel_final.pth", "spynet_sintel_final-3d2a1287.pth"), "checkpoints"),)
    estimator = spynet


class DisWarpingError(_WarpingError):
    """E*warp with the flow of OpenCV's dense inverse search (Kroeger et al., 2016), which needs no weights."""

    name, title = "ewarp_dis", "E*warp (DIS)"
    options = f"{DEFINITION}; OpenCV DIS, preset medium"
    packages = ("cv2",)
    estimator = dis


class Flicker(Metric):
    """Mean absolute difference of the steps between frames and those of the reference."""

    name, decimals, frames = "flicker", 3, 2
    options = "mean |step of restored - step of reference| between frames, RGB in bytes"

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """`adc.ops.temporal.flicker` of ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``.

        Raises:
            ValueError: If the clips have one frame, or their shapes differ.
        """
        check_shapes(restored, reference)
        return temporal.flicker(to_unit(restored) * 255, to_unit(reference) * 255)


class Unsteadiness(Metric):
    """Mean absolute second difference over time."""

    name, decimals, frames, needs_reference = "unsteadiness", 3, 3, False
    options = "mean |frame before - 2 frame + frame after| / 4, RGB in bytes; motion counts too, blur lowers it"

    def __call__(self, restored: Tensor, reference: Tensor | None = None) -> Tensor:
        """`adc.ops.temporal.unsteadiness` of ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``.

        Raises:
            ValueError: If the clips have fewer than three frames.
        """
        return temporal.unsteadiness(to_unit(restored) * 255)


class Sharpness(FrameMetric):
    """Variance of the Laplacian of the luminance in bytes; sides of at least 3 pixels."""

    name, decimals, higher_is_better, needs_reference = "sharpness", 1, True, False
    options = "variance of the Laplacian of luminance in bytes"

    def _rate(self, *frames: Tensor) -> Tensor:
        return laplacian_variance(luma(frames[0].double()) * 255)


class SharpnessRatio(Metric):
    """Sharpness over that of the reference, where the reference is not flat."""

    name, title, decimals, higher_is_better = "sharpness_ratio", "sharp/ref", 3, True
    options = "sharpness over that of the reference, whose flat frames are left out; below 1 is blurred"

    def __call__(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compare ``(B, T, 3, H, W)`` clips in ``[-1, 1]``: ``(B,)``, the mean over frames; NaN if all are flat."""
        check_shapes(restored, reference)
        ours, theirs = (
            torch.stack([sharpness(frame) for frame in clip.split(1, dim=1)], dim=1) for clip in (restored, reference)
        )
        return torch.where(theirs > 0, ours / theirs, torch.nan).nanmean(dim=1)


flicker, unsteadiness, sharpness = Flicker(), Unsteadiness(), Sharpness()


def _check(clip: Tensor) -> None:
    if clip.shape[1] < 2:
        raise ValueError("figures of motion need at least two frames.")


def _padded(frames: Tensor) -> Tensor:
    height, width = frames.shape[-2:]
    up, left = ((-side % MULTIPLE) // 2 for side in (height, width))
    down, right = -height % MULTIPLE - up, -width % MULTIPLE - left
    return F.pad(frames, (left, right, up, down), mode="replicate")
