"""Estimators of optical flow: OpenCV's DIS, SPyNet, RAFT."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adc.ops.color import luma
from adc.ops.warp import warp

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


LEVELS = 6
WIDTHS = (8, 32, 64, 32, 16, 2)
MULTIPLE = 2 ** (LEVELS - 1)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SpyNet(nn.Module):
    """A small network of 7x7 convolutions on each of six sizes; each level corrects what the level before has found.

    Names of parameters are those of the published PyTorch conversions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(_level() for _ in range(LEVELS))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow ``(N, 2, H, W)`` in pixels, to the right and down, between RGB images ``(N, 3, H, W)`` in ``[0, 1]``."""
        height, width = first.shape[-2:]
        padded = tuple(-(-side // MULTIPLE) * MULTIPLE for side in (height, width))
        pyramid = [(self._prepared(first, padded), self._prepared(second, padded))]
        for _ in range(LEVELS - 1):
            one, two = pyramid[0]
            pyramid.insert(0, (F.avg_pool2d(one, 2), F.avg_pool2d(two, 2)))
        coarse = pyramid[0][0]
        flow = coarse.new_zeros(len(coarse), 2, *coarse.shape[-2:])
        for level, (one, two) in zip(self.basic_module, pyramid, strict=True):
            if flow.shape[-2:] != one.shape[-2:]:
                flow = 2 * F.interpolate(flow, size=one.shape[-2:], mode="bilinear", align_corners=True)
            flow = flow + level(torch.cat((one, warp(two, flow), flow), dim=1))
        flow = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
        return flow * flow.new_tensor([width / padded[1], height / padded[0]]).view(1, 2, 1, 1)

    @staticmethod
    def _prepared(image: Tensor, size: tuple[int, ...]) -> Tensor:
        mean, deviation = (image.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        return F.interpolate((image - mean) / deviation, size=size, mode="bilinear", align_corners=False)


def _level() -> nn.Module:
    """Five convolutions, which find a correction of the flow."""
    layers: list[nn.Module] = []
    for before, after in pairwise(WIDTHS):
        layers += [nn.Conv2d(before, after, 7, padding=3), nn.ReLU()]
    return nn.Sequential(OrderedDict(basic_module=nn.Sequential(*layers[:-1])))
