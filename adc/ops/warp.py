"""Motion between two images: following it, where it cannot be followed, and what is left when it has been."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CONSISTENCY, CONSISTENCY_FLOOR = 0.01, 0.5
BOUNDARY, BOUNDARY_FLOOR = 0.01, 0.002


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Fetch every pixel from where its flow points, ``out(p) = image(p + flow(p))``, bilinear.

    What lies outside is taken from the nearest border.

    Args:
        image: ``(N, C, H, W)``.
        flow: ``(N, 2, H, W)`` in pixels, to the right and down.
    """
    height, width = image.shape[-2:]
    down, right = (torch.arange(side, device=flow.device, dtype=flow.dtype) for side in (height, width))
    across = (right + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    along = (down[:, None] + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((across, along), dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def occluded(forward: Tensor, backward: Tensor) -> Tensor:
    """Where the first image cannot be seen in the second, or the motion has an edge (Ruder et al., 2016).

    With ``w`` the flow from the first to the second image and ``v`` the flow back, fetched along ``w``:
    ``|w + v|^2 > 0.01 (|w|^2 + |v|^2) + 0.5`` or ``|grad w|^2 > 0.01 |w|^2 + 0.002``.

    Args:
        forward: ``(N, 2, H, W)``.
        backward: ``(N, 2, H, W)``.

    Returns:
        bool ``(N, 1, H, W)``, on the first image.
    """
    back = warp(backward, forward)
    length = _squared(forward)
    differs = _squared(forward + back) > CONSISTENCY * (length + _squared(back)) + CONSISTENCY_FLOOR
    across = F.pad((forward[..., 1:] - forward[..., :-1]), (0, 1, 0, 0))
    along = F.pad((forward[..., 1:, :] - forward[..., :-1, :]), (0, 0, 0, 1))
    edge = _squared(across) + _squared(along) > BOUNDARY * length + BOUNDARY_FLOOR
    return differs | edge


def warping_error(first: Tensor, second: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """What moves otherwise than the flow says: E*warp of a pair of frames, by EvalCrafter's formula.

    The squared difference between the first image and the second one fetched along the flow, summed
    over channels, as the mean over the pixels that are not occluded. Papers print it times 1000.

    Args:
        first: ``(N, C, H, W)`` in ``[0, 1]``.
        second: The same shape.
        forward: Flow from the first to the second, ``(N, 2, H, W)``.
        backward: Flow from the second to the first.

    Returns:
        ``(N,)``; 0 where everything is occluded.
    """
    seen = (~occluded(forward, backward)).to(first.dtype)
    wrong = ((warp(second, forward) - first) * seen).square().sum(dim=(1, 2, 3))
    return wrong / seen.sum(dim=(1, 2, 3)).clamp(min=1)


def _squared(vectors: Tensor) -> Tensor:
    return vectors.square().sum(dim=1, keepdim=True)
