"""Two halves of a few convolutions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from adc.interfaces import LatentStudent, Prunable
from adc.ops.clip import per_frame
from adc_tiny.seeded import seeded

LATENT = 12
STRIDE = 4


class TinyDecoder(nn.Module):
    """A latent to pixels, ``render(stem(projected))``; always initialised alike."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        with seeded():
            self.stem = nn.Conv2d(LATENT, channels, 3, padding=1)
            self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
            self.conv_out = nn.Conv2d(channels, 3 * STRIDE**2, 3, padding=1)

    def render(self, feature: Tensor) -> Tensor:
        """Pixels ``(N, 3, 4 h, 4 w)`` of what the first convolution made."""
        hidden = F.leaky_relu(self.hidden(F.leaky_relu(feature, 0.2)), 0.2)
        return F.pixel_shuffle(self.conv_out(hidden), STRIDE)

    def forward(self, projected: Tensor) -> Tensor:
        """``(N, 12, h, w)`` to ``(N, 3, 4 h, 4 w)``."""
        return self.render(self.stem(projected))


class TinyStudent(LatentStudent):
    """A body that predicts a `TinyAutoencoder` latent, and a decoder; the feature is its first convolution's output."""

    scale = STRIDE
    decoder: TinyDecoder

    def __init__(self, width: int = 16, channels: int = 8, depth: int = 1) -> None:
        """
        Args:
            width: Channels of the body.
            channels: Channels of the feature and of the decoder.
            depth: Hidden convolutions of the body.
        """
        super().__init__()
        self.init_args = {"width": width, "channels": channels, "depth": depth}
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.guess = nn.Conv2d(width, LATENT, 3, padding=1)
        self.decoder = TinyDecoder(channels)

    def encode(self, lr: Tensor) -> Tensor:
        """``(B, T, 3, h, w)`` to ``(B, T, channels, h, w)``."""
        return per_frame(lambda x: self.decoder.stem(self.guess(self.body(x))), lr)

    def decode(self, feature: Tensor) -> Tensor:
        """``(B, T, channels, h, w)`` to ``(B, T, 3, 4 h, 4 w)``."""
        return per_frame(self.decoder.render, feature)

    def decode_latents(self, projected: Tensor) -> Tensor:
        """Pixels of an autoencoder's latent."""
        return per_frame(self.decoder, projected)

    def prunable(self) -> Prunable:
        """Body and decoder; the latent between them and the pixels keep their channels."""
        network = nn.Sequential(self.body, self.guess, self.decoder)
        example = (next(self.parameters()).new_zeros(1, 3, 16, 16),)
        parts: dict[str, nn.Module] = {"body": self.body, "decoder": self.decoder}
        return Prunable(network, example, parts, ignored=[self.guess, self.decoder.conv_out])
