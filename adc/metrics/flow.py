"""Estimators of optical flow: OpenCV's DIS, SPyNet, RAFT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adc.metrics.spynet import SpyNet
from adc.ops.color import luma

Flow = Callable[[Tensor, Tensor], Tensor]
"""From two batches ``(N, 3, H, W)`` in ``[0, 1]`` to ``(N, 2, H, W)`` in pixels, to the right and down."""
RAFT_UPDATES = 20
DIS_SIDE = 12


def dis(device: torch.device | str = "cpu") -> Flow:
    """Dense inverse search (Kroeger et al., 2016) of OpenCV, preset medium, on luminance; needs no weights.

    The flow raises a ValueError for images of less than 12 pixels; it is computed on the CPU.
    """
    import cv2

    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(first: Tensor, second: Tensor) -> Tensor:
        if max(first.shape[-2:]) < DIS_SIDE:
            raise ValueError(f"DIS needs a side of at least {DIS_SIDE} pixels; got {tuple(first.shape[-2:])}.")
        one, two = (luma(batch).mul(255).round().to(torch.uint8).cpu().numpy()[:, 0] for batch in (first, second))
        found = [torch.from_numpy(search.calc(a, b, None)) for a, b in zip(one, two, strict=True)]
        return torch.stack(found).permute(0, 3, 1, 2).to(first)

    return flow


def spynet(file: Path, device: torch.device | str = "cpu") -> Flow:
    """SPyNet (Ranjan and Black, 2017), with weights from a file."""
    return load_network(SpyNet(), file, device)


def raft(file: Path, device: torch.device | str = "cpu") -> Flow:
    """RAFT (Teed and Deng, 2020), torchvision's large network, 20 updates, with weights from a file."""
    from torchvision.models.optical_flow import raft_large

    network: Any = load_network(raft_large(weights=None), file, device)
    return lambda first, second: network(first * 2 - 1, second * 2 - 1, num_flow_updates=RAFT_UPDATES)[-1]


def load_network(network: nn.Module, file: Path, device: torch.device | str) -> nn.Module:
    """A frozen network with weights from a file; a ValueError names a file that does not hold them."""
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{file}: not the weights of {type(network).__name__} ({reason}).") from None
    return network.eval().requires_grad_(False).to(device)
