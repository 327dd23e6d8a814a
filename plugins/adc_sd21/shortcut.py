"""Linear ways around the autoencoder's nonlinear layers, for autoencoders that are trained in minutes.

The idea is residual autoencoding (DC-AE, Chen et al., 2024): space becomes channels and channels
become space beside the network, which then has only the detail to learn. Stable Diffusion's autoencoder
has none; a configuration asks for them by ``shortcut``, the coarse factor.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class CoarseIn(nn.Module):
    """The image, reduced by ``factor``, as channels of the latent's grid."""

    def __init__(self, factor: int, stride: int, channels: int) -> None:
        """
        Args:
            factor: How much smaller the coarse picture is.
            stride: Pixels per latent position, a multiple of `factor`.
            channels: Channels of the latent.
        """
        super().__init__()
        self.factor, self.fold = factor, stride // factor
        self.mix = nn.Conv2d(3 * self.fold**2, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        return self.mix(F.pixel_unshuffle(F.avg_pool2d(image, self.factor), self.fold))


class CoarseOut(nn.Module):
    """Features of the latent's grid as a coarse image, upsampled."""

    def __init__(self, factor: int, stride: int, channels: int) -> None:
        """
        Args:
            factor: How much smaller the coarse picture is.
            stride: Pixels per latent position, a multiple of `factor`.
            channels: Channels of the features.
        """
        super().__init__()
        self.factor, self.fold = factor, stride // factor
        self.mix = nn.Conv2d(channels, 3 * self.fold**2, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """``(N, channels, h, w)`` to ``(N, 3, stride * h, stride * w)``, in float32."""
        coarse = F.pixel_shuffle(self.mix(feature), self.fold).float()
        return F.interpolate(coarse, scale_factor=self.factor, mode="bicubic")
