"""SPyNet (Ranjan and Black, 2017): optical flow by a small network of 7x7 convolutions on each of six sizes."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adc.ops.warp import warp

LEVELS = 6
WIDTHS = (8, 32, 64, 32, 16, 2)
MULTIPLE = 2 ** (LEVELS - 1)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SpyNet(nn.Module):
    """Flow from coarse to fine; each level corrects what the level before has found.

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
