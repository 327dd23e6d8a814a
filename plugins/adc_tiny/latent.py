"""An autoencoder without training, and the features of a student's decoder."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.interfaces import Autoencoder, FeatureSpace, Student
from adc.ops.clip import per_frame
from adc_tiny.student import LATENT, STRIDE, TinyDecoder


class TinyAutoencoder(Autoencoder):
    """The lowest frequencies of 4x4 blocks: 12 channels at a quarter of the size, no training.

    Every channel is the mean of a block times a cosine, so flat pictures keep their values in the
    first three channels. Sides are multiples of 4.
    """

    strides = (1, STRIDE)
    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.init_args = {}
        self.register_buffer("basis", _cosines(), persistent=False)

    def encode(self, pixels: Tensor) -> Tensor:
        """``(B, T, 3, H, W)`` to ``(B, T, 12, H / 4, W / 4)``."""
        return per_frame(lambda x: F.conv2d(x, self.basis / STRIDE**2, stride=STRIDE), pixels)

    def decode(self, latent: Tensor) -> Tensor:
        """What the frequencies that were kept make of a block."""
        return per_frame(lambda x: F.conv_transpose2d(x, self.basis, stride=STRIDE), latent)


class TinyCausalAutoencoder(TinyAutoencoder):
    """The same over time: 24 channels for the first frame and for every four frames after it, no training.

    The first 12 channels are the mean of four frames, the others their lowest frequency; the first frame
    stands alone, with zeros there.
    """

    strides = (4, STRIDE)
    wave: Tensor

    def __init__(self) -> None:
        super().__init__()
        positions = (torch.arange(4) + 0.5) * math.pi / 4
        self.register_buffer("wave", (math.sqrt(2) * torch.cos(positions)).view(4, 1, 1, 1), persistent=False)

    def encode(self, pixels: Tensor) -> Tensor:
        """``(B, 1 + 4 k, 3, H, W)`` to ``(B, 1 + k, 24, H / 4, W / 4)``."""
        self.latent_frames(pixels.shape[1])
        first, rest = super().encode(pixels).split([1, pixels.shape[1] - 1], dim=1)
        groups = rest.unflatten(1, (-1, 4)) if rest.shape[1] else rest[:, :, None]
        later = torch.cat([groups.mean(2), (groups * self.wave).mean(2)], dim=2)
        return torch.cat([torch.cat([first, torch.zeros_like(first)], dim=2), later], dim=1)

    def decode(self, latent: Tensor) -> Tensor:
        """``(B, 1 + k, 24, h, w)`` to ``(B, 1 + 4 k, 3, 4 h, 4 w)``."""
        mean, change = latent.chunk(2, dim=2)
        later = (mean[:, 1:, None] + change[:, 1:, None] * self.wave).flatten(1, 2)
        return super().decode(torch.cat([mean[:, :1], later], dim=1))


class TinySpace(FeatureSpace):
    """What the first convolution of a student's decoder makes of a `TinyAutoencoder` latent."""

    def __init__(self, student: Student | None = None, channels: int = 8) -> None:
        """
        Args:
            student: The `TinyStudent` whose pretrained decoder spans the space; null starts a decoder afresh.
            channels: Width of the fresh decoder.

        Raises:
            ValueError: If the student is of another kind.
        """
        super().__init__()
        self.autoencoder = TinyAutoencoder()
        decoder = TinyDecoder(channels) if student is None else getattr(student, "decoder", None)
        if not isinstance(decoder, TinyDecoder):
            raise ValueError(f"student: {type(student).__name__} has no TinyDecoder; TinySpace is for TinyStudent.")
        self.stem = copy.deepcopy(decoder.stem)

    def embed(self, pixels: Tensor) -> Tensor:
        """Features of pixels, by way of the autoencoder."""
        return self.project_latents(self.autoencoder.to_decoder_input(self.autoencoder.encode(pixels)))

    def project_latents(self, projected: Tensor) -> Tensor:
        """Features of projected latents."""
        return per_frame(self.stem, projected)


def _cosines() -> Tensor:
    positions = (torch.arange(STRIDE) + 0.5) * math.pi / STRIDE
    waves = [torch.ones(STRIDE), math.sqrt(2) * torch.cos(positions)]
    blocks = [torch.outer(down, along) for down in waves for along in waves]
    basis = torch.zeros(LATENT, 3, STRIDE, STRIDE)
    for index, block in enumerate(blocks):
        for color in range(3):
            basis[3 * index + color, color] = block
    return basis
